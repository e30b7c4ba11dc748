"""Readings that are acknowledged before they are in the database (docs/how-to/write-behind.md)."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC

from cacheops.patterns import Acknowledged, BatchCacheOperations, NewestItems, WriteBehindCache
from devices.directory import DeviceRow
from devices.models import Device
from devices.services import InvalidReadings, NewReading, Recorded, checked, record_readings


def newest_of(reading: NewReading) -> tuple[str, str]:
    """Return what a reading may be the newest of, and its moment, such that a later one compares higher."""
    moment = reading.taken_at.astimezone(UTC).isoformat(timespec="microseconds")
    return f"{reading.device_id}:{reading.metric}", moment


reading_buffer: WriteBehindCache[NewReading, Recorded] = WriteBehindCache(
    "readings", NewReading, record_readings, refusals=(InvalidReadings,), newest_of=newest_of
)


def accept_readings(readings: Iterable[NewReading], kinds: Mapping[int, str] | None = None) -> Acknowledged[Recorded]:
    """Make readings safe, all or none: in the region's buffer, or in the database where there is none.

    `kinds` are those of the devices, by their ids. Raises InvalidReadings, and BufferFull where too many wait.
    """
    return reading_buffer.write_many(checked(readings, kinds))


newest_pending = BatchCacheOperations(NewestItems(reading_buffer))
Pending = Mapping[int, NewReading]  # the newest accepted reading of each device, by its id


def pending_readings(devices: Iterable[Device | DeviceRow]) -> Pending:
    """Return the newest accepted readings of devices, as far as some came lately: one round trip for all devices.

    They may not be in the database yet. There are none where the region does not answer.
    """
    by_name = {f"{device.pk}:{device.metric}": device.pk for device in devices}
    return {by_name[name]: reading for name, reading in newest_pending.batch_get(by_name).items()}


def with_pending(device: Device) -> Device:
    """Bring what a device shows up to its newest accepted reading."""
    return all_with_pending([device])[0]


def all_with_pending(devices: Sequence[Device], pending: Pending | None = None) -> Sequence[Device]:
    """Bring what devices show up to their newest accepted readings; these are asked for where they are not given."""
    if pending is None:
        pending = pending_readings(devices)
    for device in devices:
        if (reading := _newer_reading(device, pending)) is not None:
            device.last_seen, device.current_value = reading.taken_at, reading.value
    return devices


def rows_with_pending(devices: Mapping[int, Sequence[DeviceRow]], pending: Pending) -> dict[int, list[DeviceRow]]:
    """Return the rows of devices by location, brought up to their newest accepted readings."""
    return {location: [_row_with_pending(row, pending) for row in rows] for location, rows in devices.items()}


def _row_with_pending(row: DeviceRow, pending: Pending) -> DeviceRow:
    reading = _newer_reading(row, pending)
    return row if reading is None else row._replace(last_seen=reading.taken_at, current_value=reading.value)


def _newer_reading(device: Device | DeviceRow, pending: Pending) -> NewReading | None:
    """Return the newest accepted reading of a device that does not show it yet."""
    reading = pending.get(device.pk)
    known = reading is None or (device.last_seen is not None and device.last_seen >= reading.taken_at)
    return None if known else reading
