"""Figures: what readings come to, merged from the sums that are kept of them."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby, pairwise
from operator import itemgetter, truediv

from analytics.buckets import Group, edges_of, step_of, sums
from analytics.selectors import DEVICE_COUNT, Row
from analytics.windows import Window


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
    """A window's buckets, oldest first, and its locations, by their ids."""

    buckets: tuple[Bucket, ...]
    locations: tuple[LocationFigures, ...]


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


def merged(metric: str, groups: Sequence[Group], window: Window, now: datetime, locations: Mapping[int, int]) -> Merged:
    """Return what the readings of devices come to within a window. `locations` holds these devices, and where they are.

    The groups must hold all of the devices, and may hold others.
    """
    places = places_of_steps(window)
    inside = [
        (place, location, row)
        for row in sums(metric, groups, window, now)
        if (place := places.get(row[1])) is not None and (location := locations.get(row[0])) is not None
    ]
    starts = window.starts()
    return Merged(
        tuple(Bucket(*figures(metric, rows), starts[place]) for place, rows in grouped(inside, itemgetter(0))),
        tuple(LocationFigures(*figures(metric, rows), location) for location, rows in grouped(inside, itemgetter(1))),
    )


def grouped(
    inside: list[tuple[int, int, Row]], key: Callable[[tuple[int, int, Row]], int]
) -> Iterator[tuple[int, list[Row]]]:
    """Yield each key, in order, with the rows that have it."""
    for found, group in groupby(sorted(inside, key=key), key):
        yield found, [row for _, _, row in group]


def figures(metric: str, rows: Sequence[Row]) -> tuple[float, float, float, int, int, float, int]:
    """Return the values of Figures, in its order; values of several metrics have no mean."""
    ids, _, counts, totals, lowest, highest = zip(*rows, strict=True)  # a window has thousands: loops are left to C
    count, devices = sum(counts), len(set(ids))
    if metric == DEVICE_COUNT:
        return float(devices), float(devices), float(devices), count, devices, float(devices), len(ids)
    by_time = math.fsum(map(truediv, totals, counts)) / len(ids)
    return math.fsum(totals) / count, min(lowest), max(highest), count, devices, by_time, len(ids)


def places_of_steps(window: Window) -> dict[int, int]:
    """Return by the number of each step in the window the place of the bucket that it lies in."""
    step = step_of(window)
    edges = [edge // step for edge in edges_of(window)]
    return {number: place for place, (start, end) in enumerate(pairwise(edges)) for number in range(start, end)}
