"""Devices as they are now: `device:{id}:current` in every region, right from the moment a write is answered."""

from collections.abc import Mapping
from typing import Any

from cacheops.patterns import CacheKeyBuilder, WriteThroughCache
from devices.models import Device

current_devices: WriteThroughCache[Device] = WriteThroughCache(Device, CacheKeyBuilder.device_current_key)


def update_device_data(device_id: int, data: Mapping[str, Any]) -> bool:
    """Write fields of a device to the database, then to every region; return False where there is no such device.

    Raises what `WriteThroughCache.update` raises. What an owner may change goes through `devices.services`.
    """
    return current_devices.update(device_id, data)
