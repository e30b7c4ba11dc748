"""The devices of locations, as they are now: kept by location, and shared by all pages and people that need them.

A reading that is recorded changes its device's row, so it costs one query, for the locations that have news.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from itertools import chain
from typing import NamedTuple

import msgspec

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


@dataclass(frozen=True)
class Fleet:
    """Which devices stand at some locations now: their ids, by location and kind."""

    places: Mapping[int, Mapping[str, frozenset[int]]]

    @cached_property
    def ids(self) -> frozenset[int]:
        return frozenset(chain.from_iterable(chain.from_iterable(kinds.values()) for kinds in self.places.values()))

    def holds(self, claims: Iterable[tuple[int, str, frozenset[int]]]) -> bool:
        """Return whether devices stand where it is claimed, as far as the fleet's locations are concerned."""
        return all(
            ids <= self.places[location].get(kind, frozenset()) if location in self.places else ids.isdisjoint(self.ids)
            for location, kind, ids in claims
        )


def fleet_at(location_ids: Sequence[int]) -> Fleet:
    """Return which devices stand at locations: from one look-up, and one query for what is not kept."""
    keys = {f"{CacheKeyBuilder.location_devices_key(pk)}:kinds": pk for pk in location_ids}
    entries = [AsideEntry(key, [RowsOf(Device, {"location_id": pk})]) for key, pk in keys.items()]

    def load(missing: list[str]) -> Mapping[str, list[tuple[str, bytes]]]:
        found: dict[int, dict[str, list[int]]] = {keys[key]: {} for key in missing}
        rows = Device.objects.nocache().filter(location_id__in=list(found)).order_by("pk")
        for pk, location, kind in rows.values_list("pk", "location_id", "kind"):
            found[location].setdefault(kind, []).append(pk)
        return {key: [(kind, _ids.encode(pks)) for kind, pks in found[keys[key]].items()] for key in missing}

    held = device_cache.get_or_set_many(entries, load)
    return Fleet({keys[key]: {kind: _id_set.decode(pks) for kind, pks in rows} for key, rows in held.items()})


_ids = msgspec.msgpack.Encoder()
_id_set = msgspec.msgpack.Decoder(frozenset[int])


def newest_sighting(devices: Sequence[DeviceRow]) -> datetime | None:
    """Return when one of the devices last sent something, None where they never did."""
    return max((row.last_seen for row in devices if row.last_seen is not None), default=None)
