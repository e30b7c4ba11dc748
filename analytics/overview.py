"""The overview: how each region and location does, and what needs attention.

It is made anew for each reader, of the devices that are kept by location (devices/directory.py).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from statistics import fmean

from django.utils import timezone

from analytics.windows import common_zone
from devices.buffering import pending_readings, rows_with_pending
from devices.directory import DeviceRow, devices_at, newest_sighting
from devices.models import Status
from devices.selectors import DeviceCounts, is_silent, present_for
from locations.models import Location
from users.models import Region

HEADLINES = ("temperature", "humidity", "pm25")  # what a location shows first, as far as it measures them
ATTENTION_ROWS = 8
TROUBLED = frozenset({Status.OFFLINE, Status.MAINTENANCE})
LONG_AGO = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True)
class LocationState:
    """A location, its devices' counts, and the mean of its active devices' current values by metric."""

    name: str
    code: str
    region: str
    timezone: str
    counts: DeviceCounts
    values: dict[str, float]


@dataclass(frozen=True)
class DeviceState:
    """A device that needs attention, and why: its status, or "silent"."""

    name: str
    serial: str
    location: str
    location_code: str
    timezone: str
    reason: str
    last_seen: datetime | None


@dataclass(frozen=True)
class RegionState:
    """A region's locations, and the counts of all their devices."""

    code: str
    counts: DeviceCounts
    locations: tuple[LocationState, ...]


@dataclass(frozen=True)
class Overview:
    """What a person sees first, as of the minute `made_at`: figures of rows, each counted when it is asked for."""

    places: Sequence[Location]
    devices: Mapping[int, Sequence[DeviceRow]]  # by location
    made_at: datetime

    @property
    def state(self) -> tuple[object, ...]:
        """All that the figures are made of."""
        return (self.places, self.devices, self.made_at)

    @property
    def location_count(self) -> int:
        return len(self.places)

    @property
    def zone(self) -> str:
        return common_zone(place.timezone for place in self.places)

    @cached_property
    def present(self) -> datetime:
        """When the newest data is from."""
        return present_for(newest_sighting([row for rows in self.devices.values() for row in rows]), self.made_at)

    @property
    def historical(self) -> bool:
        return self.present < self.made_at

    @cached_property
    def regions(self) -> tuple[RegionState, ...]:
        return _regions(self._locations)

    @cached_property
    def counts(self) -> DeviceCounts:
        return total_counts([location.counts for location in self._locations])

    @property
    def silent(self) -> int:
        """How many devices fell silent."""
        return sum(state.reason == "silent" for state in self._troubled)

    @property
    def attention(self) -> list[DeviceState]:
        return self._troubled[:ATTENTION_ROWS]

    @property
    def attention_total(self) -> int:
        return len(self._troubled)

    @cached_property
    def _locations(self) -> list[LocationState]:
        return [location_state(place, self.devices[place.pk]) for place in self.places]

    @cached_property
    def _troubled(self) -> list[DeviceState]:
        found = [
            device_state(place, row)
            for place in self.places
            for row in self.devices[place.pk]
            if row.status in TROUBLED or is_silent(row.status, row.last_seen, self.present)
        ]
        found.sort(key=lambda state: state.serial)
        found.sort(key=lambda state: state.last_seen or LONG_AGO, reverse=True)
        return found


def overview(location_ids: tuple[int, ...] | None, now: datetime | None = None) -> Overview:
    """Return the overview of the locations, None for all, at a moment: by default the present one."""
    places = list(Location.objects.all() if location_ids is None else Location.objects.filter(pk__in=location_ids))
    stored = devices_at([place.pk for place in places])
    devices = rows_with_pending(stored, pending_readings(row for rows in stored.values() for row in rows))
    return Overview(places, devices, (now or timezone.now()).replace(second=0, microsecond=0))


def location_state(place: Location, devices: Sequence[DeviceRow]) -> LocationState:
    counts = {status: sum(row.status == status for row in devices) for status in Status.values}
    return LocationState(
        place.name,
        place.code,
        place.region,
        place.timezone,
        DeviceCounts(**counts, last_seen=newest_sighting(devices)),
        mean_values(devices),
    )


def mean_values(devices: Sequence[DeviceRow]) -> dict[str, float]:
    """Return by metric the mean of the active devices' current values, in the metric's unit."""
    values: dict[str, list[float]] = {}
    for row in devices:
        if row.status == Status.ACTIVE and row.current_value is not None:
            values.setdefault(row.metric, []).append(row.current_value)
    return {metric: fmean(found) for metric, found in values.items()}


def device_state(place: Location, row: DeviceRow) -> DeviceState:
    reason = "silent" if row.status == Status.ACTIVE else row.status
    return DeviceState(row.name, row.serial, place.name, place.code, place.timezone, reason, row.last_seen)


def total_counts(counts: Sequence[DeviceCounts]) -> DeviceCounts:
    """Return the counts added up, with the newest of the times."""
    seen = [count.last_seen for count in counts if count.last_seen is not None]
    return DeviceCounts(
        **{status: sum(getattr(count, status) for count in counts) for status in Status.values},
        last_seen=max(seen, default=None),
    )


def _regions(locations: Sequence[LocationState]) -> tuple[RegionState, ...]:
    states = []
    for region in Region.values:
        own = tuple(location for location in locations if location.region == region)
        states.append(RegionState(region, total_counts([location.counts for location in own]), own))
    return tuple(states)
