"""Figures: what readings come to, merged from the sums that are kept of them."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import pairwise

from analytics.buckets import Group, edges_of, step_of, sums
from analytics.selectors import DEVICE_COUNT, Row
from analytics.windows import Window


@dataclass(frozen=True)
class Figures:
    """What readings come to. The values are in the metric's unit; for DEVICE_COUNT each is the number of devices.

    Counts, minimum and maximum are exact. The average is that of the exact sum of the units' sums, each of which the
    database has added up in floating point: it differs from a query over all readings by their rounding alone.
    """

    average: float
    minimum: float
    maximum: float
    count: int  # readings
    devices: int  # that sent them


@dataclass(frozen=True)
class Bucket(Figures):
    """The readings of one bucket. One without readings does not exist."""

    start: datetime


@dataclass(frozen=True)
class LocationFigures(Figures):
    """The readings of one location over a whole window."""

    location_id: int


@dataclass(slots=True)
class Merge:
    """Sums that come together."""

    count: int = 0
    totals: list[float] = field(default_factory=list)
    lowest: float = math.inf
    highest: float = -math.inf
    devices: set[int] = field(default_factory=set)

    def add(self, row: Row) -> None:
        device, _, count, total, lowest, highest = row
        self.count += count
        self.totals.append(total)
        if lowest < self.lowest:
            self.lowest = lowest
        if highest > self.highest:
            self.highest = highest
        self.devices.add(device)

    def figures(self, metric: str) -> tuple[float, float, float, int, int]:
        """Return average, minimum, maximum, count and number of devices; values of several metrics have no mean."""
        devices = len(self.devices)
        if metric == DEVICE_COUNT:
            return float(devices), float(devices), float(devices), self.count, devices
        return math.fsum(self.totals) / self.count, self.lowest, self.highest, self.count, devices


@dataclass(frozen=True)
class Merged:
    """A window's buckets, oldest first, and its locations, by their ids."""

    buckets: tuple[Bucket, ...]
    locations: tuple[LocationFigures, ...]


def merged(metric: str, groups: Sequence[Group], window: Window, now: datetime, locations: Mapping[int, int]) -> Merged:
    """Return what the readings of devices come to within a window. `locations` holds these devices, and where they are.

    The groups must hold all of the devices, and may hold others.
    """
    buckets = [Merge() for _ in window.starts()]
    wholes = {location: Merge() for location in locations.values()}
    places = places_of_steps(window)
    for row in sums(metric, groups, window, now):
        place, location = places.get(row[1]), locations.get(row[0])
        if place is not None and location is not None:
            buckets[place].add(row)
            wholes[location].add(row)
    return Merged(_buckets(metric, window, buckets), _locations(metric, wholes))


def places_of_steps(window: Window) -> dict[int, int]:
    """Return by the number of each step in the window the place of the bucket that it lies in."""
    step = step_of(window)
    edges = [edge // step for edge in edges_of(window)]
    return {number: place for place, (start, end) in enumerate(pairwise(edges)) for number in range(start, end)}


def _buckets(metric: str, window: Window, merges: Iterable[Merge]) -> tuple[Bucket, ...]:
    return tuple(
        Bucket(*merge.figures(metric), start)
        for start, merge in zip(window.starts(), merges, strict=True)
        if merge.count
    )


def _locations(metric: str, merges: dict[int, Merge]) -> tuple[LocationFigures, ...]:
    return tuple(LocationFigures(*merge.figures(metric), pk) for pk, merge in sorted(merges.items()) if merge.count)
