"""The entries that calls read: whatever a page asks the cache for, as the page itself asks for it."""

import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import NamedTuple

from django.core.exceptions import ObjectDoesNotExist

from cacheops.encoding.rows import Entry
from cacheops.exceptions import CorruptEntry
from cacheops.reading.lease import Result, encode
from cacheops.reading.reader import Load, LoadMany, Rows, reading_by
from cacheops.reading.request import Request
from cacheops.regions import regions
from cacheops.warming.batches import LeasedBatch, LeasedRequests, RequestBatch
from cacheops.warming.fanout import RegionFanout

FILL_BATCH = 100  # entries: fewer cost a round trip each, more wait longer for their readers


@dataclass(frozen=True)
class Reads:
    """The entries of whatever some calls read through the cache: they are the callers' own, whatever these do.

    Each call is made once. What it reads is leased, loaded and filled in the nearest of the regions as it goes. Then
    all that was read is leased in the other regions in one round trip, loaded once more, and filled there.
    """

    calls: Sequence[Callable[[], object]]

    def warm(self, fanout: RegionFanout) -> None:
        reader = CallReader(fanout)
        with reading_by(reader):
            for call in self.calls:
                with suppress(ObjectDoesNotExist):  # it was deleted
                    call()
        reader.fill()
        reader.fill_others()


class Read(NamedTuple):
    """One result that was read, and how to load it again."""

    request: Request
    load: LoadMany
    place: int  # that `load` knows it by


class CallReader:
    """Answers reads from the nearest region, and fills it; then fills the others. In a dry run it only counts."""

    def __init__(self, fanout: RegionFanout) -> None:
        self._fanout = fanout
        self._reads: dict[str, Read] = {}  # by entry: all of them
        self._recent: dict[str, Rows] = {}  # by entry: what was leased since the load under way began
        self._leased: list[LeasedRequests] = []  # and not filled yet
        self._results: list[Result | None] = []

    def read(self, request: Request, load: Load) -> Rows:
        return self.read_many([request], lambda places: [load()])[0]

    def read_many(self, requests: Sequence[Request], load: LoadMany) -> list[Rows]:
        new = {request.entry: place for place, request in enumerate(requests) if request.entry not in self._recent}
        if new:
            places = list(new.values())
            found = self._fetch([requests[place] for place in places], lambda some: load([places[at] for at in some]))
            self._recent |= zip(new, found, strict=True)
            self._reads |= {entry: Read(requests[place], load, place) for entry, place in new.items()}
        return [self._recent[request.entry] for request in requests]

    def passed(self, label: str, reason: str) -> None:
        """Leave it: what is not cached is not warmed."""

    def _fetch(self, requests: Sequence[Request], load: LoadMany) -> list[Rows]:
        """Return the results of requests from the nearest region; what it lacks is loaded, and filled by and by."""
        fanout = self._fanout
        fanout.entries += sum(request.entry not in self._reads for request in requests)
        leased = {} if fanout.dry_run else fanout.lease(RequestBatch(requests), among=[fanout.nearest])
        found = {place: rows for own in leased.values() for place, rows in warm_rows(own)}
        cold = [place for place in range(len(requests)) if place not in found]
        if cold:
            started = time.perf_counter()
            loaded, may_fill = self._load(cold, load, RequestBatch([requests[place] for place in cold]))
            found |= zip(cold, loaded, strict=True)
            seconds = (time.perf_counter() - started) / len(cold)
            results = {place: encode(requests[place], found[place], seconds) for place in cold if may_fill}
            for own in leased.values():
                self._leased.append(own)
                self._results += [results.get(place) for place in range(len(requests))]
            if len(self._results) >= FILL_BATCH:
                self.fill()
        return [found[place] for place in range(len(requests))]

    def _load(self, places: Sequence[int], load: LoadMany, batch: RequestBatch) -> tuple[Sequence[Rows], bool]:
        """Load what was just leased, and return whether it may be filled.

        Where a load reads by itself, it must not be given what was read before (R2).
        """
        before, self._recent = self._recent, {}
        try:
            with self._fanout.loading(batch) as may_fill:
                return load(places), may_fill
        finally:
            self._recent = before | self._recent

    def fill(self) -> None:
        """Fill the nearest region with what was loaded."""
        if self._leased:
            leased, results = LeasedRequests.joined(self._leased), self._results
            self._leased, self._results = [], []
            self._fanout.fill({self._fanout.nearest: leased}, results)

    def fill_others(self) -> None:
        """Fill in the other regions what was read; in a dry run, count what is missing in all of them."""
        fanout, reads = self._fanout, list(self._reads.values())
        if fanout.dry_run:
            fanout.look([read.request for read in reads])
            return
        others = [name for name in fanout.names if name != fanout.nearest]
        if not others or not reads:
            return
        batch = RequestBatch([read.request for read in reads])
        leased = fanout.lease(batch, among=others)
        missing = [at for at in range(len(reads)) if any(own.verdicts[at] is None for own in leased.values())]
        results: dict[int, Result | None] = {}
        # What is loaded may be made of what the local region holds: it must have missed nothing until now.
        regions.local.outbox.recheck()
        with fanout.loading(batch):  # which a region that follows has no part in
            for load, places in by_load(reads, missing):
                started = time.perf_counter()
                loaded = load([reads[at].place for at in places])
                seconds = (time.perf_counter() - started) / len(places)
                results |= {
                    at: encode(reads[at].request, rows, seconds) for at, rows in zip(places, loaded, strict=True)
                }
        fanout.fill(leased, [results.get(at) for at in range(len(reads))])


def warm_rows(leased: LeasedBatch) -> Iterable[tuple[int, Rows]]:
    """Yield the rows of the entries that are warm, by their places."""
    for place, verdict in enumerate(leased.verdicts):
        if isinstance(verdict, Entry):
            with suppress(CorruptEntry):
                yield place, verdict.rows()


def by_load(reads: Sequence[Read], places: Sequence[int]) -> Iterable[tuple[LoadMany, list[int]]]:
    """Yield what loads several reads at once, and the places of these."""
    found: dict[int, tuple[LoadMany, list[int]]] = {}
    for at in places:
        found.setdefault(id(reads[at].load), (reads[at].load, []))[1].append(at)
    return found.values()
