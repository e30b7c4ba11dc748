"""Reads of devices and their readings. Lists take a user, and hold only what that user may see."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Count, F, Max, Q, QuerySet

from cacheops import cached, is_bypassed
from devices.current import current_devices
from devices.models import Device, DeviceQuerySet, Reading, Status
from locations.models import Membership
from users.models import User

# What a list may be ordered by, and the columns that this means; the serial makes every order total.
DEVICE_SORTS = {
    "name": ("name", "serial"),
    "serial": ("serial",),
    "kind": ("kind", "name", "serial"),
    "status": ("status", "name", "serial"),
    "value": ("current_value", "name", "serial"),
    "last_seen": ("last_seen", "name", "serial"),
    "location": ("location__name", "name", "serial"),
}
SILENT_AFTER = timedelta(hours=3)  # hourly reporters have then missed three readings
LIVE_WITHIN = timedelta(hours=24)  # older newest readings mean a data set of the past, which has its own "now"


@dataclass(frozen=True)
class DeviceFilter:
    """What a list of devices is narrowed to. An empty field does not narrow."""

    search: str = ""  # in the name or the serial, in any case
    location_id: int | None = None
    kind: str = ""  # a value of devices.models.Kind
    status: str = ""  # a value of devices.models.Status
    metric: str = ""  # a code of devices.metrics.METRICS


def devices_for(user: User, chosen: DeviceFilter | None = None, sort: str = "name") -> DeviceQuerySet:
    """Return the devices that a user may see, each with its location.

    An unknown `sort` means the name; a leading dash turns the order. Devices without a value come last in both.
    """
    chosen = chosen or DeviceFilter()
    rows = Device.objects.visible_to(user).select_related("location")
    exact = {
        name: value
        for name in ("location_id", "kind", "status", "metric")
        if (value := getattr(chosen, name)) not in ("", None)
    }
    if chosen.search:
        rows = rows.filter(Q(name__icontains=chosen.search) | Q(serial__icontains=chosen.search))
    return rows.filter(**exact).order_by(*_order(sort))


def _order(sort: str) -> list[Any]:
    columns = DEVICE_SORTS.get(sort.removeprefix("-"), DEVICE_SORTS["name"])
    if sort.startswith("-"):
        return [F(column).desc(nulls_last=True) for column in columns]
    return [F(column).asc(nulls_last=True) for column in columns]


def device_by_serial(user: User, serial: str) -> Device:
    """Return a device with its location; raise Device.DoesNotExist where there is none, or the user may not see it.

    Each reading changes its device's row. The entry that the write has stored answers, so that no reader has to ask
    the database again.
    """
    if "\0" in serial:  # PostgreSQL refuses such a text
        raise Device.DoesNotExist
    if is_bypassed():
        return Device.objects.visible_to(user).select_related("location").get(serial=serial)
    device = current_devices.get(device_id(serial))
    if device is None or device.serial != serial:  # a serial was corrected
        device_id.invalidate(serial)
        device = Device.objects.get(serial=serial)
    if not user.is_staff and device.location_id not in visible_location_ids(user):
        raise Device.DoesNotExist
    return device


@cached(timeout="static_data")
def device_id(serial: str) -> int:
    """Return the primary key of the device with a serial, which does not change with each reading as its row does."""
    found: int = Device.objects.values_list("pk", flat=True).get(serial=serial)
    return found


def visible_location_ids(user: User) -> frozenset[int]:
    return frozenset(Membership.objects.filter(user=user).values_list("location_id", flat=True))


def readings_of(
    device: Device, metric: str = "", start: datetime | None = None, end: datetime | None = None
) -> "QuerySet[Reading, Reading]":
    """Return a device's readings of a metric (its own by default) in [start, end), newest first; slice the result."""
    rows = Reading.objects.filter(device_id=device.pk, metric=metric or device.metric)
    if start is not None:
        rows = rows.filter(taken_at__gte=start)
    if end is not None:
        rows = rows.filter(taken_at__lt=end)
    return rows.order_by("-taken_at")


def present_for(newest: datetime | None, now: datetime, live_within: timedelta = LIVE_WITHIN) -> datetime:
    """Return the moment that counts as the present: now, or the newest reading's where the data is of the past."""
    if newest is not None and newest < now - live_within:
        return newest
    return now


def is_silent(status: str, last_seen: datetime | None, present: datetime) -> bool:
    """Return whether a device is active, but has sent nothing for SILENT_AFTER before the present, or never."""
    return status == Status.ACTIVE and (last_seen is None or last_seen < present - SILENT_AFTER)


def newest_reading_time(devices: DeviceQuerySet) -> datetime | None:
    newest: datetime | None = devices.aggregate(newest=Max("last_seen"))["newest"]
    return newest


@dataclass(frozen=True)
class DeviceCounts:
    """How many devices there are of each status; `last_seen` is the newest reading's time, None where there is none."""

    active: int = 0
    maintenance: int = 0
    offline: int = 0
    retired: int = 0
    last_seen: datetime | None = None

    @property
    def total(self) -> int:
        return self.active + self.maintenance + self.offline + self.retired


def device_counts(location_ids: tuple[int, ...] | list[int]) -> dict[int, DeviceCounts]:
    """Return the counts of each of the locations, by its id, in one query."""
    by_status = [Count("pk", filter=Q(status=status)) for status in Status.values]
    rows = (
        Device.objects.filter(location_id__in=location_ids)
        .order_by()
        .values("location_id")
        .annotate(**dict(zip(Status.values, by_status, strict=True)), newest=Max("last_seen"))
        .values_list("location_id", *Status.values, "newest")
    )
    found = {pk: DeviceCounts(*counts) for pk, *counts in rows}
    return {pk: found.get(pk, DeviceCounts()) for pk in location_ids}


RECENT_READINGS = 12
