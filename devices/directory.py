"""The devices of locations, as they are now: kept by location, and shared by all pages and people that need them.

A reading that is recorded changes its device's row, so it costs one query, for the locations that have news.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import NamedTuple

from cacheops import RowsOf
from cacheops.patterns import AsideEntry, CacheAsideManager, CacheKeyBuilder
from devices.models import Device


class DeviceRow(NamedTuple):
    """What overviews and analytics need of a device."""

    pk: int
    name: str
    serial: str
    kind: str
    metric: str
    status: str
    current_value: float | None
    last_seen: datetime | None


device_cache = CacheAsideManager("device_data", rows=True)


def devices_at(location_ids: Sequence[int]) -> dict[int, list[DeviceRow]]:
    """Return the devices of each location, by their ids: from one look-up, and one query for what is not kept."""
    keys = {CacheKeyBuilder.location_devices_key(pk): pk for pk in location_ids}
    entries = [AsideEntry(key, [RowsOf(Device, {"location_id": pk})]) for key, pk in keys.items()]

    def load(missing: list[str]) -> Mapping[str, list[tuple[object, ...]]]:
        found: dict[int, list[tuple[object, ...]]] = {keys[key]: [] for key in missing}
        rows = Device.objects.nocache().filter(location_id__in=list(found)).order_by("pk")
        for location, *row in rows.values_list("location_id", *DeviceRow._fields):
            found[location].append(tuple(row))
        return {key: found[keys[key]] for key in missing}

    held = device_cache.get_or_set_many(entries, load)
    return {keys[key]: [DeviceRow(*row) for row in rows] for key, rows in held.items()}


def newest_sighting(devices: Sequence[DeviceRow]) -> datetime | None:
    """Return when one of the devices last sent something, None where they never did."""
    return max((row.last_seen for row in devices if row.last_seen is not None), default=None)
