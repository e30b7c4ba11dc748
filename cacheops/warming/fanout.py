"""The regions that are warmed together: a thread for each, one load for all of them."""

import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from functools import partial
from typing import TypeAlias, TypeVar

from django.db import connections

from cacheops.encoding.rows import EncodedRows, Entry
from cacheops.exceptions import StoreError, StoreUnavailable
from cacheops.reading.fill_many import Filled, Filling, Held, Leased, fill_many, lease_many, look_many
from cacheops.reading.options import loaded_from
from cacheops.reading.request import Request
from cacheops.regions import Region, regions
from cacheops.warming.columnar import Alike, fill_alike, lease_alike
from cacheops.warming.history import Outcome
from cacheops.warming.replica import Source

logger = logging.getLogger("cacheops")

T = TypeVar("T")
Asked: TypeAlias = Alike | Sequence[Request]
# How long a run waits in all for a region that does not answer: a fail-over passes, a lost region holds up the others
# no longer than this.
PATIENCE_SECONDS = 3.0
PAUSE_SECONDS = 0.5


class Crew:
    """Asks all regions at once, and keeps what came of it. One that fails is left out of that step, and counted."""

    def __init__(self, names: Sequence[str], source: Source, *, dry_run: bool = False) -> None:
        self.names = tuple(names)
        self.source = source
        self.dry_run = dry_run
        self.outcomes = {name: Outcome() for name in names}
        self.asked = 0  # entries that each region was asked for
        self._patience = dict.fromkeys(names, PATIENCE_SECONDS)
        self._filling: dict[str, tuple[int, Future[Filled]]] = {}
        self._threads = {name: ThreadPoolExecutor(1, thread_name_prefix=f"warm-{name}") for name in names}

    def each(self, act: Callable[[Region], T], entries: int, among: Sequence[str] | None = None) -> dict[str, T]:
        """Return what `act` returns for each region; where one fails, so many entries count as failed."""
        asked = {
            name: self._threads[name].submit(self._in, name, act) for name in (self.names if among is None else among)
        }
        found: dict[str, T] = {}
        for name, answer in asked.items():
            try:
                found[name] = answer.result()
            except StoreError as error:
                self.failed(name, entries, error)
        return found

    def failed(self, name: str, entries: int, error: object) -> None:
        outcome = self.outcomes[name]
        if not outcome.error:
            logger.warning("Region %s is not warmed: %s", name, error)
        outcome.failed += entries
        outcome.error = str(error)

    def skipped(self, entries: int) -> None:
        """Count entries that no region takes."""
        for outcome in self.outcomes.values():
            outcome.skipped += entries

    def lease(self, asked: Asked) -> dict[str, list[Leased]]:
        """Lease entries in every region, and count what need not or can't be filled."""
        self.asked += len(asked)
        if isinstance(asked, Alike):
            leased = self.each(lambda region: lease_alike(region, asked), len(asked))
        else:
            leased = self.each(lambda region: lease_many(region, asked), len(asked))
        for name, found in leased.items():
            outcome, kinds = self.outcomes[name], list(map(type, found))
            outcome.skipped += kinds.count(Held)
            outcome.already_warm += kinds.count(Entry)
        return leased

    def look(self, requests: Sequence[Request]) -> None:
        """Count what a run would do with requests."""
        self.asked += len(requests)
        for name, found in self.each(lambda region: look_many(region, requests), len(requests)).items():
            self.outcomes[name].already_warm += sum(found)
            self.outcomes[name].warmed += len(found) - sum(found)

    @contextmanager
    def loading(self) -> Iterator[None]:
        """Load from where it is right to. Entered after the leases."""
        with loaded_from(self.source.sources()):
            yield

    def fill(
        self,
        asked: Asked,
        leased: Mapping[str, Sequence[Leased]],
        rows: Sequence[EncodedRows | None],
        load_seconds: float,
    ) -> None:
        """Store what was loaded where it was leased; `rows` None are left out, and count as skipped."""
        self._settle()
        for name, found in leased.items():
            size = sum(type(versions) is bytes and one is not None for versions, one in zip(found, rows, strict=True))
            self.outcomes[name].skipped += list(map(type, found)).count(bytes) - size
            if not size:
                continue
            if isinstance(asked, Alike):
                act = partial(fill_alike, alike=asked, leased=found, rows=rows, load_seconds=load_seconds)
            else:
                act = partial(fill_many, fillings=_fillings(asked, found, rows), load_seconds=load_seconds)
            self._filling[name] = size, self._threads[name].submit(self._in, name, act)

    def _settle(self) -> None:
        """Count what came of the fillings under way. The next batch is prepared meanwhile."""
        filling, self._filling = self._filling, {}
        for name, (size, answer) in filling.items():
            outcome = self.outcomes[name]
            try:
                filled = answer.result()
            except StoreError as error:
                self.failed(name, size, error)
                continue
            outcome.warmed += filled.entries
            outcome.bytes += filled.bytes
            outcome.skipped += filled.refused

    def _in(self, name: str, act: Callable[[Region], T]) -> T:
        """Act in a region. One that does not answer is asked again, until the patience with it is used up."""
        while True:
            try:
                return act(regions[name])  # made here: a cluster that does not answer raises already then
            except StoreUnavailable:
                if self._patience[name] <= 0:
                    raise
                self._patience[name] -= PAUSE_SECONDS
                time.sleep(PAUSE_SECONDS)

    def close(self) -> None:
        """Count what is under way, and end the threads with what they hold open. Closing twice does nothing."""
        self._settle()
        threads, self._threads = self._threads, {}
        for name, thread in threads.items():
            thread.submit(_close, name).result()
            thread.shutdown()


def _close(name: str) -> None:
    with suppress(StoreError):
        regions[name].store.close()
    connections.close_all()


def _fillings(
    requests: Sequence[Request], leased: Sequence[Leased], rows: Sequence[EncodedRows | None]
) -> list[Filling]:
    return [
        Filling(request, versions, one)
        for request, versions, one in zip(requests, leased, rows, strict=True)
        if isinstance(versions, bytes) and one is not None
    ]
