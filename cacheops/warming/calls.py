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
from cacheops.warming.batches import LeasedBatch, RequestBatch
from cacheops.warming.fanout import RegionFanout


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
        reader.fill_others()


class Read(NamedTuple):
    """One result that was read, and how to load it again."""

    request: Request
    rows: Rows
    load: LoadMany
    place: int  # that `load` knows it by


class CallReader:
    """Answers reads from the nearest region, and fills it; then fills the others. In a dry run it only counts."""

    def __init__(self, fanout: RegionFanout) -> None:
        self._fanout = fanout
        self._reads: dict[str, Read] = {}  # by entry

    def read(self, request: Request, load: Load) -> Rows:
        return self.read_many([request], lambda places: [load()])[0]

    def read_many(self, requests: Sequence[Request], load: LoadMany) -> list[Rows]:
        new = {request.entry: place for place, request in enumerate(requests) if request.entry not in self._reads}
        if new:
            places = list(new.values())
            found = self._fetch([requests[place] for place in places], lambda some: load([places[at] for at in some]))
            for (entry, place), rows in zip(new.items(), found, strict=True):
                self._reads[entry] = Read(requests[place], rows, load, place)
        return [self._reads[request.entry].rows for request in requests]

    def _fetch(self, requests: Sequence[Request], load: LoadMany) -> list[Rows]:
        """Return the results of requests from the nearest region, filling what it lacks."""
        fanout = self._fanout
        fanout.entries += len(requests)
        leased = {} if fanout.dry_run else fanout.lease(RequestBatch(requests), among=[fanout.nearest])
        found = {place: rows for own in leased.values() for place, rows in warm_rows(own)}
        cold = [place for place in range(len(requests)) if place not in found]
        if cold:
            started = time.perf_counter()
            with fanout.loading():
                found |= zip(cold, load(cold), strict=True)
            seconds = (time.perf_counter() - started) / len(cold)
            results = {place: encode(requests[place], found[place], seconds) for place in cold}
            fanout.fill(leased, [results.get(place) for place in range(len(requests))])
        return [found[place] for place in range(len(requests))]

    def fill_others(self) -> None:
        """Fill in the other regions what was read; in a dry run, count what is missing in all of them."""
        fanout, reads = self._fanout, list(self._reads.values())
        if fanout.dry_run:
            fanout.look([read.request for read in reads])
            return
        others = [name for name in fanout.names if name != fanout.nearest]
        if not others or not reads:
            return
        leased = fanout.lease(RequestBatch([read.request for read in reads]), among=others)
        missing = [at for at in range(len(reads)) if any(own.verdicts[at] is None for own in leased.values())]
        results: dict[int, Result | None] = {}
        with fanout.loading():
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
