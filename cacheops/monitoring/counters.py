"""What this process has counted since it started. Adding is all that happens on a read's way."""

from collections import Counter
from dataclasses import dataclass, field


@dataclass(slots=True)
class Counters:
    """Labels are "app.model:operation". Increments may be lost between threads; these are statistics."""

    hits: Counter[str] = field(default_factory=Counter)  # answered by a valid entry
    misses: Counter[str] = field(default_factory=Counter)  # loaded under a lease
    bypasses: Counter[str] = field(default_factory=Counter)  # loaded past the cache: a writer pending, no store
    fills: Counter[str] = field(default_factory=Counter)  # entries stored
    bytes: Counter[str] = field(default_factory=Counter)  # of those entries
    corrupt: int = 0  # payloads that were no entries: each was a miss
    unencodable: int = 0  # results with values that the format can't hold
    too_large: int = 0  # results above the limit
    refused_fills: int = 0  # entries that the server did not take: full, or read-only
    late_marks: int = 0  # marks that had run out before their writer cleared them
    queued: int = 0  # tables whose invalidation went into the queue, a region being unreachable
    replayed: int = 0  # tables invalidated from the queue

    def hit(self, label: str) -> None:
        self.hits[label] += 1

    def miss(self, label: str) -> None:
        self.misses[label] += 1

    def bypass(self, label: str) -> None:
        self.bypasses[label] += 1

    def fill(self, label: str, size: int) -> None:
        self.fills[label] += 1
        self.bytes[label] += size

    def reset(self) -> None:
        """Start from nothing."""
        fresh = Counters()
        for name in self.__slots__:
            setattr(self, name, getattr(fresh, name))


counters = Counters()
