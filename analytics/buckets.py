"""Sums of readings, kept by units of time, of which every window is merged.

A unit is a day or an hour of UTC at one location (or of one device): for each device and step of time in it the count,
sum, minimum and maximum of its readings. A closed unit is kept for a day, an open one for a minute; both end at once
when a reading in them is written, moved or deleted, and no other does. What they hold does not depend on who asks, nor
on the asker's time zone: units are shared by all windows and scopes (docs/decisions/0008-analytics.md).
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import Any, NamedTuple

from analytics.selectors import DEVICE_COUNT, Row, TimeRange, partial_rows
from analytics.windows import Window
from cacheops.keys import CacheKeyBuilder
from cacheops.orm.samples import RowsOf, TimeBucket
from cacheops.patterns import AsideEntry, CacheAsideManager
from devices.models import Reading

HOUR, DAY = 3600, 86400  # seconds
# Seconds of a step: the coarsest that divides every bucket of a window. Clocks differ from UTC by whole quarters of an
# hour since 1972, but for none of our locations; the last step fits any clock.
STEPS = (HOUR, 900, 60, 1)
FINEST_IN_DAYS = 900  # seconds: finer steps are kept by hours, as a day of them is long and only its end is asked for
MOST_RANGES = 8  # of time in one query; beyond, one range that covers all

kept = CacheAsideManager(rows=True)


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


@dataclass(frozen=True)
class Group:
    """Devices whose readings are kept together: those of a location, or one alone (`location_id` None)."""

    device_ids: tuple[int, ...]
    location_id: int | None = None


@dataclass(frozen=True)
class Kept:
    """The sums of one group and unit, in one step: what they are kept under, and what they depend on."""

    group: Group
    unit: Unit
    metric: str
    step: int

    @cached_property
    def key(self) -> str:
        group, unit = self.group, self.unit
        if group.location_id is None:
            end = unit.moment + timedelta(seconds=unit.seconds)
            data = CacheKeyBuilder.device_data_key(group.device_ids[0], unit.moment, end)
            return f"{data}:{self.metric}:{self.step}"
        # By the devices, so that a device that comes or goes asks under another key.
        window = f"{unit.moment:%Y%m%dT%H}-{unit.seconds}-{self.step}"
        return CacheKeyBuilder.analytics_key(self.metric, window, group.device_ids)

    def entry(self, now: int) -> AsideEntry:
        conditions: dict[str, Any] = {
            "device_id": self.group.device_ids,
            "taken_at": TimeBucket(self.unit.moment, self.unit.seconds),
        }
        if self.metric != DEVICE_COUNT:
            conditions["metric"] = self.metric
        ttl = "long_term" if self.unit.end <= now else "real_time"
        return AsideEntry(self.key, (RowsOf(Reading, conditions),), ttl)


def sums(metric: str, groups: Sequence[Group], window: Window, now: datetime) -> Iterator[tuple[Group, Sequence[Row]]]:
    """Yield the sums of each group's units that the window touches: all from one look-up, and one query for the rest.

    The rows of units at the window's ends may lie outside of it.
    """
    step = step_of(window)
    moment = int(now.timestamp())
    units = units_of(window, step, moment)
    wanted = {one.key: one for group in groups for one in (Kept(group, unit, metric, step) for unit in units)}
    found = kept.get_or_set_many(
        (one.entry(moment) for one in wanted.values()), lambda keys: loaded([wanted[key] for key in keys])
    )
    for key, rows in found.items():
        yield wanted[key].group, rows


def step_of(window: Window) -> int:
    """Return the seconds of the coarsest step on whose edges all of the window's buckets begin and end."""
    edges = edges_of(window)
    return next(step for step in STEPS if not any(edge % step for edge in edges))


def edges_of(window: Window) -> list[int]:
    """Return where the buckets begin, and the last one ends, in seconds since 1970."""
    return [int(edge.timestamp()) for edge in (*window.starts(), window.end)]


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


def loaded(missing: Sequence[Kept]) -> Mapping[str, Sequence[Row]]:
    """Return the sums that are to be kept, by their keys; from one query for all of them."""
    step, metric = missing[0].step, missing[0].metric
    places: dict[tuple[int, Unit], list[Row]] = {}
    found: dict[str, list[Row]] = {}
    for one in missing:
        rows = found[one.key] = []
        places |= dict.fromkeys(((device, one.unit) for device in one.group.device_ids), rows)
    devices = sorted({device for device, _ in places})
    for row in partial_rows(metric, devices, ranges_of({one.unit for one in missing}), step):
        device, at = row[0], row[1] * step
        for seconds in (DAY, HOUR):
            place = places.get((device, Unit(at // seconds * seconds, seconds)))
            if place is not None:
                place.append(row)
    return found


def ranges_of(units: Iterable[Unit]) -> list[TimeRange]:
    """Return the units as ranges of time: neighbours as one; where that leaves too many, one over all."""
    ranges: list[list[int]] = []
    for unit in sorted(units):
        if ranges and unit.start <= ranges[-1][1]:
            ranges[-1][1] = max(ranges[-1][1], unit.end)
        else:
            ranges.append([unit.start, unit.end])
    if len(ranges) > MOST_RANGES:
        ranges = [[ranges[0][0], ranges[-1][1]]]
    return [(datetime.fromtimestamp(start, UTC), datetime.fromtimestamp(end, UTC)) for start, end in ranges]
