"""The overview: how each region and location does, and what needs attention."""

from dataclasses import dataclass
from datetime import datetime

from django.db.models import Avg, F
from django.utils import timezone

from analytics.summaries import REAL_TIME_TTL, Recipe, served, summary_key
from analytics.windows import common_zone
from devices.models import Device, DeviceQuerySet, Status
from devices.selectors import newest_reading_time, present_for, silent
from locations.models import Location
from locations.selectors import DeviceCounts, device_counts
from xyzsite.models import Region

HEADLINES = ("temperature", "humidity", "pm25")  # what a location shows first, as far as it measures them
ATTENTION_ROWS = 8


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
    def location_count(self) -> int:
        return sum(len(region.locations) for region in self.regions)

    @property
    def zone(self) -> str:
        return common_zone(location.timezone for region in self.regions for location in region.locations)

    @property
    def historical(self) -> bool:
        return self.present < self.made_at


def overview_recipe(location_ids: tuple[int, ...] | None) -> Recipe[Overview]:
    """Return how the overview of the locations is had; None: of all."""
    return Recipe(
        summary_key("overview", location_ids), Overview, lambda: survey(location_ids), lambda _: REAL_TIME_TTL
    )


def overview(location_ids: tuple[int, ...] | None) -> Overview:
    """Return the overview of the locations (None: of all), from the region's cache where it holds one."""
    return served(overview_recipe(location_ids))


def survey(location_ids: tuple[int, ...] | None) -> Overview:
    now = timezone.now()
    places = Location.objects.all() if location_ids is None else Location.objects.filter(pk__in=location_ids)
    devices = Device.objects.all() if location_ids is None else Device.objects.filter(location_id__in=location_ids)
    locations = location_states(list(places))
    present = present_for(newest_reading_time(devices), now)
    quiet = silent(devices, present)
    troubled = quiet | devices.filter(status__in=(Status.OFFLINE, Status.MAINTENANCE))
    counts = total_counts([location.counts for location in locations])
    silent_count = quiet.count()
    return Overview(
        regions=_regions(locations),
        counts=counts,
        silent=silent_count,
        attention=_attention(troubled),
        attention_total=silent_count + counts.offline + counts.maintenance,
        present=present,
        made_at=now,
    )


def location_states(locations: list[Location]) -> list[LocationState]:
    """Return the state of each location, in two queries for all."""
    ids = [location.pk for location in locations]
    counts, values = device_counts(ids), current_values(ids)
    return [
        LocationState(place.name, place.code, place.region, place.timezone, counts[place.pk], values.get(place.pk, {}))
        for place in locations
    ]


def current_values(location_ids: list[int]) -> dict[int, dict[str, float]]:
    """Return by location and metric the mean of the active devices' current values, in the metric's unit."""
    rows = (
        Device.objects.filter(location_id__in=location_ids, status=Status.ACTIVE, current_value__isnull=False)
        .order_by()
        .values_list("location_id", "metric")
        .annotate(Avg("current_value"))
    )
    values: dict[int, dict[str, float]] = {}
    for location_id, metric, value in rows:
        values.setdefault(location_id, {})[metric] = value
    return values


def total_counts(counts: list[DeviceCounts]) -> DeviceCounts:
    """Return the counts added up, with the newest of the times."""
    seen = [count.last_seen for count in counts if count.last_seen is not None]
    return DeviceCounts(
        **{status: sum(getattr(count, status) for count in counts) for status in Status.values},
        last_seen=max(seen, default=None),
    )


def _regions(locations: list[LocationState]) -> tuple[RegionState, ...]:
    states = []
    for region in Region.values:
        own = tuple(location for location in locations if location.region == region)
        states.append(RegionState(region, total_counts([location.counts for location in own]), own))
    return tuple(states)


def _attention(troubled: DeviceQuerySet) -> tuple[DeviceState, ...]:
    rows = troubled.select_related("location").order_by(F("last_seen").desc(nulls_last=True), "serial")
    return tuple(
        DeviceState(
            name=device.name,
            serial=device.serial,
            location=device.location.name,
            location_code=device.location.code,
            timezone=device.location.timezone,
            reason="silent" if device.status == Status.ACTIVE else device.status,
            last_seen=device.last_seen,
        )
        for device in rows[:ATTENTION_ROWS]
    )
