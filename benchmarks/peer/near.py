"""The level near while others write: what a reader and a writer do, each for some seconds."""

import random
import time
from collections.abc import Callable
from typing import Any

from rows import DEVICES_EACH, LOCATIONS
from sensors.models import Device

READ = 1000  # devices
ROUND = 1000  # reads between two looks at the clock


def write(rate: float, seconds: float) -> dict[str, Any]:
    """Write devices, drawn from all, so many a second; return how many there were."""
    began, count = time.monotonic(), 0
    while (now := time.monotonic()) < began + seconds:
        if count >= rate * (now - began):
            time.sleep(0.0005)
            continue
        count += 1
        Device.objects.filter(pk=random.randint(1, LOCATIONS * DEVICES_EACH)).update(current_value=float(count))
    return {"rate": count / seconds}


def read_near(way: str, seconds: float) -> dict[str, Any]:
    """Read devices; return how many a second, by the clock and of the processor's time, and the share of hits."""
    from cacheops.instrumentation.counters import counters

    for _ in range(3):  # the second time finds an entry, the third is told of changes
        for key in range(1, READ + 1):
            Device.objects.get(pk=key)
        time.sleep(0.3)
    read = look_up() if way == "look_ups" else lambda key: Device.objects.get(pk=key)
    held, count, missed = counters.total("near"), 0, 0
    began, own = time.monotonic(), time.process_time()
    while time.monotonic() < began + seconds:
        for number in range(ROUND):
            missed += read(1 + number % READ) is None
        count += ROUND
    took, spent = time.monotonic() - began, time.process_time() - own
    hits = count - missed if way == "look_ups" else counters.total("near") - held
    return {"a second": count / took, "of the processor": count / spent, "hits": hits / count}


def look_up() -> Callable[[int], Any]:
    """Return what looks a device's entry up in this process, and has the ORM read it where there is none."""
    from cacheops.regions import regions

    near: Any = regions.local.store.near
    bound, find = 0.5, near.find
    keys = keys_of(near)

    def found(key: int) -> Any:
        entry = find(keys[key], bound)
        if entry is None:
            Device.objects.get(pk=key)
        return entry

    return found


def keys_of(near: Any) -> dict[int, str]:
    """Return the keys of the devices' entries, which the process has just read in order."""
    held = near._memory.entries
    found = {}
    for key in range(1, READ + 1):
        Device.objects.get(pk=key)
        found[key] = next(reversed(held))
    return found
