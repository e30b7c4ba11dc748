"""The regions that are warmed together: a thread for each, one load for all of them."""

import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from functools import partial
from typing import TypeVar

from django.db import connections

from cacheops.conf import conf
from cacheops.encoding.rows import Entry
from cacheops.exceptions import StoreError, StoreUnavailable
from cacheops.reading.follower import FollowerRead
from cacheops.reading.lease import Filled, Result
from cacheops.reading.options import loaded_from
from cacheops.reading.request import Request, databases_of, followed_in
from cacheops.regions import Region, regions
from cacheops.warming.batches import Batch, LeasedBatch, SkipReason, count_warm
from cacheops.warming.history import Outcome
from cacheops.warming.replica import CATCH_UP_SECONDS, Source

logger = logging.getLogger("cacheops")

T = TypeVar("T")
L = TypeVar("L", bound=LeasedBatch)
# How long a run waits in all for a region that does not answer: a fail-over passes, a lost region holds up the others
# no longer than this.
PATIENCE_SECONDS = 3.0
PAUSE_SECONDS = 0.5


class RegionFanout:
    """Asks all regions at once, and keeps what came of it. One that fails is left out of that step, and counted."""

    def __init__(self, names: Sequence[str], source: Source, *, dry_run: bool = False) -> None:
        self.names = tuple(names)
        self.source = source
        self.dry_run = dry_run
        self.outcomes = {name: Outcome() for name in names}
        self.entries = 0  # that each region was asked for
        self._patience = dict.fromkeys(names, PATIENCE_SECONDS)
        self._catch_up = CATCH_UP_SECONDS  # that a replica which this region follows is waited for
        self._filling: dict[str, tuple[int, Future[Filled]]] = {}
        self._threads = {name: ThreadPoolExecutor(1, thread_name_prefix=f"warm-{name}") for name in names}

    @property
    def nearest(self) -> str:
        """The region of this process, where it is among them."""
        return conf.local_region if conf.local_region in self.names else self.names[0]

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

    def lease(self, batch: Batch[L], among: Sequence[str] | None = None) -> dict[str, L]:
        """Lease a batch in every region, and count what need not or can't be filled."""
        leased = self.each(batch.take, len(batch), among)
        for name, own in leased.items():
            outcome, kinds = self.outcomes[name], list(map(type, own.verdicts))
            outcome.skipped += kinds.count(SkipReason)
            outcome.already_warm += kinds.count(Entry)
        return leased

    def look(self, requests: Sequence[Request]) -> None:
        """Count what a run would do with requests."""
        for name, warm in self.each(lambda region: count_warm(region, requests), len(requests)).items():
            self.outcomes[name].already_warm += warm
            self.outcomes[name].warmed += len(requests) - warm

    @contextmanager
    def loading(self, batch: Batch[L]) -> Iterator[bool]:
        """Load a batch from where it is right to, and say whether it may be filled. Entered after the leases (R2)."""
        requests = batch.requests() if conf.followers else ()
        alias = followed_in(databases_of(requests))
        if alias is None:
            with loaded_from(self.source.sources()):
                yield True
        elif FollowerRead(alias).may_fill(regions[self.nearest], requests, self._catch_up):
            self._catch_up = CATCH_UP_SECONDS
            yield True
        else:  # R18; and the next batch does not wait for it again
            self._catch_up = 0.0
            with loaded_from({alias: conf.followers[alias]}):
                yield False

    def fill(self, leased: Mapping[str, LeasedBatch], results: Sequence[Result | None]) -> None:
        """Store what was loaded where it was leased; what has no result is left out, and counts as skipped."""
        self._settle()
        for name, own in leased.items():
            pairs = zip(own.verdicts, results, strict=True)
            size = sum(verdict is None and result is not None for verdict, result in pairs)
            self.outcomes[name].skipped += list(own.verdicts).count(None) - size
            if size:
                act = partial(_fill, own, results)
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
            outcome.skipped += filled.too_large

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


def _fill(leased: LeasedBatch, results: Sequence[Result | None], region: Region) -> Filled:
    return leased.fill(results)
