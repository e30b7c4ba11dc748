"""The way from a miss to its answer: lease, load once, fill.

The order is the protocol's (docs/design/invalidation.md): versions are leased before the database is asked, so whatever
is invalidated meanwhile leaves an entry that no reader accepts.
"""

import logging
import time
from collections.abc import Callable, Sequence

from cacheops.conf import conf
from cacheops.encoding.rows import Row
from cacheops.exceptions import CommandRefused, ServerRefused, StoreError
from cacheops.instrumentation import request_stats
from cacheops.instrumentation.counters import FILL, LOAD, counters
from cacheops.reading.fill import seal, store_soon
from cacheops.reading.lookup import look_up
from cacheops.reading.request import Request
from cacheops.reading.stale import ask_to_note, outdated_rows
from cacheops.regions import Region
from cacheops.stores.base import Refusal, Store, TableTags
from cacheops.stores.circuit_breaker import CircuitOpen
from cacheops.stores.reply import Reply

logger = logging.getLogger("cacheops")

Loader = Callable[[], Sequence[Row]]

FIRST_WAIT = 0.002  # seconds between two looks of a reader that waits for another's load
LONGEST_WAIT = 0.02


def bypass(request: Request, load: Loader, error: StoreError | None = None) -> Sequence[Row]:
    """Return what the database holds; `error` is why the region was of no help."""
    if error is not None:
        count_error(request.label, error)
    request_stats.count(bypasses=1)
    counters.read(request.label, bypasses=1)
    return load()


def count_error(label: str, error: StoreError) -> None:
    """Count a read that its region could not answer, unless it was not asked; log what only this read was refused."""
    if isinstance(error, CircuitOpen):
        return
    counters.read(label, errors=1)
    if isinstance(error, CommandRefused) and not isinstance(error, ServerRefused):
        logger.error("Region %s refused a read of %s: %s", conf.local_region, label, error)


class Miss:
    """One reader's way from its miss to its answer."""

    def __init__(self, region: Region, request: Request, load: Loader) -> None:
        self.region = region
        self.store: Store = region.store
        self.request = request
        self.load = load
        self._begun: Reply[bytes | Refusal] | None = None

    def begin(self) -> None:
        """Ask for the lease before the look-up, which will most likely find nothing: one round trip for both."""
        if self.store.remote:
            self._begun = self.store.lease(*self._terms())

    def _terms(self) -> tuple[Sequence[TableTags], str, float, float]:
        profile = self.request.profile
        hold = conf.loader_seconds if profile.one_loads else 0.0
        return self.request.tables, self.request.loader, profile.timeout, hold

    def give_up(self) -> None:
        """Let the lock go that came with a lease: the look-up has found the entry."""
        if self._begun is not None:
            try:
                with self.region.guard(urgent=True):
                    leased = self._begun.result()
            except StoreError as error:
                logger.debug("A lease asked for in advance got no answer: %s", error)
            else:
                if isinstance(leased, bytes):
                    self._release()

    def rows(self) -> Sequence[Row]:
        try:
            with self.region.guard(urgent=True):
                leased = self._lease()
        except StoreError as error:
            return bypass(self.request, self.load, error)
        if isinstance(leased, Refusal):
            outdated = self._outdated()
            if outdated is not None:
                return outdated
            return self._wait() if leased is Refusal.BUSY else bypass(self.request, self.load)
        request_stats.count(misses=1)
        counters.read(self.request.label, misses=1)
        return self._load_and_fill(leased)

    def _outdated(self) -> Sequence[Row] | None:
        """Return the rows of an entry that is outdated, but not for longer than the profile takes."""
        if not self.request.profile.stale:
            return None
        try:
            with self.region.guard(urgent=True):
                found = outdated_rows(self.region, self.request.entry, self.request.tables, self.request.profile.stale)
        except StoreError as error:
            logger.debug("An outdated entry was not read: %s", error)
            return None
        if found is not None:
            request_stats.count(hits=1)
            counters.read(self.request.label, stale=1)
        return found

    def _lease(self) -> bytes | Refusal:
        leased = self._lease_once()
        if leased is Refusal.FULL:
            self.region.note_full(self.request.tables)
            self.request = self.request.coarse()
            leased = self._lease_once()
        return leased

    def _lease_once(self) -> bytes | Refusal:
        profile = self.request.profile
        begun, self._begun = self._begun, None
        leased = (begun or self.store.lease(*self._terms())).result()
        if isinstance(leased, bytes):
            for table in self.request.tables:
                self.region.has_registered(table.keys, table.schemes)
            if profile.stale:
                ask_to_note(self.region, self.request.tables, profile.stale)
        return leased

    def _wait(self) -> Sequence[Row]:
        """Look again until the loader has filled the entry, is gone, or has had its time."""
        deadline = time.monotonic() + conf.loader_seconds
        pause = FIRST_WAIT
        while time.monotonic() < deadline:
            time.sleep(pause)
            pause = min(pause * 1.5, LONGEST_WAIT)
            try:
                with self.region.guard(urgent=True):
                    found = look_up(self.region, self.request, waiting=True)
                    if found is not None:
                        return found
                    leased = self._lease()
            except StoreError:
                break
            if leased is Refusal.PENDING:
                break
            if leased is not Refusal.BUSY:
                request_stats.count(misses=1)
                counters.read(self.request.label, misses=1)
                return self._load_and_fill(leased)
        return bypass(self.request, self.load)

    def _load_and_fill(self, versions: bytes | Refusal) -> Sequence[Row]:
        started = time.perf_counter()
        try:
            loaded = self.load()
        except BaseException:
            self._release()
            raise
        load_seconds = time.perf_counter() - started
        counters.read_timed(self.request.label, LOAD, load_seconds)
        self._fill(loaded, versions, load_seconds)
        return loaded

    def _fill(self, loaded: Sequence[Row], versions: bytes | Refusal, load_seconds: float) -> None:
        assert isinstance(versions, bytes)
        started = time.perf_counter()
        sealed = seal(self.request, loaded, versions, load_seconds)
        if sealed is None:
            return self._release()
        store_soon(self.region, self.request.label, [sealed], [self.request.loader])
        counters.read_timed(self.request.label, FILL, time.perf_counter() - started)  # the answer is not waited for
        return None

    def _release(self) -> None:
        if not self.request.profile.one_loads:
            return
        try:
            with self.region.guard(urgent=True):
                self.store.release([self.request.loader])
        except StoreError as error:  # it runs out by itself
            logger.debug("A loader's lock was not released: %s", error)
