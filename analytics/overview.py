"""The overview: how each region and location does, and what needs attention.

It is made anew for each reader, of the devices that are kept by location (devices/directory.py).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
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
    """What a person sees first. `present` is when the newest data is from, `silent` counts devices that fell silent."""

    regions: tuple[RegionState, ...]
    counts: DeviceCounts
    silent: int
    attention: tuple[DeviceState, ...]
    attention_total: int
    present: datetime
    made_at: datetime

    @property
    def state(self) -> tuple[object, ...]:
        """All of it but the moments."""
        return (self.regions, self.counts, self.silent, self.attention, self.attention_total)

    @property
    def location_count(self) -> int:
        return sum(len(region.locations) for region in self.regions)

    @property
    def zone(self) -> str:
        return common_zone(location.timezone for region in self.regions for location in region.locations)

    @property
    def historical(self) -> bool:
        return self.present < self.made_at


def overview(location_ids: tuple[int, ...] | None, now: datetime | None = None) -> Overview:
    """Return the overview of the locations, None for all, at a moment: by default the present one."""
    now = now or timezone.now()
    places = list(Location.objects.all() if location_ids is None else Location.objects.filter(pk__in=location_ids))
    stored = devices_at([place.pk for place in places])
    devices = rows_with_pending(stored, pending_readings(row for rows in stored.values() for row in rows))
    present = present_for(newest_sighting([row for rows in devices.values() for row in rows]), now)
    locations = [location_state(place, devices[place.pk]) for place in places]
    troubled = [
        device_state(place, row)
        for place in places
        for row in devices[place.pk]
        if row.status in TROUBLED or is_silent(row.status, row.last_seen, present)
    ]
    troubled.sort(key=lambda state: state.serial)
    troubled.sort(key=lambda state: state.last_seen or LONG_AGO, reverse=True)
    return Overview(
        regions=_regions(locations),
        counts=total_counts([location.counts for location in locations]),
        silent=sum(state.reason == "silent" for state in troubled),
        attention=tuple(troubled[:ATTENTION_ROWS]),
        attention_total=len(troubled),
        present=present,
        made_at=now,
    )


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
