"""Warming devices: their rows, and what their pages read, with the 24 h summaries."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from functools import partial
from zoneinfo import ZoneInfo

from django.utils import timezone

from analytics.figures import merged
from analytics.windows import window_for
from cacheops import bypassed
from cacheops.warming import Reads, Task, rows_of
from devices.models import Device
from devices.selectors import RECENT_READINGS, device_by_serial, readings_of
from devices.spans import DEFAULT_SPAN, SPANS
from users.models import User
from xyzsite.warming.people import people_at

SUMMARY_SPANS = ("24h", DEFAULT_SPAN.code)  # the specification's, and what a device's page opens with
CALLS = 500  # in one batch: their entries are leased together


def tasks(keys: Sequence[int]) -> Iterator[Task]:
    """Yield what to fill for devices."""
    yield rows_of(Device, keys, by=("serial",))
    with bypassed():
        devices = list(Device.objects.select_related("location").filter(pk__in=keys))
    people = people_at({device.location_id for device in devices})
    now = timezone.now()  # the same for all, so that they ask for the same windows
    calls = [partial(page, user, device.serial, now) for device in devices for user in people[device.location_id]]
    for start in range(0, len(calls), CALLS):
        yield Reads(calls[start : start + CALLS])


def page(user: User, serial: str, now: datetime) -> None:
    """Read what a device's page and the API's read for one person."""
    device = device_by_serial(user, serial)
    list(readings_of(device)[:RECENT_READINGS])
    zone = ZoneInfo(device.location.timezone)
    now = timezone.now()
    for span in dict.fromkeys(SUMMARY_SPANS):
        window, _ = window_for(SPANS[span], zone, device.last_seen, None, now)
        merged(device.metric, device.pk, window, now)
