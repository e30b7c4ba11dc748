"""What this process counts. On a read's way one item is appended to a list; everything else happens later.

Appending is atomic, so nothing is lost between threads. The list is folded into sums when they are read (by the
flusher every few seconds), or when it has grown long. Sums are kept by series:

    r|MODEL:OPERATION   reads: hits, misses, …; durations of look-ups (l), loads (d) and fills (f)
    b|MODEL:OPERATION|REASON|FUNCTION   reads that no setting kept from the cache (cacheops/reading/not_cached.py)
    w|TABLE|SOURCE      invalidations: writes, tags, whole tables; how long they were pending (k)
    t|REGION            deliveries to a region: marks (m), errors, queued, replayed, late and lost marks
    e|NAME              events of other parts, such as warming runs

A fork's child starts from nothing: what its parent has counted, its parent flushes.
"""

import os
import threading
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, TypeAlias

from cacheops.engine import Component, register_component
from cacheops.instrumentation.histogram import Histogram, bucket_of

Counts: TypeAlias = dict[str, int]
Sums: TypeAlias = dict[str, Counts]  # by series

ROOM = 5_000  # items before the list is folded on a reader's way: some 500 kB
MAX_SERIES = 2_000  # a name made from data must not fill memory, here nor in the region
OTHER = "other"  # the rest of them

LOOK_UP, LOAD, FILL, PENDING, MARK = "l", "d", "f", "k", "m"  # names of durations


MAX_USES = 5_000  # that wait for a flush
MAX_KNOWN = 20_000  # that are not sent again: some 5 MB
SAMPLED = frozenset("ABCD")  # first letters of the digests that are followed: 4 of base64's 64


class Use(NamedTuple):
    """An entry that was read: its label, its digest, and when it was made."""

    label: str
    digest: str
    made_at: float


def is_sampled(digest: str) -> bool:
    """Return whether reads of entries with this digest are followed. Digests are as good as random."""
    return digest[:1] in SAMPLED


def _noop() -> None:
    """Do nothing."""


class Counters(Component):
    """Adds up what happens in this process. `take` hands over what was counted since the last time."""

    def __init__(self) -> None:
        self.on_first: Callable[[], None] = _noop  # called at the first item of each process: starts the flusher
        self.reset()

    def reset(self) -> None:
        """Start from nothing."""
        self._lock = threading.Lock()
        self._log: list[Any] = []  # (label, seconds or None, digest, made_at) of a hit, else (series, counts)
        self._room = 0  # the first item makes room
        self._totals: Sums = {}
        self._fresh: Sums = {}
        self._known: set[Use] = set()
        self._used: list[Use] = []

    # --- on the way of readers and writers --------------------------------------------------------------------------

    def hit(self, label: str, seconds: float, digest: str = "", made_at: float = 0.0) -> None:
        """Count a look-up that a valid entry answered: the one with this digest, made at that moment."""
        log = self._log
        log.append((label, seconds, digest, made_at))
        if len(log) > self._room:
            self._long()

    def used(self, label: str, digest: str, made_at: float) -> None:
        """Note that an entry was read, whose look-up is counted with others."""
        if is_sampled(digest):
            self._log.append((label, None, digest, made_at))

    def add(self, series: str, counts: Mapping[str, int]) -> None:
        """Add whole numbers to a series, under names that say what they are."""
        log = self._log
        log.append((series, counts))
        if len(log) > self._room:
            self._long()

    def read(self, label: str, **counts: int) -> None:
        """Count what happened to a read of a model and operation."""
        self.add(f"r|{label}", counts)

    def read_timed(self, label: str, name: str, seconds: float, **counts: int) -> None:
        """Count what happened to a read, and how long it took: LOOK_UP, LOAD or FILL."""
        self.timed(f"r|{label}", name, seconds, **counts)

    def timed(self, series: str, name: str, seconds: float, **counts: int) -> None:
        """Count in a series, with a duration under its name."""
        self.add(series, {**counts, f"{name}:{bucket_of(seconds)}": 1, f"{name}:us": round(seconds * 1e6)})

    def delivered(self, region: str, **counts: int) -> None:
        """Count marks and invalidations sent to a region."""
        self.add(f"t|{region}", counts)

    def event(self, name: str, **counts: int) -> None:
        """Count what another part did: `counters.event("warming", runs=1, warmed=500)`."""
        self.add(f"e|{name}", counts)

    def _long(self) -> None:
        if self._room:
            self._fold()
        else:
            self._room = ROOM
            self.on_first()

    # --- later ------------------------------------------------------------------------------------------------------

    def take(self) -> Sums:
        """Return what was counted since the last call."""
        self._fold()
        with self._lock:
            taken, self._fresh = self._fresh, {}
        return taken

    def totals(self) -> Sums:
        """Return what was counted since this process started; do not change it."""
        self._fold()
        return self._totals

    def _fold(self) -> None:
        with self._lock:
            size = len(self._log)
            batch = self._log[:size]
            del self._log[:size]  # what others append meanwhile comes after
            hits: dict[str, list[float]] = {}
            for item in batch:
                if len(item) == 2:
                    self._add(*item)
                    continue
                label, seconds, digest, made_at = item
                if seconds is not None:
                    hits.setdefault(label, []).append(seconds)
                if is_sampled(digest):
                    self._use(Use(label, digest, made_at))
            for label, durations in hits.items():
                packed = Histogram.of(durations).packed(LOOK_UP)
                self._add(f"r|{label}", {"hits": len(durations), **packed})

    def _use(self, use: Use) -> None:
        if use in self._known or len(self._used) >= MAX_USES:
            return
        if len(self._known) >= MAX_KNOWN:  # the region remembers them, too
            self._known.clear()
        self._known.add(use)
        self._used.append(use)

    def take_uses(self) -> list[Use]:
        """Return the sampled entries that were read for the first time, as far as this process knows."""
        with self._lock:
            taken, self._used = self._used, []
        return taken

    def _add(self, series: str, counts: Mapping[str, int]) -> None:
        if series not in self._totals and len(self._totals) >= MAX_SERIES:
            series = f"{series.partition('|')[0]}|{OTHER}"
        for sums in (self._totals, self._fresh):
            add_counts(sums.setdefault(series, {}), counts)

    # --- sums of this process ---------------------------------------------------------------------------------------

    def by_label(self, name: str) -> Counter[str]:
        """Return one count of all reads, by model and operation."""
        return Counter(
            {
                series[2:]: counts[name]
                for series, counts in self.totals().items()
                if series.startswith("r|") and name in counts
            }
        )

    def total(self, name: str) -> int:
        """Return one count over all series."""
        return sum(counts.get(name, 0) for counts in self.totals().values())

    @property
    def hits(self) -> Counter[str]:
        """Reads answered by a valid entry."""
        return self.by_label("hits")

    @property
    def misses(self) -> Counter[str]:
        """Reads loaded under a lease."""
        return self.by_label("misses")

    @property
    def bypasses(self) -> Counter[str]:
        """Reads loaded past the cache: a writer pending, no store."""
        return self.by_label("bypasses")

    @property
    def fills(self) -> Counter[str]:
        """Entries stored."""
        return self.by_label("fills")

    @property
    def late_marks(self) -> int:
        """Marks that had run out before their writer cleared them."""
        return self.total("late_marks")

    @property
    def lost_marks(self) -> int:
        """Marks that their region had lost before their time: full, frozen, begun anew."""
        return self.total("lost_marks")


def add_counts(sums: Counts, counts: Mapping[str, int]) -> None:
    for name, count in counts.items():
        sums[name] = sums.get(name, 0) + count


def add_sums(sums: Sums, others: Mapping[str, Mapping[str, int]]) -> None:
    """Add series by series."""
    for series, counts in others.items():
        add_counts(sums.setdefault(series, {}), counts)


counters = register_component(Counters())
os.register_at_fork(after_in_child=counters.reset)
