"""What monitoring asks a store for and keeps in it; no read and no write of the engine depends on it."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

from cacheops.stores.reply import Reply


class Inspection(ABC):
    """Figures of a store's nodes and keys, and counts by name. Methods raise as those of a store do."""

    @abstractmethod
    def nodes(self) -> list[dict[str, Any]]:
        """Return the figures of each node, under Redis's names (INFO); an `error` where it gives none."""

    @abstractmethod
    def sizes(self, keys: Sequence[str]) -> list[int]:
        """Return the bytes of memory that each key takes, 0 where there is none."""

    @abstractmethod
    def add_counts(self, key: str, counts: Mapping[str, int], keep: int, ttl: float) -> Reply[None]:
        """Add to the counts under a key, of which the `keep` highest stay, for `ttl` seconds."""

    @abstractmethod
    def top_counts(self, keys: Sequence[str], size: int) -> list[list[tuple[str, float]]]:
        """Return the names with the `size` highest counts under each key, highest first."""

    @property
    def by_sentinels(self) -> bool:
        """Whether sentinels name the primary: they may replace one that lives."""
        return False

    def problem(self) -> str:
        """Return what hides the nodes and will not pass by itself; "" where nothing is."""
        return ""

    def slow_log(self, most: int) -> list[tuple[str, list[dict[str, Any]]]]:
        """Return each node's slowest commands, newest first, `most` of each (SLOWLOG GET)."""
        return []

    def connections(self) -> int | None:
        """Return how many connections of the engine's this process holds open; None where there are no servers."""
        return None
