"""Sums of readings, cached by units of time, of which every window is merged.

A unit is a day or an hour of UTC: for each location, kind of device and step of time in it the count, sum, minimum and
maximum of its readings of one metric, and which devices sent them. A closed unit is cached for a day, an open one for a
minute; both end at once when a reading of the metric is written, moved or deleted in their time, and no other does.
What they hold depends neither on the person nor on a time zone: units are shared by all windows and people. They say
where the devices stood, so that a device that has moved since is noticed (docs/decisions/0008-analytics.md).
"""

from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property, lru_cache
from typing import Any, Literal, NamedTuple

import msgspec

from analytics.selectors import DEVICE_COUNT, Row, partial_rows
from analytics.windows import Window
from cacheops import RowsOf, TimeBucket
from cacheops.encoding.rows import Row as StoredRow
from cacheops.exceptions import StoreUnavailable
from cacheops.patterns import AsideEntry, CacheAsideManager, CacheKeyBuilder
from devices.directory import Fleet
from devices.models import Reading

HOUR, DAY = 3600, 86400  # seconds
# Seconds of a step: the coarsest that divides every bucket of a window. Clocks differ from UTC by whole quarters of an
# hour since 1972, but for none of our locations; the last step fits any clock.
STEPS = (HOUR, 900, 60, 1)
FINEST_IN_DAYS = 900  # seconds: finer steps are cached by hours, as a day of them is long and only its end is asked for
MAX_SPANS = 8  # of time, in one query; beyond, one that covers all

sums_cache = CacheAsideManager(rows=True)


class Unit(NamedTuple):
    """A day or an hour of UTC: seconds since 1970, and how many of them."""

    start: int
    seconds: int

    @property
    def end(self) -> int:
        return self.start + self.seconds

    @property
    def moment(self) -> datetime:
        return datetime.fromtimestamp(self.start, UTC)


class Senders(NamedTuple):
    """Devices of one kind at one location that sent something in the same step of time."""

    location: int
    kind: str
    ids: frozenset[int]


class Sums(NamedTuple):
    """What the readings of a unit come to: columns, with an item for each step and senders, in the order of steps."""

    senders: list[Senders]
    numbers: Sequence[int]  # of the steps, since 1970
    places: Sequence[int]  # in `senders`
    counts: Sequence[int]
    totals: Sequence[float]
    lowest: Sequence[float]
    highest: Sequence[float]
    averages: Sequence[float]  # the sum of each sender's average

    @property
    def columns(self) -> tuple[Sequence[Any], ...]:
        return self[1:]


PLACES = 1  # the number of that column
# The columns as bytes, in the processor's own order: all that serve a region's cache have the same.
CODES: tuple[Literal["q", "I", "d"], ...] = ("q", "I", "q", "d", "d", "d", "d")
_encode = msgspec.msgpack.Encoder().encode
_senders = msgspec.msgpack.Decoder(list[Senders])


def packed(rows: Sequence[Row]) -> list[StoredRow]:
    """Return the rows of one unit as the cache keeps them: one row, a value a column."""
    if not rows:
        return []
    places: dict[tuple[int, str, str], int] = {}
    found = [places.setdefault((row.location, row.kind, row.senders), len(places)) for row in rows]
    senders = [(location, kind, [int(pk) for pk in ids.split(",")]) for location, kind, ids in places]
    numbers, _, _, *values, _ = zip(*rows, strict=True)
    columns = (numbers, found, *values)
    return [(_encode(senders), *(array(code, values).tobytes() for code, values in zip(CODES, columns, strict=True)))]


def unpacked(row: StoredRow) -> Sums:
    """Return the columns as views of the entry's bytes."""
    columns: list[Any] = [memoryview(data).cast(code) for code, data in zip(CODES, row[1:], strict=True)]
    return Sums(_senders.decode(row[0]), *columns)


@dataclass(frozen=True)
class SumsEntry:
    """The sums of one unit, in one step, of all devices or of one: the key of the entry, and what it depends on."""

    metric: str
    unit: Unit
    step: int
    device: int | None

    @cached_property
    def key(self) -> str:
        unit = self.unit
        if self.device is not None:
            end = unit.moment + timedelta(seconds=unit.seconds)
            return f"{CacheKeyBuilder.device_data_key(self.device, unit.moment, end)}:{self.metric}:{self.step}"
        return CacheKeyBuilder.analytics_key(self.metric, f"{unit.moment:%Y%m%dT%H}-{unit.seconds}-{self.step}")

    def entry(self, now: int) -> AsideEntry:
        conditions: dict[str, Any] = {"taken_at": TimeBucket(self.unit.moment, self.unit.seconds)}
        if self.metric != DEVICE_COUNT:
            conditions["metric"] = self.metric
        if self.device is not None:
            conditions["device_id"] = self.device
        ttl = "long_term" if self.unit.end <= now else "real_time"
        return AsideEntry(self.key, (RowsOf(Reading, conditions),), ttl)


def sums(metric: str, of: Fleet | int, window: Window, now: datetime) -> Iterator[Sums]:
    """Yield the sums of all units that a window touches, in time's order: one look-up, and one query for the rest.

    `of` is a device's id, or a fleet: then they are those of all devices, and right about where these stand. Some lie
    outside of the window, in the units at its ends.
    """
    step = step_of(window)
    moment = int(now.timestamp())
    device = of if isinstance(of, int) else None
    wanted = {
        one.key: one for one in (SumsEntry(metric, unit, step, device) for unit in units_of(window, step, moment))
    }

    def load(keys: Sequence[str]) -> Mapping[str, list[StoredRow]]:
        return load_sums([wanted[key] for key in keys])

    found = sums_cache.get_or_set_many((one.entry(moment) for one in wanted.values()), load)
    held = {key: unpacked(rows[0]) for key, rows in found.items() if rows}
    if isinstance(of, Fleet) and (moved := [key for key, one in held.items() if not of.holds(one.senders)]):
        forget(moved)
        held |= {key: unpacked(rows[0]) for key, rows in load(moved).items() if rows}
    return iter(held.values())


def forget(keys: Iterable[str]) -> None:
    """Invalidate entries that a device's move has made wrong."""
    for key in keys:
        with suppress(StoreUnavailable):  # a region that does not answer now will find them wrong itself
            sums_cache.invalidate(key)


def step_of(window: Window) -> int:
    """Return the seconds of the coarsest step on whose edges all of the window's buckets begin and end."""
    edges = edges_of(window)
    return next(step for step in STEPS if not any(edge % step for edge in edges))


@lru_cache(maxsize=64)
def edges_of(window: Window) -> tuple[int, ...]:
    """Return where the buckets begin, and the last one ends, in seconds since 1970."""
    return tuple(int(edge.timestamp()) for edge in (*window.starts(), window.end))


def units_of(window: Window, step: int, now: int) -> list[Unit]:
    """Return the units that cover a window: days that are over, and hours of the days that are not."""
    start, end = int(window.start.timestamp()), int(window.end.timestamp())
    units: list[Unit] = []
    at = start // HOUR * HOUR
    while at < end:
        day = Unit(at // DAY * DAY, DAY)
        units.append(day if day.end <= now and step >= FINEST_IN_DAYS else Unit(at, HOUR))
        at = units[-1].end
    return units


def load_sums(missing: Sequence[SumsEntry]) -> Mapping[str, list[StoredRow]]:
    """Return the sums that are to be cached, by their keys; from one query for all of them."""
    first = missing[0]
    step = first.step
    found: dict[str, list[Row]] = {one.key: [] for one in missing}
    places = {one.unit: found[one.key] for one in missing}
    times = [
        (datetime.fromtimestamp(start, UTC), datetime.fromtimestamp(end, UTC))
        for start, end in spans_of((one.unit.start, one.unit.end) for one in missing)
    ]
    for row in partial_rows(first.metric, first.device, times, step):
        at = row.number * step
        for seconds in (DAY, HOUR):
            place = places.get(Unit(at // seconds * seconds, seconds))
            if place is not None:
                place.append(row)
    return {key: packed(rows) for key, rows in found.items()}


def spans_of(parts: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """Return parts, each from a number up to but not including another: neighbours as one; too many, one over all."""
    spans: list[tuple[int, int]] = []
    for start, end in sorted(set(parts)):
        if spans and start <= spans[-1][1]:
            spans[-1] = (spans[-1][0], max(spans[-1][1], end))
        else:
            spans.append((start, end))
    return spans if len(spans) <= MAX_SPANS else [(spans[0][0], spans[-1][1])]
