"""The cached read: look up, lease, load once, fill. It knows keys, tags and bytes; queries are the ORM floor's.

The order is the protocol's (docs/design/invalidation.md): versions are leased before the database is asked, so whatever
is invalidated meanwhile leaves an entry that no reader accepts.
"""

import logging
import random
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import NamedTuple

from cacheops import rows as codec
from cacheops import tally
from cacheops.conf import conf
from cacheops.controls import controls
from cacheops.exceptions import CommandRefused, CorruptEntry, StoreError, StoreUnavailable, UnencodableValue
from cacheops.keys import TableKeys
from cacheops.monitoring.counters import FILL, LOAD, LOOK_UP, counters, is_sampled
from cacheops.monitoring.tracing import tracing
from cacheops.outdated import ask_to_note, outdated_rows
from cacheops.profiles import Profile
from cacheops.queue import replay_queue
from cacheops.regions import Region, regions
from cacheops.rows import Entry, Row
from cacheops.stores.base import Refusal, Store, TableTags
from cacheops.tags import WHOLE_TABLE
from cacheops.ttl import jittered, refresh_early
from cacheops.usage import usage

logger = logging.getLogger("cacheops")

Loader = Callable[[], Sequence[Row]]

MISSES_AHEAD = 2  # look-ups of a label that found nothing, after which the next one asks for its lease at once
FIRST_WAIT = 0.002  # seconds between two looks of a reader that waits for another's load
LONGEST_WAIT = 0.02
MOST_EARLY = 37  # -log(2**-53), rounded up: 1 - random.random() is never smaller


class Request(NamedTuple):
    """What a reader asks for: an entry's digest, and the tables and tags that it depends on; the first holds it."""

    digest: str
    tables: tuple[TableTags, ...]
    profile: Profile
    label: str  # model and operation, for the counters
    databases: tuple[str, ...] = ()  # whose rows the result is made of: their queues count
    life: "Callable[[Sequence[Row]], float] | None" = None  # seconds that a result is kept; None: the profile's timeout

    @property
    def keys(self) -> TableKeys:
        return self.tables[0].keys

    def key_list(self) -> list[str]:
        """Return the entry's key and the keys of all that it depends on."""
        found = [self.keys.entry(self.digest)]
        for table in self.tables:
            found += table.key_list()
        return found

    def seconds(self, loaded: Sequence[Row]) -> float:
        """Return how long a result is kept: 0 for not at all."""
        return self.profile.timeout if self.life is None else self.life(loaded)

    def coarse(self) -> "Request":
        """Return the same request, depending on whole tables."""
        tables = tuple(TableTags(table.keys, (WHOLE_TABLE,), (WHOLE_TABLE,)) for table in self.tables)
        return self._replace(tables=tables)


Reader = Callable[[Request, Loader], Sequence[Row]]
ManyReader = Callable[[Sequence[Request], Callable[[Sequence[int]], Sequence[Sequence[Row]]]], list[Sequence[Row]]]
_reader: ContextVar[Reader | None] = ContextVar("cacheops_reader", default=None)
_many_reader: ContextVar[ManyReader | None] = ContextVar("cacheops_many_reader", default=None)


def fetch(request: Request, load: Loader, miss: "type[Miss] | None" = None) -> Sequence[Row]:
    """Return the rows of a cached read: from the local region's store, else from `load`, in the way of `miss`."""
    reader = _reader.get()
    if reader is not None:
        return reader(request, load)
    region = regions.local
    usage.left -= 1
    if usage.left < 0:
        usage.sample(region, request.tables)
    if region.full and any(
        (table.keys.base, scheme) in region.full for table in request.tables for scheme in table.schemes
    ):
        request = request.coarse()
    if controls.hold(request.databases, request.tables) or not region.breaker.allows():
        return _bypass(request, load)
    ahead = None
    try:
        if region.misses.get(request.label, 0) >= MISSES_AHEAD:
            ahead = (miss or Miss)(region, request, load)
            ahead.begin()
        found = _look_up(region, request) if tracing.tracer is None else tracing.around(_look_up, region, request)
    except StoreUnavailable as error:
        counters.read(request.label, errors=1)
        region.failed(error)
        return _bypass(request, load)
    except CommandRefused as error:
        counters.read(request.label, errors=1)
        region.answered()
        logger.error("Region %s refused a look-up: %s", region.name, error)
        return _bypass(request, load)
    region.answered()
    if found is None:
        region.misses[request.label] = region.misses.get(request.label, 0) + 1
        return (ahead or (miss or Miss)(region, request, load)).rows()
    region.misses.pop(request.label, None)
    if ahead is not None:
        ahead.give_up()
    return found


def many_reader() -> ManyReader | None:
    """Return who answers reads of many entries in the place of the store, if anybody."""
    return _many_reader.get()


@contextmanager
def read_by(reader: Reader, many: ManyReader | None) -> Iterator[None]:
    """Let others answer the cached reads within the block, in this thread or task: what warms entries does."""
    token, many_token = _reader.set(reader), _many_reader.set(many)
    try:
        yield
    finally:
        _reader.reset(token)
        _many_reader.reset(many_token)


def _look_up(region: Region, request: Request, waiting: bool = False) -> Sequence[Row] | None:
    """Return the rows of a valid entry, None for a miss. A waiting reader looks often: that is not counted."""
    started = time.perf_counter()
    keys = request.key_list()
    if region.queue_is_due(request.databases):
        replay_queue(region, request.databases)
    values = region.store.read(keys)
    if region.is_connected_anew():  # while reading: another server may have answered
        replay_queue(region, request.databases)
        values = region.store.read(keys)
    entry = valid_entry(request, values)
    if entry is None:
        if not waiting:
            why = "absent" if values[0] is None else "outdated"
            counters.read_timed(request.label, LOOK_UP, time.perf_counter() - started, **{why: 1})
        return None
    if due_early(entry):
        counters.read_timed(request.label, LOOK_UP, time.perf_counter() - started, early=1)
        return None
    try:
        found = entry.rows()
    except CorruptEntry:
        counters.read(request.label, corrupt=1)
        return None
    tally.count(hits=1)
    counters.hit(request.label, time.perf_counter() - started, request.digest, entry.made_at)
    return found


def due_early(entry: Entry) -> bool:
    """Say whether this reader should load again although the entry is valid."""
    beta, now = conf.early_refresh, time.time()
    if entry.expires_at - now > entry.load_seconds * beta * MOST_EARLY:  # no random number is that small
        return False
    return refresh_early(now, entry.expires_at, entry.load_seconds, beta, 1.0 - random.random())


def valid_entry(request: Request, values: Sequence[bytes | None]) -> Entry | None:
    """Return the entry among the values of `key_list`, if every tag still has the version that its reader leased."""
    payload = values[0]
    if payload is None:
        return None
    try:
        entry = codec.decode(payload)
    except CorruptEntry:
        counters.read(request.label, corrupt=1)
        return None
    try:
        current = b"".join(values[1:])  # type: ignore[arg-type]
    except TypeError:  # a tag is absent
        return None
    return entry if entry.versions == current else None


def _bypass(request: Request, load: Loader) -> Sequence[Row]:
    tally.count(bypasses=1)
    counters.read(request.label, bypasses=1)
    return load()


class Miss:
    """One reader's way from its miss to its answer."""

    def __init__(self, region: Region, request: Request, load: Loader) -> None:
        self.region = region
        self.store: Store = region.store
        self.request = request
        self.load = load
        self._begun: Callable[[], bytes | Refusal] | None = None

    def begin(self) -> None:
        """Ask for the lease before the look-up, which will most likely find nothing: one round trip for both."""
        if self.store.remote:
            self._begun = self.store.lease_begin(*self._terms())

    def _terms(self) -> tuple[Sequence[TableTags], str, float, float]:
        profile = self.request.profile
        hold = conf.loader_seconds if profile.one_loads else 0.0
        return self.request.tables, self._loader_key(), profile.timeout, hold

    def give_up(self) -> None:
        """Let the lock go that came with a lease: the look-up has found the entry."""
        if self._begun is not None:
            try:
                leased = self._begun()
            except StoreError as error:
                logger.debug("A lease asked for in advance got no answer: %s", error)
            else:
                if isinstance(leased, bytes):
                    self._release()

    def rows(self) -> Sequence[Row]:
        try:
            leased = self._lease()
        except StoreUnavailable as error:
            self.region.failed(error)
            return _bypass(self.request, self.load)
        except CommandRefused as error:
            logger.error("Region %s refused a lease: %s", self.region.name, error)
            return _bypass(self.request, self.load)
        if isinstance(leased, Refusal):
            outdated = self._outdated()
            if outdated is not None:
                return outdated
            return self._wait() if leased is Refusal.BUSY else _bypass(self.request, self.load)
        tally.count(misses=1)
        counters.read(self.request.label, misses=1)
        return self._load_and_fill(leased)

    def _outdated(self) -> Sequence[Row] | None:
        """Return the rows of an entry that is outdated, but not for longer than the profile takes."""
        if not self.request.profile.stale:
            return None
        entry = self.request.keys.entry(self.request.digest)
        try:
            found = outdated_rows(self.region, entry, self.request.tables, self.request.profile.stale)
        except StoreError as error:
            logger.debug("An outdated entry was not read: %s", error)
            return None
        if found is not None:
            tally.count(hits=1)
            counters.read(self.request.label, stale=1)
        return found

    def _lease(self) -> bytes | Refusal:
        leased = self._lease_once()
        if leased is Refusal.FULL:
            self.region.full.update(
                (table.keys.base, scheme) for table in self.request.tables for scheme in table.schemes
            )
            self.request = self.request.coarse()
            leased = self._lease_once()
        return leased

    def _lease_once(self) -> bytes | Refusal:
        profile = self.request.profile
        begun, self._begun = self._begun, None
        leased = begun() if begun else self.store.lease(*self._terms())
        if isinstance(leased, bytes):
            for table in self.request.tables:
                self.region.has_registered(table.keys, table.schemes)
            if profile.stale:
                ask_to_note(self.region, self.request.tables, profile.stale)
        return leased

    def _loader_key(self) -> str:
        return self.request.keys.loader(self.request.digest)

    def _wait(self) -> Sequence[Row]:
        """Look again until the loader has filled the entry, is gone, or has had its time."""
        deadline = time.monotonic() + conf.loader_seconds
        pause = FIRST_WAIT
        while time.monotonic() < deadline:
            time.sleep(pause)
            pause = min(pause * 1.5, LONGEST_WAIT)
            try:
                found = _look_up(self.region, self.request, waiting=True)
                if found is not None:
                    return found
                leased = self._lease()
            except StoreError:
                break
            if leased is Refusal.PENDING:
                break
            if leased is not Refusal.BUSY:
                tally.count(misses=1)
                counters.read(self.request.label, misses=1)
                return self._load_and_fill(leased)
        return _bypass(self.request, self.load)

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
        ttl = jittered(self.request.seconds(loaded), conf.jitter)
        if ttl <= 0:
            return self._release()
        now = time.time()
        try:
            payload = codec.encode(loaded, versions, now, now + ttl, load_seconds)
        except UnencodableValue as error:
            counters.read(self.request.label, unencodable=1)
            logger.warning("%s is not cached: %s", self.request.label, error)
            return self._release()
        if len(payload) > conf.max_entry_bytes:
            counters.read(self.request.label, too_large=1)
            return self._release()
        size = len(payload)
        entry = self.request.keys.entry(self.request.digest)
        self.store.fill_soon(entry, payload, ttl, self._loader_key(), lambda error: self._filled(size, error))
        counters.read_timed(self.request.label, FILL, time.perf_counter() - started)  # the answer is not waited for
        return None

    def _filled(self, size: int, error: StoreError | None) -> None:
        if error is None:
            counters.read(self.request.label, fills=1, bytes=size, sampled_fills=is_sampled(self.request.digest))
        elif isinstance(error, StoreUnavailable):
            counters.read(self.request.label, errors=1)
            self.region.failed(error)
        else:
            counters.read(self.request.label, refused_fills=1)
            logger.warning("Region %s refused a fill: %s", self.region.name, error)

    def _release(self) -> None:
        if not self.request.profile.one_loads:
            return
        try:
            self.store.release(self._loader_key())
        except StoreError as error:  # it runs out by itself
            logger.debug("A loader's lock was not released: %s", error)
