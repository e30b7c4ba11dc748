"""Values beyond their bounds: judged once a reading, as it is stored; and what people read of them."""

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from django.db import IntegrityError, connection, transaction
from django.db.models import F, Q
from django.utils import timezone

from devices.current import current_devices
from devices.models import Device, Excursion, Notice, Threshold
from devices.notices import Happened, announce
from locations.models import Location

LATELY = timedelta(hours=24)  # how long an excursion is shown once it has ended; to the full hour
MAX_SHOWN = 50

Measured = tuple[int, str, datetime, float]  # device, metric, moment, value


def judge(readings: Sequence[Measured]) -> None:
    """Begin, widen and end excursions by readings that are new to the database, in order of device, metric and time.

    Only a device's own metric is judged, and only what is newer than what the device shows: what comes late changes
    nothing that is so now. It is part of the transaction that stores the readings and has locked the devices.
    """
    if not readings:
        return
    devices = Device.objects.nocache().in_bulk({device for device, *_ in readings})
    places = Q(location=None) | Q(location__in={device.location_id for device in devices.values()})
    thresholds = Threshold.objects.nocache().filter(places, metric__in={metric for _, metric, *_ in readings})
    lasting = Excursion.objects.nocache().filter(device__in=list(devices), ended_at=None)
    current = {(each.threshold_id, each.device_id): each for each in lasting}
    happened: list[Happened] = []
    for threshold in thresholds:
        for device, moment, value in own_values(readings, devices, threshold):
            place = (threshold.pk, device.pk)
            excursion = judged(threshold, device, moment, value, current.pop(place, None), happened)
            if excursion is not None:
                current[place] = excursion
    announce(happened)


def own_values(
    readings: Sequence[Measured], devices: dict[int, Device], threshold: Threshold
) -> Iterator[tuple[Device, datetime, float]]:
    for pk, metric, moment, value in readings:
        device = devices[pk]
        is_newer = device.last_seen is None or moment > device.last_seen
        if metric == device.metric and is_newer and threshold.concerns(device):
            yield device, moment, value


def judged(
    threshold: Threshold,
    device: Device,
    moment: datetime,
    value: float,
    lasting: Excursion | None,
    happened: list[Happened],
) -> Excursion | None:
    """Return the excursion that a device is in with a value, stored; None within the bounds. Note what `happened`."""
    bound = threshold.passed_by(value)
    if lasting is not None and bound != lasting.bound:
        lasting.ended_at = moment
        lasting.save(update_fields=["ended_at"])
        happened.append((Notice.Event.END, lasting))
        lasting = None
    if lasting is not None and abs(value - lasting.bound) > abs(lasting.extreme - lasting.bound):
        lasting.extreme = value
        lasting.save(update_fields=["extreme"])
    if lasting is None and bound is not None:
        lasting = begun(threshold, device, moment, value, bound)
        if lasting is not None:
            happened.append((Notice.Event.BEGIN, lasting))
    return lasting


def begun(threshold: Threshold, device: Device, moment: datetime, value: float, bound: float) -> Excursion | None:
    """Store an excursion that begins; None where its threshold is deleted meanwhile, which no lock prevents."""
    try:
        with transaction.atomic():
            made = Excursion.objects.create(
                threshold=threshold,
                device=device,
                location_id=device.location_id,
                metric=device.metric,
                bound=bound,
                extreme=value,
                began_at=moment,
            )
            connection.check_constraints([Excursion._meta.db_table])  # now, as at the commit it would fail all readings
    except IntegrityError:
        return None
    return made


def end_excursions(**which: Any) -> None:
    """End excursions that last, of devices or a threshold that are others now: the next reading is judged anew."""
    lasting = list(Excursion.objects.nocache().filter(ended_at=None, **which))
    if lasting:
        Excursion.objects.filter(ended_at=None, **which).update(ended_at=timezone.now())
        announce([(Notice.Event.END, each) for each in lasting])


class ExcursionRow(NamedTuple):
    """What is shown of an excursion."""

    device: str
    serial: str
    location: str
    location_code: str
    timezone: str
    metric: str
    bound: float
    extreme: float
    began_at: datetime
    ended_at: datetime | None


def excursions_at(location_ids: Sequence[int] | None, now: datetime) -> list[ExcursionRow]:
    """Return what is beyond its bound, first, and was within LATELY, at locations; None for all.

    Rows of devices change with each reading, so they are not joined: they come from their own entries.
    """
    since = (now - LATELY).replace(minute=0, second=0, microsecond=0)
    found = Excursion.objects.filter(Q(ended_at=None) | Q(ended_at__gte=since))
    places = Location.objects.all()
    if location_ids is not None:
        found, places = found.filter(location_id__in=location_ids), places.filter(pk__in=location_ids)
    rows = list(found.order_by(F("ended_at").desc(nulls_first=True), "-began_at", "pk")[:MAX_SHOWN])
    devices = current_devices.get_many(row.device_id for row in rows)
    named = {place.pk: place for place in places} if rows else {}
    return [
        ExcursionRow(
            (device := devices[row.device_id]).name,
            device.serial,
            (place := named[row.location_id]).name,
            place.code,
            place.timezone,
            row.metric,
            row.bound,
            row.extreme,
            row.began_at,
            row.ended_at,
        )
        for row in rows
        # One that has moved since may be at a place that the reader does not see.
        if row.device_id in devices and row.location_id in named and devices[row.device_id].location_id in named
    ]
