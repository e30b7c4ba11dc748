"""Readings that are acknowledged before they are in the database (docs/how-to/write-behind.md)."""

from collections.abc import Iterable
from datetime import UTC

from cacheops.patterns.write_behind import Acknowledged, WriteBehindCache
from devices.models import Device
from devices.services import InvalidReadings, NewReading, Recorded, checked, record_readings


def newest_of(reading: NewReading) -> tuple[str, str]:
    """Return what a reading may be the newest of, and its moment, such that a later one compares higher."""
    moment = reading.taken_at.astimezone(UTC).isoformat(timespec="microseconds")
    return f"{reading.device_id}:{reading.metric}", moment


reading_buffer: WriteBehindCache[NewReading, Recorded] = WriteBehindCache(
    "readings", NewReading, record_readings, refusals=(InvalidReadings,), newest_of=newest_of
)


def accept_readings(readings: Iterable[NewReading]) -> Acknowledged[Recorded]:
    """Make readings safe, all or none: in the region's buffer, or in the database where there is none.

    Raises InvalidReadings, and BufferFull where too many wait for the database.
    """
    return reading_buffer.write_many(checked(readings))


def as_posted(device: Device) -> Device:
    """Bring what a device shows up to its newest accepted reading, which may not be in the database yet."""
    reading = reading_buffer.newest(f"{device.pk}:{device.metric}")
    if reading is not None and (device.last_seen is None or device.last_seen < reading.taken_at):
        device.last_seen, device.current_value = reading.taken_at, reading.value
    return device
