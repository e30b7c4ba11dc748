"""What the tests of cache-aside load, and how often."""

import datetime as dt
from typing import Any

from cacheops.patterns import AsideEntry

NOON = dt.datetime(2026, 3, 1, 12, tzinfo=dt.UTC)


class Calls:
    """A loader that counts."""

    def __init__(self, value: Any = "loaded") -> None:
        self.value, self.count = value, 0
        self.asked: list[list[str]] = []

    def __call__(self) -> Any:
        self.count += 1
        return self.value

    def many(self, keys: list[str]) -> dict[str, Any]:
        self.asked.append(keys)
        return {key: f"{key}!" for key in keys}


def entries(*keys: str, **options: Any) -> list[AsideEntry]:
    return [AsideEntry(key, **options) for key in keys]
