"""A region's sums of what its processes have counted: one hash for each minute, each hour, and all time.

    PREFIX:{metrics.PERIOD}:s       the sums of a period: m-29712345 (minute), h-495205 (hour), total
    PREFIX:{metrics.PERIOD}:b:NAME  an increment that was added to it
    PREFIX:{metrics.PERIOD}:n:NAME  a note, kept beside the sums of all time

The period is the hash tag, so one period's keys lie in one slot, and successive periods on different nodes of a
cluster. No table's name holds a dash (cacheops/protocol/keys.py), so no table's keys are met.
"""

import datetime as dt
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple
from weakref import WeakKeyDictionary

import msgspec

from cacheops.conf import conf
from cacheops.engine import Component, register_component
from cacheops.instrumentation.counters import Sums, add_sums
from cacheops.protocol.keys import METRICS, base_of
from cacheops.stores.base import CommandTransport, Store
from cacheops.stores.scripts import Script

INCREMENT_SECONDS = 900  # an increment is sent again within seconds, or when its region is back
READ_BATCH = 120  # periods read in a round trip

_pack = msgspec.msgpack.Encoder().encode
_unpack = msgspec.msgpack.Decoder(dict[str, int]).decode

ADD = Script("add_sums")


class Increment(NamedTuple):
    """Counts for one period. Two increments of one name are one: the second is not added."""

    base: str  # the period's keys begin with it
    name: str
    lives: int  # seconds, from the last addition on
    sums: Mapping[str, Mapping[str, int]]
    remembered: int = INCREMENT_SECONDS


class TimeSeriesStore(ABC):
    """Methods raise StoreUnavailable when there is no answer, CommandRefused when the answer is no."""

    @abstractmethod
    def add(self, increments: Sequence[Increment]) -> list[bool]:
        """Add increments; return for each whether it was new. Where one fails, others may have been added."""

    @abstractmethod
    def read(self, bases: Sequence[str]) -> list[Sums]:
        """Return the sums of periods, in their order; nothing for a period without counts."""

    @abstractmethod
    def note(self, key: str, value: bytes, lives: int) -> None:
        """Keep a value for some seconds."""

    @abstractmethod
    def noted(self, key: str) -> bytes | None:
        """Return a value that is kept."""


class RedisTimeSeries(TimeSeriesStore):
    """On a region's servers, over connections of its own."""

    def __init__(self, transport: CommandTransport) -> None:
        self._transport = transport

    def add(self, increments: Sequence[Increment]) -> list[bool]:
        commands = [
            ADD.command(
                [f"{increment.base}s", f"{increment.base}b:{increment.name}"],
                increment.lives,
                increment.remembered,
                *[part for series, counts in increment.sums.items() for part in (series, _pack(counts))],
            )
            for increment in increments
        ]
        return [
            bool(answer) for answer in self._transport.run_many(commands, [increment.base for increment in increments])
        ]

    def read(self, bases: Sequence[str]) -> list[Sums]:
        found: list[Sums] = []
        for start in range(0, len(bases), READ_BATCH):
            commands = [("HGETALL", f"{base}s") for base in bases[start : start + READ_BATCH]]
            for flat in self._transport.run_many(commands):
                pairs = zip(flat[::2], flat[1::2], strict=True)
                found.append({series.decode(): _unpack(counts) for series, counts in pairs})
        return found

    def note(self, key: str, value: bytes, lives: int) -> None:
        self._transport.run_many([("SET", key, value, "EX", lives)])

    def noted(self, key: str) -> bytes | None:
        value: bytes | None = self._transport.run_many([("GET", key)])[0]
        return value


class MemoryTimeSeries(TimeSeriesStore):
    """In this process's memory, for the embedded form. Safe for threads."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._sums: dict[str, tuple[float, Sums]] = {}  # base -> when it ends, sums
        self._increments: dict[tuple[str, str], float] = {}  # base and name -> when it is forgotten
        self._notes: dict[str, tuple[float, bytes]] = {}

    def add(self, increments: Sequence[Increment]) -> list[bool]:
        with self._lock:
            now = self._clock()
            self._sums = {base: held for base, held in self._sums.items() if held[0] > now}
            self._increments = {key: ends for key, ends in self._increments.items() if ends > now}
            return [self._add(increment, now) for increment in increments]

    def _add(self, increment: Increment, now: float) -> bool:
        if (increment.base, increment.name) in self._increments:
            return False
        self._increments[increment.base, increment.name] = now + increment.remembered
        sums = self._sums.get(increment.base, (0.0, {}))[1]
        add_sums(sums, increment.sums)
        self._sums[increment.base] = (now + increment.lives, sums)
        return True

    def read(self, bases: Sequence[str]) -> list[Sums]:
        with self._lock:
            now = self._clock()
            held = [self._sums.get(base, (0.0, {})) for base in bases]
            return [
                {series: dict(counts) for series, counts in sums.items()} if ends > now else {} for ends, sums in held
            ]

    def note(self, key: str, value: bytes, lives: int) -> None:
        with self._lock:
            self._notes[key] = (self._clock() + lives, value)

    def noted(self, key: str) -> bytes | None:
        with self._lock:
            ends, value = self._notes.get(key, (0.0, b""))
            return value if ends > self._clock() else None


class StoresTimeSeries(Component):
    """The time series beside this process's stores."""

    def __init__(self) -> None:
        self.by_store: WeakKeyDictionary[Store, TimeSeriesStore] = WeakKeyDictionary()
        self.lock = threading.Lock()


time_series = register_component(StoresTimeSeries())


def time_series_of(store: Store) -> TimeSeriesStore:
    """Return the time series beside a store, the same object each time."""
    with time_series.lock:
        found = time_series.by_store.get(store)
        if found is None:
            transport = store.transport([ADD.source])
            found = time_series.by_store[store] = RedisTimeSeries(transport) if transport else MemoryTimeSeries()
        return found


MINUTE, HOUR, DAY = 60, 3600, 86_400
MINUTES_LIVE = DAY + 10 * MINUTE  # seconds; a late flush may still find its minute
HOURS_LIVE = 30 * DAY
TOTAL_LIVES = 30 * DAY  # from the last flush on


@dataclass(frozen=True, slots=True)
class Period:
    """A minute, an hour, or (seconds = 0) all time."""

    seconds: int
    number: int = 0  # since the epoch

    @property
    def base(self) -> str:
        """What the period's keys begin with."""
        name = f"{'m' if self.seconds == MINUTE else 'h'}-{self.number}" if self.seconds else "total-"
        return base_of(conf.metrics_prefix, METRICS, name)

    @property
    def lives(self) -> int:
        return {MINUTE: MINUTES_LIVE, HOUR: HOURS_LIVE}.get(self.seconds, TOTAL_LIVES)

    @property
    def starts(self) -> dt.datetime:
        return dt.datetime.fromtimestamp(self.number * self.seconds, dt.UTC)


TOTAL = Period(0)


def period_at(moment: float, seconds: int) -> Period:
    """Return the minute or hour that holds a moment (seconds since the epoch)."""
    return Period(seconds, int(moment // seconds))


def last_periods(moment: float, seconds: int, count: int) -> list[Period]:
    """Return so many minutes or hours, oldest first; the last is the one that holds the moment."""
    last = int(moment // seconds)
    return [Period(seconds, number) for number in range(last - count + 1, last + 1)]
