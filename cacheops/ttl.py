"""How long entries live: named strategies, jitter, and early refresh. Durations are in seconds."""

import math
import random
from collections.abc import Mapping
from typing import Any, Protocol

from django.apps import apps

from cacheops.encoding.objects import encoded
from cacheops.exceptions import InvalidOption
from cacheops.protocol.keys import checked_key

# The specification's strategies.
TTL_STRATEGIES: dict[str, int] = {
    "static_data": 3600,  # rarely changing data
    "user_session": 1800,
    "device_data": 300,  # sensor readings
    "analytics": 900,  # computed analytics
    "real_time": 60,
    "long_term": 86400,  # historical data
}
MAX_TTL = 30 * 86400  # a month: longer, and a forgotten entry is never seen to be wrong


class Cache(Protocol):
    """What sliding needs of a cache: RegionCache and MemoryCache have it."""

    def set(self, key: str, value: Any, timeout: float | None) -> Any: ...

    def extend(self, key: str, limit: float, factor: float) -> bool: ...


class TTLManager:
    """The strategies of one project: the specification's, and those that CACHEOPS_TTL_STRATEGIES adds or changes."""

    TTL_STRATEGIES = TTL_STRATEGIES

    def __init__(self, strategies: Mapping[str, float] | None = None) -> None:
        self.strategies: dict[str, float] = {**TTL_STRATEGIES, **(strategies or {})}
        for name, seconds in self.strategies.items():
            checked_ttl(seconds, f"the TTL strategy {name!r}")

    def get_ttl(self, data_type: str | float, custom_ttl: float | None = None) -> float:
        """Return seconds: `custom_ttl` if given (0: "do not keep"), a strategy's by its name, or the number itself.

        Raise InvalidOption for an unknown strategy, a negative number, or more than 30 days; by cacheops.compat, these
        are 30 days.
        """
        if custom_ttl is not None:
            return checked_ttl(custom_ttl, "custom_ttl")
        if isinstance(data_type, str):
            if data_type not in self.strategies:
                known = ", ".join(sorted(self.strategies))
                raise InvalidOption(f"{data_type!r} is no TTL strategy. Use seconds, or one of: {known}.")
            return self.strategies[data_type]
        is_long = type(data_type) in (int, float) and data_type > MAX_TTL
        return float(MAX_TTL) if is_long and is_compat() else checked_ttl(data_type, "the TTL")

    def set_with_smart_ttl(
        self, cache: Cache, key: str, value: Any, data_type: str | float, custom_ttl: float | None = None
    ) -> bool:
        """Store a value for as long as its kind of data is kept; return whether it was stored.

        Raise as `get_ttl` does, InvalidKey for a bad key, UnencodableValue for a value that would not come back.
        """
        ttl = self.get_ttl(data_type, custom_ttl)
        encoded(value)  # also where the cache would take more
        return cache.set(checked_key(key), value, ttl) is not False

    def extend_ttl_on_access(
        self, cache: Cache, key: str, data_type: str | float, extension_factor: float = 0.5
    ) -> bool:
        """Lengthen what an entry has left by a share of it, up to its strategy's TTL; return whether it is there.

        Sliding expiry in one step on the server: two readers do not undo each other's, and a longer TTL that was
        chosen for the entry is never shortened. Raise as `get_ttl` does, InvalidKey, InvalidOption for a bad factor.
        """
        if isinstance(extension_factor, bool) or not 0 <= extension_factor < math.inf:
            raise InvalidOption(f"extension_factor is {extension_factor!r}; it must be a number of 0 or more.")
        return cache.extend(checked_key(key), self.get_ttl(data_type), 1 + extension_factor)


def is_compat() -> bool:
    """Return whether the project comes from django-cacheops, and says so."""
    return apps.is_installed("cacheops.compat")


def checked_ttl(seconds: float, what: str) -> float:
    """Return `seconds`, or raise InvalidOption that names `what`."""
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 0 <= seconds <= MAX_TTL:
        raise InvalidOption(f"{what} is {seconds!r}; it must be a number of seconds from 0 to {MAX_TTL} (30 days).")
    return seconds


def jittered(ttl: float, share: float, uniform: float | None = None) -> float:
    """Shorten a TTL by a random part of up to `share` of it, so that entries made together do not end together."""
    return ttl * (1 - share * (random.random() if uniform is None else uniform))


def refresh_early(now: float, expires_at: float, load_seconds: float, beta: float, uniform: float) -> bool:
    """Say whether this reader should load again although the entry has not expired yet.

    XFetch: the closer the expiry and the dearer the load, the likelier (Vattani, Chierichetti, Lowenstein, "Optimal
    Probabilistic Cache Stampede Prevention", VLDB 2015). `uniform` is a random number in (0, 1]; beta 0: never.
    """
    return beta > 0 and now - load_seconds * beta * math.log(uniform) >= expires_at
