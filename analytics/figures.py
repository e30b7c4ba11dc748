"""Figures: what readings come to, merged from the sums that are kept of them."""

import math
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import compress, pairwise
from typing import Any

from analytics.buckets import CODES, PLACES, Senders, Sums, edges_of, step_of, sums
from analytics.selectors import DEVICE_COUNT
from analytics.windows import Window
from devices.directory import Fleet


@dataclass(frozen=True)
class Figures:
    """What readings come to. The values are in the metric's unit; for DEVICE_COUNT each is the number of devices.

    Counts, minimum and maximum are exact. The average is that of the exact sum of the units' sums, each of which the
    database has added up in floating point: it differs from a query over all readings by their rounding alone.
    """

    average: float  # of the readings: what sends more often weighs more
    minimum: float
    maximum: float
    count: int  # readings
    devices: int  # that sent them
    time_average: float  # of the averages of each device's steps of time: an hour weighs as much as any other
    steps: int  # of devices and time

    @property
    def amount(self) -> float:
        """The sum of a device's readings, on average of the devices: the rain that fell, where several gauges stand."""
        return self.average * self.count / self.devices


@dataclass(frozen=True)
class Bucket(Figures):
    """The readings of one bucket. One without readings does not exist."""

    start: datetime


@dataclass(frozen=True)
class LocationFigures(Figures):
    """The readings of one location over a whole window."""

    location_id: int


@dataclass(frozen=True)
class Merged:
    """A window's buckets, oldest first, and its locations, by their ids; of each location too where that was asked."""

    buckets: tuple[Bucket, ...]
    locations: tuple[LocationFigures, ...]
    by_location: Mapping[int, tuple[Bucket, ...]] = field(default_factory=dict)


def over_all(rows: Sequence[Figures]) -> Figures | None:
    """Return what parts come to together, None where there are none. The devices are those of the largest part."""
    if not rows:
        return None
    count, steps = sum(row.count for row in rows), sum(row.steps for row in rows)
    return Figures(
        average=sum(row.average * row.count for row in rows) / count,
        minimum=min(row.minimum for row in rows),
        maximum=max(row.maximum for row in rows),
        count=count,
        devices=max(row.devices for row in rows),
        time_average=sum(row.time_average * row.steps for row in rows) / steps,
        steps=steps,
    )


def merged(metric: str, of: Fleet | int, window: Window, now: datetime, kind: str = "", compared: int = 0) -> Merged:
    """Return what readings come to within a window: those of a fleet's devices, or of one device by its id.

    `kind` narrows to devices of one kind; empty for any. Of the `compared` locations with most readings, buckets too.
    """
    part = within(sums(metric, of, window, now), window, lambda one: is_wanted(one, of, kind))
    locations = tuple(location_figures(metric, part))
    chosen = sorted(locations, key=lambda row: (-row.count, row.location_id))[:compared]
    own = {row.location_id: only_at(part, row.location_id) for row in chosen}
    return Merged(
        tuple(buckets(metric, part, window)),
        locations,
        {pk: tuple(buckets(metric, one, window)) for pk, one in own.items()},
    )


def buckets(metric: str, part: Sums, window: Window) -> Iterator[Bucket]:
    step = step_of(window)
    edges = [edge // step for edge in edges_of(window)]
    starts = window.starts()
    for place, first, after in ranges(part.numbers, edges):
        yield Bucket(*figures(metric, part, slice(first, after)), starts[place])


def only_at(part: Sums, location: int) -> Sums:
    """Return what the devices of one location sent."""
    mask = [part.senders[place].location == location for place in part.places]
    return Sums(part.senders, *(list(compress(column, mask)) for column in part.columns))


def is_wanted(senders: Senders, of: Fleet | int, kind: str) -> bool:
    return isinstance(of, int) or (senders.location in of.places and kind in (senders.kind, ""))


def within(units: Iterable[Sums], window: Window, is_wanted: Callable[[Senders], bool]) -> Sums:
    """Return as one what units hold within a window, of the wanted senders."""
    step, edges = step_of(window), edges_of(window)
    first, after = edges[0] // step, edges[-1] // step
    senders: list[Senders] = []
    columns: list[list[Any]] = [[] for _ in CODES]
    for unit in units:
        inside = slice(bisect_left(unit.numbers, first), bisect_left(unit.numbers, after))
        wanted = [is_wanted(one) for one in unit.senders]
        places = unit.places[inside]
        found = [column[inside] for column in unit.columns]
        found[PLACES] = list(map(range(len(senders), len(senders) + len(wanted)).__getitem__, places))
        if not all(wanted):
            mask = [wanted[place] for place in places]
            found = [list(compress(values, mask)) for values in found]
        for column, values in zip(columns, found, strict=True):
            column += values
        senders += unit.senders
    return Sums(senders, *columns)


def ranges(values: Sequence[int], edges: Sequence[int]) -> Iterator[tuple[int, int, int]]:
    """Yield of ascending values the first, and the one after the last, between each two edges with some, by place."""
    for place, (first, after) in enumerate(pairwise(bisect_left(values, edge) for edge in edges)):
        if first < after:
            yield place, first, after


def location_figures(metric: str, part: Sums) -> Iterator[LocationFigures]:
    """Yield the figures of each location, in the order of ids."""
    found = [part.senders[place].location for place in part.places]
    order = sorted(range(len(found)), key=found.__getitem__)
    ordered = Sums(part.senders, *([column[number] for number in order] for column in part.columns))
    ids = sorted(set(found))
    for place, first, after in ranges(sorted(found), [*ids, *(pk + 1 for pk in ids[-1:])]):
        yield LocationFigures(*figures(metric, ordered, slice(first, after)), ids[place])


def figures(metric: str, part: Sums, of: slice) -> tuple[float, float, float, int, int, float, int]:
    """Return the values of Figures, in its order; values of several metrics have no mean."""
    places = part.places[of]
    sizes = {place: len(part.senders[place].ids) for place in set(places)}
    count, steps = sum(part.counts[of]), sum(map(sizes.__getitem__, places))
    devices = len(frozenset().union(*(part.senders[place].ids for place in sizes)))
    if metric == DEVICE_COUNT:
        return float(devices), float(devices), float(devices), count, devices, float(devices), steps
    by_time = math.fsum(part.averages[of]) / steps
    return (
        math.fsum(part.totals[of]) / count,
        min(part.lowest[of]),
        max(part.highest[of]),
        count,
        devices,
        by_time,
        steps,
    )
