"""Write-behind: a write is acknowledged once it is safe in the region's buffer; workers bring it to the database.

Safe means in a Redis stream and on its replicas. Where that can't be had, the database is written at once. What a
buffered write becomes, and when, is `manage.py flush_writes`' (cacheops/patterns/write_behind/worker.py).
"""

import logging
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import msgspec
from django.apps import apps
from django.core.cache.backends.base import BaseCache
from django.db import Error

from cacheops.conf import conf
from cacheops.engine import Registrations, register_component
from cacheops.exceptions import NotBuffered, StoreError
from cacheops.instrumentation import request_stats
from cacheops.patterns.write_behind.buffer import Buffer, Newest, buffer_of, payload_in
from cacheops.protocol.keys import WRITE_BEHIND, base_of
from cacheops.reading.notes import current_notes
from cacheops.regions import regions

logger = logging.getLogger("cacheops")

# How long the newest item of a name is known: until workers have surely come, even if the first of them died.
NEWEST_FLUSHES = 2
NEWEST_SECONDS = 60.0

Item = TypeVar("Item")
Result = TypeVar("Result")
Answer = TypeVar("Answer")


@dataclass(frozen=True, slots=True)
class Acknowledged(Generic[Result]):
    """How a write was made safe: in the buffer, or in the database, with `reason` and what the writer returned."""

    buffered: bool
    reason: str = ""  # why the database was written; "" when the write was buffered
    result: Result | None = None


@dataclass(frozen=True, slots=True)
class WriteBehindState:
    """What waits for the database, in this process's region."""

    name: str
    region: str
    depth: int  # writes that are acknowledged and not in the database yet
    oldest_seconds: float  # age of the oldest of them; 0.0 where there is none
    taken: int  # of them, those that workers have: being written, or to be tried again
    workers: int  # that were seen within the last minute
    dead: int  # dead letters, of all regions
    problem: str  # why writes go to the database at once; "" when they are buffered


class WriteBehindCache(Generic[Item, Result]):
    """Buffers items of one type; `writer` brings them to the database, all or none.

    The writer must be idempotent, as an item may come to it more than once: after a lost answer, a dead worker, a
    fail-over. What it raises of `refusals`, or of the database's errors but the operational ones, means that an item is
    bad: it is isolated, tried again, and becomes a dead letter.

    `item_type` is a dataclass of types that msgspec knows; items are kept as JSON, and come back typed. `newest_of`
    returns an item's name and its order, a text that is higher for newer ones: `newest` then finds what the database
    does not have yet.
    """

    def __init__(
        self,
        name: str,
        item_type: type[Item],
        writer: Callable[[Sequence[Item]], Result],
        refusals: tuple[type[Exception], ...] = (),
        newest_of: Callable[[Item], tuple[str, str]] | None = None,
    ) -> None:
        self.name = name
        self.writer = writer
        # What says that an item is bad. (The database's operational errors say that it is the database: see flushing.)
        self.refusals: tuple[type[Exception], ...] = (Error, msgspec.DecodeError, *refusals)
        self._newest_of = newest_of
        self._item_type = item_type
        self._encoder = msgspec.json.Encoder()
        self._decoder = msgspec.json.Decoder(item_type)
        registered[name] = self

    def write(self, item: Item) -> Acknowledged[Result]:
        """Make one item safe; see `write_many`."""
        return self.write_many([item])

    def write_many(self, items: Sequence[Item]) -> Acknowledged[Result]:
        """Make items safe, all or none, in the buffer or else in the database, and say which.

        A buffered item is written even where the caller's transaction is rolled back. Raise BufferFull where too many
        wait; and whatever the writer raises.
        """
        reason = self._buffer_all(items)
        if reason:
            return Acknowledged(False, reason, self.writer(items))
        return Acknowledged(True)

    def update_device_data(self, device_id: Any, data: Mapping[str, Any]) -> Acknowledged[Result]:
        """Make the item of these fields safe: the specification's name for `write`, where items have a `device_id`.

        Raise msgspec's ValidationError for what is no item.
        """
        return self.write(msgspec.convert({**data, "device_id": device_id}, self._item_type))

    def newest(self, name: str) -> Item | None:
        """Return the newest buffered item of a name, which may be in the database by now; None where none is known."""
        return self.newest_many([name]).get(name)

    def newest_many(self, names: Sequence[str]) -> dict[str, Item]:
        """Return what `newest` does for many names, those that are known: in one round trip.

        Where the region does not answer, or its circuit pauses, the request counts as `lagging`: what it says may lack
        what was acknowledged (`collect_request_stats`).
        """
        wanted = list(dict.fromkeys(names))
        if not wanted:
            return {}
        try:
            found = self._asked(lambda buffer: buffer.newest_many(wanted))
        except StoreError:
            request_stats.count(lagging=1)
            return {}
        if (notes := current_notes()) is not None:
            notes.held(found, found.values())
        values = zip(wanted, found.values(), strict=False)  # none of a buffer that holds nothing
        return {name: self.decode(payload_in(value)) for name, value in values if value is not None}

    def _buffer_all(self, items: Sequence[Item]) -> str:
        """Put items into the buffer; return why they are not there, "" when they are."""

        payloads = [self.encode(item) for item in items]
        keep = NEWEST_FLUSHES * conf.flush_seconds + NEWEST_SECONDS
        newest = self._newest_items(items, payloads)
        try:
            self._asked(lambda buffer: buffer.append(payloads, conf.buffer_bound, newest, keep))
            return ""
        except (NotBuffered, StoreError) as error:
            return str(error)

    def _asked(self, ask: Callable[[Buffer], Answer]) -> Answer:
        """Ask the local region's buffer. Raise StoreError where it does not do its part."""
        with regions.local.guard():
            return ask(self.buffer)

    def _newest_items(self, items: Sequence[Item], payloads: Sequence[bytes]) -> list[Newest]:
        """Return the newest item of each name among these."""
        if self._newest_of is None:
            return []
        found: dict[str, Newest] = {}
        for item, payload in zip(items, payloads, strict=True):
            one = Newest(*self._newest_of(item), payload)
            if one.name not in found or found[one.name].order < one.order:
                found[one.name] = one
        return list(found.values())

    @property
    def buffer(self) -> Buffer:
        """The local region's. Raise StoreUnavailable where a cluster was never reached yet."""
        place = (self.name, conf.local_region, conf.prefix)
        found = registered.buffers.get(place)
        if found is None:
            with registered.lock:
                base = base_of(conf.prefix, WRITE_BEHIND, self.name)
                found = registered.buffers.get(place) or buffer_of(regions.local.store, base, conf.wait_seconds)
                registered.buffers[place] = found
        return found

    def encode(self, item: Item) -> bytes:
        return self._encoder.encode(item)

    def decode(self, payload: bytes) -> Item:
        """Return the item. Raise msgspec's DecodeError for bytes that are none."""
        return self._decoder.decode(payload)

    def state(self) -> WriteBehindState:
        """Return what waits. Raise StoreUnavailable where the region does not answer."""
        stats, problem = self._asked(lambda buffer: (buffer.stats(), buffer.problem()))
        return WriteBehindState(
            name=self.name,
            region=conf.local_region,
            depth=stats.depth,
            oldest_seconds=stats.oldest,
            taken=stats.taken,
            workers=stats.workers,
            dead=dead_letters().filter(buffer=self.name).count(),
            problem=problem or ("" if stats.workers else "no worker runs (manage.py flush_writes)"),
        )


class NewestItems(BaseCache, Generic[Item]):
    """The newest buffered items as a cache whose keys are their names, for BatchCacheOperations. It is only read."""

    def __init__(self, buffered: WriteBehindCache[Item, Any]) -> None:
        super().__init__({})
        self._buffered = buffered

    def get(self, key: str, default: Any = None, version: int | None = None) -> Any:
        return self.get_many([key]).get(key, default)

    def get_many(self, keys: Iterable[str], version: int | None = None) -> dict[str, Item]:
        return self._buffered.newest_many(list(keys))


class WriteBehindCaches(Registrations[WriteBehindCache[Any, Any]]):
    """Each is made once, where its writer is."""

    def __init__(self, known: Mapping[str, WriteBehindCache[Any, Any]] | None = None) -> None:
        super().__init__(known)
        self.buffers: dict[tuple[str, str, str], Buffer] = {}  # by cache, region and prefix
        self.lock = threading.Lock()

    def settings_changed(self) -> None:
        self.buffers.clear()


registered = register_component(WriteBehindCaches())


def state() -> tuple[WriteBehindState, ...]:
    """Return the state of every write-behind cache of the project. Raise StoreUnavailable as `state` does."""
    return tuple(cache.state() for cache in registered.values())


def dead_letters() -> Any:
    """Return the dead letters, oldest first, as a queryset."""
    model: Any = apps.get_model("cacheops", "DeadLetter")
    return model.objects.all()
