"""The cached read of many results at once: one look-up, one lease, one load and one fill for all of them.

For each result the order is that of a single read. A reader fills what it has loaded before it waits for what others
load, so that no two wait for each other.
"""

import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from functools import partial

from cacheops.conf import conf
from cacheops.encoding.rows import Entry
from cacheops.exceptions import CorruptEntry, StoreError
from cacheops.instrumentation import request_stats
from cacheops.instrumentation.counters import LOAD, LOOK_UP, counters
from cacheops.reading.fetch import fetch
from cacheops.reading.lease import Lease, fill_nowait, take_free_leases
from cacheops.reading.load import count_bypass
from cacheops.reading.lookup import due_early, valid_entry
from cacheops.reading.notes import current_notes
from cacheops.reading.policy import region_bypass
from cacheops.reading.reader import LoadMany, Rows, current_reader
from cacheops.reading.request import Request, coarsen_all_if_full, databases_of, followed_in
from cacheops.reading.waiting import looks
from cacheops.regions import Region, regions
from cacheops.stores.base import Refusal


def fetch_many(requests: Sequence[Request], load: LoadMany) -> list[Rows]:
    """Return the rows of many cached reads, in their order; all requests have one label.

    What the local region's store lacks comes from `load`, which is given the places of those requests and returns their
    rows in the same order. It is called once; a second time only for what another reader was loading, and did not fill.
    """
    if not requests:
        return []
    reader = current_reader()
    if reader is not None:
        return reader.read_many(requests, load)
    if conf.followers and followed_in(databases_of(requests)):
        return [fetch(request, partial(_load_one, load, place)) for place, request in enumerate(requests)]
    return _Batch(regions.local, requests, load).rows()


def _load_one(load: LoadMany, place: int) -> Rows:
    return load([place])[0]


class _Batch:
    """One reader's many results. A place is a request's number."""

    def __init__(self, region: Region, requests: Sequence[Request], load: LoadMany) -> None:
        self.region = region
        self.load = load
        self.label = requests[0].label
        self.requests = coarsen_all_if_full(region, requests)
        self.databases = databases_of(requests)
        self.found: list[Rows | None] = [None] * len(requests)

    def rows(self) -> list[Rows]:
        error: StoreError | None = None
        tables = [table for request in self.requests for table in request.tables]
        if region_bypass(self.region, self.databases, tables) is None:
            try:
                with self.region.guard():
                    missing = self._look_up(range(len(self.requests)))
                if busy := self._load_free(missing):
                    self._wait(busy)
            except StoreError as failure:
                error = failure
        left = [place for place, rows in enumerate(self.found) if rows is None]
        if left:
            count_bypass(self.label, error, reads=len(left))
            self._load(left)
        return [rows for rows in self.found if rows is not None]

    def _look_up(self, places: Iterable[int], waiting: bool = False) -> list[int]:
        """Take the valid entries of these places; return the places that have none."""
        started = time.perf_counter()
        wanted = list(places)
        values = self._values(wanted)
        missing = []
        counts: Counter[str] = Counter()
        notes = current_notes()
        for place in wanted:
            request = self.requests[place]
            keys = request.key_list()
            found = [values[key] for key in keys]
            entry = valid_entry(request, keys[0], found)
            if entry is None:
                counts["absent" if found[0] is None else "outdated"] += 1
            elif due_early(entry):
                counts["early"] += 1
            elif self._take(place, entry):
                counts["hits"] += 1
                if notes is not None:
                    notes.entry(request, keys, found, entry)
                continue
            missing.append(place)
        request_stats.count(hits=counts["hits"])
        if waiting:  # it looks often: what it does not find is not counted
            counts = Counter(hits=counts["hits"])
        if counts["hits"] or not waiting:
            counters.read_timed(self.label, LOOK_UP, time.perf_counter() - started, **counts)
        return missing

    def _values(self, places: Sequence[int]) -> dict[str, bytes | None]:
        """Return the values of all keys of these places. Those of one table stand side by side: one MGET a table."""
        by_table: dict[str, dict[str, None]] = {}
        for place in places:
            request = self.requests[place]
            by_table.setdefault(request.keys.base, {})[request.entry] = None
            for table in request.tables:
                by_table.setdefault(table.keys.base, {}).update(dict.fromkeys(table.key_list()))
        keys = [key for own in by_table.values() for key in own]
        return dict(zip(keys, self.region.read(keys, self.databases), strict=True))

    def _take(self, place: int, entry: Entry) -> bool:
        try:
            self.found[place] = entry.rows()
        except CorruptEntry:
            counters.read(self.label, corrupt=1)
            return False
        counters.used(self.label, self.requests[place].digest, entry.made_at)
        return True

    def _load_free(self, places: Sequence[int]) -> list[int]:
        """Lease, load and fill what no other reader is loading; return the places that another one is."""
        if not places:
            return []
        busy: list[int] = []
        wanted: list[int] = []
        leases: dict[int, Lease] = {}
        leased = take_free_leases(self.region, [self.requests[place] for place in places])
        for place, (lease, entry) in zip(places, leased, strict=True):
            if lease is Refusal.BUSY:
                busy.append(place)
                continue
            if isinstance(lease, Lease):
                leases[place] = lease
            if entry is None or due_early(entry) or not self._take(place, entry):  # else it was filled in the meantime
                wanted.append(place)
        self._count_leased(len(places) - len(busy) - len(wanted), wanted, leases)
        self._load_and_fill(wanted, leases)
        return busy

    def _load_and_fill(self, places: Sequence[int], leases: Mapping[int, Lease]) -> None:
        """Load these places; store those that have a lease, and let the locks of all leases go."""
        loaded: dict[int, Rows | None] = {}
        seconds = 0.0
        try:
            seconds = self._load(places)
            loaded = {place: self.found[place] for place in places}
        finally:
            if leases:
                fill_nowait(list(leases.values()), [loaded.get(place) for place in leases], seconds)

    def _count_leased(self, hits: int, wanted: Sequence[int], leases: Iterable[int]) -> None:
        misses = len(set(wanted).intersection(leases))
        counts = {"hits": hits, "misses": misses, "bypasses": len(wanted) - misses}  # a writer is pending on the rest
        request_stats.count(**counts)
        counters.read(self.label, **counts)

    def _load(self, places: Sequence[int]) -> float:
        """Load these places; return the seconds that it took."""
        started = time.perf_counter()
        if places:
            for place, rows in zip(places, self.load(places), strict=True):
                self.found[place] = rows
            counters.read_timed(self.label, LOAD, time.perf_counter() - started)
        return time.perf_counter() - started

    def _wait(self, busy: list[int]) -> None:
        """Look up again until others have filled these places; load what they have left. Give up after their time."""
        for _ in looks(conf.loader_seconds):
            with self.region.guard(urgent=True):
                busy = self._look_up(busy, waiting=True)
            if not (busy := self._load_free(busy)):
                return
