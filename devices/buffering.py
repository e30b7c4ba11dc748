"""Readings that are acknowledged before they are in the database (docs/how-to/write-behind.md)."""

from collections.abc import Iterable

from cacheops.patterns.write_behind import Acknowledged, WriteBehindCache
from devices.services import InvalidReadings, NewReading, Recorded, checked, record_readings

reading_buffer: WriteBehindCache[NewReading, Recorded] = WriteBehindCache(
    "readings", NewReading, record_readings, refusals=(InvalidReadings,)
)


def accept_readings(readings: Iterable[NewReading]) -> Acknowledged[Recorded]:
    """Make readings safe, all or none: in the region's buffer, or in the database where there is none.

    Raises InvalidReadings, and BufferFull where too many wait for the database.
    """
    return reading_buffer.write_many(checked(readings))
