"""Sums of readings, cached by units of time, of which every window is merged.

A unit is a day or an hour of UTC: for each device and step of time in it the count, sum, minimum and maximum of its
readings of one metric. A closed unit is cached for a day, an open one for a minute; both end at once when a reading of
the metric is written, moved or deleted in their time, and no other does. What they hold depends neither on the person,
nor on a time zone, nor on where devices stand: units are shared by all windows and people
(docs/decisions/0008-analytics.md).
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property, lru_cache
from itertools import chain
from typing import Any, NamedTuple

from analytics.selectors import DEVICE_COUNT, Row, partial_rows
from analytics.windows import Window
from cacheops import RowsOf, TimeBucket
from cacheops.patterns import AsideEntry, CacheAsideManager, CacheKeyBuilder
from devices.models import Reading

HOUR, DAY = 3600, 86400  # seconds
# Seconds of a step: the coarsest that divides every bucket of a window. Clocks differ from UTC by whole quarters of an
# hour since 1972, but for none of our locations; the last step fits any clock.
STEPS = (HOUR, 900, 60, 1)
FINEST_IN_DAYS = 900  # seconds: finer steps are cached by hours, as a day of them is long and only its end is asked for
MAX_SPANS = 8  # of time, or of devices, in one query; beyond, one that covers all
GROUP_SIZE = 256  # devices: few entries for a small fleet, and little beyond what was asked for of a large one

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


class Group(NamedTuple):
    """Devices whose sums are cached together: `size` ids from `first` on, which is a multiple of it; or one alone."""

    first: int
    size: int = 1

    @property
    def ids(self) -> tuple[int, int]:
        """Return the first id, and the one after the last."""
        return self.first, self.first + self.size


def groups_of(device_ids: Iterable[int]) -> list[Group]:
    """Return the groups that devices belong to."""
    return [Group(number * GROUP_SIZE, GROUP_SIZE) for number in sorted({pk // GROUP_SIZE for pk in device_ids})]


@dataclass(frozen=True)
class SumsEntry:
    """The sums of one group and unit, in one step: the key under which they are cached, and what they depend on."""

    group: Group
    unit: Unit
    metric: str
    step: int

    @cached_property
    def key(self) -> str:
        group, unit = self.group, self.unit
        if group.size == 1:
            end = unit.moment + timedelta(seconds=unit.seconds)
            return f"{CacheKeyBuilder.device_data_key(group.first, unit.moment, end)}:{self.metric}:{self.step}"
        window = f"{unit.moment:%Y%m%dT%H}-{unit.seconds}-{self.step}"
        return CacheKeyBuilder.analytics_key(self.metric, window, group)

    def entry(self, now: int) -> AsideEntry:
        conditions: dict[str, Any] = {"taken_at": TimeBucket(self.unit.moment, self.unit.seconds)}
        if self.metric != DEVICE_COUNT:
            conditions["metric"] = self.metric
        if self.group.size == 1:
            conditions["device_id"] = self.group.first
        ttl = "long_term" if self.unit.end <= now else "real_time"
        return AsideEntry(self.key, (RowsOf(Reading, conditions),), ttl)


def sums(metric: str, groups: Sequence[Group], window: Window, now: datetime) -> Iterator[Row]:
    """Yield the sums of the groups in all units that the window touches: from one look-up, and one query for the rest.

    The groups are of one size. Some of the rows may lie outside of the window, in the units at its ends.
    """
    step = step_of(window)
    moment = int(now.timestamp())
    units = units_of(window, step, moment)
    wanted = {one.key: one for group in groups for one in (SumsEntry(group, unit, metric, step) for unit in units)}
    found = sums_cache.get_or_set_many(
        (one.entry(moment) for one in wanted.values()), lambda keys: load_sums([wanted[key] for key in keys])
    )
    return chain.from_iterable(found.values())


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


def load_sums(missing: Sequence[SumsEntry]) -> Mapping[str, Sequence[Row]]:
    """Return the sums that are to be cached, by their keys; from one query for all of them."""
    step, metric, size = missing[0].step, missing[0].metric, missing[0].group.size
    found: dict[str, list[Row]] = {one.key: [] for one in missing}
    places = {(one.group.first, one.unit): found[one.key] for one in missing}
    devices = spans_of(one.group.ids for one in missing)
    times = [
        (datetime.fromtimestamp(start, UTC), datetime.fromtimestamp(end, UTC))
        for start, end in spans_of((one.unit.start, one.unit.end) for one in missing)
    ]
    for row in partial_rows(metric, devices, times, step):
        first, at = row[0] // size * size, row[1] * step
        for seconds in (DAY, HOUR):
            place = places.get((first, Unit(at // seconds * seconds, seconds)))
            if place is not None:
                place.append(row)
    return found


def spans_of(parts: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """Return parts, each from a number up to but not including another: neighbours as one; too many, one over all."""
    spans: list[tuple[int, int]] = []
    for start, end in sorted(set(parts)):
        if spans and start <= spans[-1][1]:
            spans[-1] = (spans[-1][0], max(spans[-1][1], end))
        else:
            spans.append((start, end))
    return spans if len(spans) <= MAX_SPANS else [(spans[0][0], spans[-1][1])]
