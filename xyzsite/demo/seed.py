"""Put the demo's locations, devices and readings into the database."""

import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

from django.db import transaction

from devices.imports.formats import Reading
from devices.imports.importer import BATCH, newest_of
from devices.imports.writers import writer
from devices.models import Device, Status
from devices.services import advance_devices, chunks, lock_devices
from locations.models import Location
from xyzsite.demo.curves import Moment, value_at
from xyzsite.demo.places import PLACES, TROUBLES, Place, Sensor, sensors_of, serial_of

FINE_STEP = timedelta(minutes=5)  # so that a chart of one hour has twelve points
FINE_SPAN = timedelta(hours=48)  # how long before the end readings are that close; hourly before
HOUR = timedelta(hours=1)
# A second run within this time adds nothing; a later one adds what has been measured since.
STALE_AFTER = timedelta(hours=1)


@dataclass(frozen=True)
class Seeded:
    """What was added."""

    locations: int
    devices: int
    readings: int


def seed(until: datetime, days: int) -> Seeded:
    """Make the demo where none of its locations exists; else only add the readings since the last run.

    Rows changed or deleted since stay so. All or nothing.
    """
    with transaction.atomic():
        if Location.objects.filter(code__in=[place.code for place in PLACES]).exists():
            return Seeded(0, 0, top_up(until, days))
        devices = 0
        rows: list[Reading] = []
        for place in PLACES:
            location = Location.objects.create(
                code=place.code, name=place.name, region=place.region, timezone=place.timezone
            )
            for sensor in sensors_of(place):
                device = add_device(location, place, sensor)
                devices += 1
                last = until - timedelta(hours=silent_hours(place, sensor))
                rows += readings(device.pk, place, sensor, (at for at in moments(until, days) if at <= last))
        store(rows)
    return Seeded(len(PLACES), devices, len(rows))


def add_device(location: Location, place: Place, sensor: Sensor) -> Device:
    serial = serial_of(place, sensor)
    mark = zlib.crc32(serial.encode())  # what makes one device differ from the next
    status, _ = TROUBLES.get((place.code, sensor.metric), (Status.ACTIVE, 0))
    return Device.objects.create(
        location=location,
        serial=serial,
        name=sensor.name,
        kind=sensor.kind,
        metric=sensor.metric,
        status=status,
        installed=date(2022, 1, 3) + timedelta(days=mark % 1200),
        metadata={
            "model": sensor.model,
            "firmware": f"{2 + mark % 3}.{mark % 7}.{mark % 11}",
            "mount": sensor.mount,
            "latitude": place.latitude,
            "longitude": place.longitude,
        },
    )


def silent_hours(place: Place, sensor: Sensor) -> int:
    return TROUBLES.get((place.code, sensor.metric), (Status.ACTIVE, 0))[1]


def top_up(until: datetime, days: int) -> int:
    """Add what the active devices have measured since their last readings; return how many readings that are."""
    known = {serial_of(place, sensor): (place, sensor) for place in PLACES for sensor in sensors_of(place)}
    behind = Device.objects.filter(serial__in=known, status=Status.ACTIVE, last_seen__lt=until - STALE_AFTER).order_by(
        "pk"
    )
    rows: list[Reading] = []
    for device in behind:
        place, sensor = known[device.serial]
        if device.metric == sensor.metric and device.last_seen:
            last = device.last_seen
            rows += readings(device.pk, place, sensor, (at for at in moments(until, days) if at > last))
    return store(rows)


def moments(until: datetime, days: int) -> Iterator[datetime]:
    """Yield the moments of readings, oldest first: full hours, then every five minutes up to `until`."""
    at = full(until - timedelta(days=days), HOUR)
    fine = max(at, full(until - FINE_SPAN, HOUR))
    while at < fine:
        yield at
        at += HOUR
    while at <= until:
        yield at
        at += FINE_STEP


def full(moment: datetime, step: timedelta) -> datetime:
    """Return the last full step, an hour or five minutes, at or before a moment."""
    return datetime.fromtimestamp(moment.timestamp() // step.total_seconds() * step.total_seconds(), UTC)


def readings(device: int, place: Place, sensor: Sensor, times: Iterable[datetime]) -> Iterator[Reading]:
    before = None
    for at in times:
        since = HOUR if before is None else at - before
        yield device, sensor.metric, value_at(sensor.metric, Moment(place, at), since), at
        before = at


def store(rows: list[Reading]) -> int:
    newest = newest_of(rows)
    lock_devices({device for device, _ in newest})
    new = sum(writer().write(chunk) for chunk in chunks(rows, BATCH))
    advance_devices(newest)
    return new
