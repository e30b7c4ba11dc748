"""The cached read of many entries at once: one look-up, one lease, one load and one fill for all of them.

For each entry the order is the protocol's, as in cacheops/reading/load.py: its versions are leased before the database
is asked. A reader fills what it has loaded before it waits for what others load, so that no two wait for each other.
"""

import logging
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence

from cacheops.conf import conf
from cacheops.encoding import rows as codec
from cacheops.encoding.rows import Entry, Row
from cacheops.exceptions import CorruptEntry, StoreError
from cacheops.instrumentation import request_stats
from cacheops.instrumentation.counters import FILL, LOAD, LOOK_UP, counters
from cacheops.reading.fetch import many_reader
from cacheops.reading.fill import seal, store_soon
from cacheops.reading.load import FIRST_WAIT, LONGEST_WAIT, count_error
from cacheops.reading.lookup import due_early, valid_entry
from cacheops.reading.request import Request, roomy
from cacheops.regions import Region, regions
from cacheops.regions.switches import controls
from cacheops.stores.base import EncodedEntry, LeaseRequest, Refusal

logger = logging.getLogger("cacheops")

Rows = Sequence[Row]
LoadMany = Callable[[Sequence[int]], Sequence[Rows]]


def fetch_many(requests: Sequence[Request], load: LoadMany) -> list[Rows]:
    """Return the rows of many cached reads, in their order; all requests have one label.

    What the local region's store lacks comes from `load`, which is given the places of those requests and returns their
    rows in the same order. It is called once; a second time only for what another reader was loading, and did not fill.
    """
    if not requests:
        return []
    reader = many_reader()
    if reader is not None:
        return reader(requests, load)
    return _Batch(regions.local, requests, load).rows()


class _Batch:
    """One reader's way through many entries. A place is a request's number."""

    def __init__(self, region: Region, requests: Sequence[Request], load: LoadMany) -> None:
        self.region = region
        self.store = region.store
        self.load = load
        self.label = requests[0].label
        self.requests = [roomy(region, request) for request in requests] if region.full else list(requests)
        self.databases = tuple({name for request in requests for name in request.databases})
        self.found: list[Rows | None] = [None] * len(requests)

    def rows(self) -> list[Rows]:
        if not self._held():
            try:
                with self.region.guard():
                    missing = self._look_up(range(len(self.requests)))
                self._wait(self._load_free(missing))
            except StoreError as error:
                count_error(self.label, error)
        left = [place for place, rows in enumerate(self.found) if rows is None]
        if left:
            request_stats.count(bypasses=len(left))
            counters.read(self.label, bypasses=len(left))
            self._load(left)
        return [rows for rows in self.found if rows is not None]

    def _held(self) -> bool:
        return controls.hold(self.databases, [table for request in self.requests for table in request.tables])

    # --- look up ----------------------------------------------------------------------------------------------------

    def _look_up(self, places: Iterable[int], waiting: bool = False) -> list[int]:
        """Take the valid entries of these places; return the places that have none."""
        started = time.perf_counter()
        wanted = list(places)
        values = self._values(wanted)
        missing = []
        counts: Counter[str] = Counter()
        for place in wanted:
            request = self.requests[place]
            found = [values[key] for key in request.key_list()]
            entry = valid_entry(request, found)
            if entry is None:
                counts["absent" if found[0] is None else "outdated"] += 1
            elif due_early(entry):
                counts["early"] += 1
            elif self._take(place, entry):
                counts["hits"] += 1
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

    # --- load and fill ----------------------------------------------------------------------------------------------

    def _load_free(self, missing: Sequence[int]) -> list[int]:
        """Load and fill what nobody else is loading; return the places that somebody is."""
        if not missing:
            return []
        with self.region.guard(urgent=True):
            free = self.store.lock([self.requests[place].loader for place in missing], conf.loader_seconds)
        own = [place for place, is_free in zip(missing, free, strict=True) if is_free]
        if own:
            try:
                sealed = self._loaded(own)
            except BaseException:
                self._release(own)
                raise
            self._fill(own, sealed)
        return [place for place, is_free in zip(missing, free, strict=True) if not is_free]

    def _loaded(self, places: Sequence[int]) -> dict[int, EncodedEntry]:
        """Lease, load, and return what is to be stored. A writer is pending on the rest: that is not stored."""
        versions = self._lease(places)
        wanted = [place for place in places if self.found[place] is None]
        hits, misses = len(places) - len(wanted), sum(place in versions for place in wanted)
        request_stats.count(hits=hits, misses=misses, bypasses=len(wanted) - misses)
        counters.read(self.label, hits=hits, misses=misses, bypasses=len(wanted) - misses)
        seconds = self._load(wanted)
        sealed = {}
        for place in wanted:
            loaded = self.found[place]
            if place in versions and loaded is not None:
                one = seal(self.requests[place], loaded, versions[place], seconds)
                if one is not None:
                    sealed[place] = one
        return sealed

    def _lease(self, places: Sequence[int]) -> dict[int, bytes]:
        """Return the versions under which each place may be filled; take what was filled in the meantime."""
        with self.region.guard(urgent=True):
            answers = self._lease_once(places)
        full = [place for place in places if answers[place][0] is Refusal.FULL]
        if full:
            for place in full:
                request = self.requests[place]
                self.region.note_full(request.tables)
                self.requests[place] = request.coarse()
            with self.region.guard(urgent=True):
                answers |= self._lease_once(full)
        versions = {}
        for place in places:
            leased, payload = answers[place]
            if isinstance(leased, bytes):
                versions[place] = leased
                self._take_newer(place, leased, payload)
        return versions

    def _lease_once(self, places: Sequence[int]) -> dict[int, tuple[bytes | Refusal, bytes | None]]:
        wanted = [LeaseRequest(self.requests[place].entry, self.requests[place].tables) for place in places]
        ttl = max(self.requests[place].profile.timeout for place in places)
        found = self.region.drained(self.databases, lambda: self.store.lease_many(wanted, ttl).result())
        answers = dict(zip(places, found, strict=True))
        for place, (leased, _) in answers.items():
            if isinstance(leased, bytes):
                for table in self.requests[place].tables:
                    self.region.has_registered(table.keys, table.schemes)
        return answers

    def _take_newer(self, place: int, leased: bytes, payload: bytes | None) -> None:
        if payload is None:
            return
        try:
            entry = codec.decode(payload)
        except CorruptEntry:
            return
        if entry.versions == leased and not due_early(entry):
            self._take(place, entry)

    def _load(self, places: Sequence[int]) -> float:
        """Load these places; return the seconds that it took."""
        started = time.perf_counter()
        if places:
            for place, rows in zip(places, self.load(places), strict=True):
                self.found[place] = rows
            counters.read_timed(self.label, LOAD, time.perf_counter() - started)
        return time.perf_counter() - started

    def _fill(self, places: Sequence[int], sealed: Mapping[int, EncodedEntry]) -> None:
        """Store what was loaded, and let the locks of all places go."""
        started = time.perf_counter()
        by_table: dict[str, list[int]] = {}
        for place in places:
            by_table.setdefault(self.requests[place].keys.base, []).append(place)
        for own in by_table.values():
            kept = [sealed[place] for place in own if place in sealed]
            store_soon(self.region, self.label, kept, [self.requests[place].loader for place in own])
        counters.read_timed(self.label, FILL, time.perf_counter() - started)  # the answer is not waited for

    def _release(self, places: Sequence[int]) -> None:
        try:
            with self.region.guard(urgent=True):
                self.store.release([self.requests[place].loader for place in places])
        except StoreError as error:  # they run out by themselves
            logger.debug("Loaders' locks were not released: %s", error)

    # --- wait -------------------------------------------------------------------------------------------------------

    def _wait(self, busy: list[int]) -> None:
        """Look again until others have filled these places; load what they have left. Give up after their time."""
        deadline = time.monotonic() + conf.loader_seconds
        pause = FIRST_WAIT
        while busy and time.monotonic() < deadline:
            time.sleep(pause)
            pause = min(pause * 1.5, LONGEST_WAIT)
            with self.region.guard(urgent=True):
                busy = self._look_up(busy, waiting=True)
            busy = self._load_free(busy)
