"""What a peer's process does for `python -m benchmarks.scale`: more rows, entries and schemes; a mix; many waiters."""

import bisect
import itertools
import random
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

from django.db import connection
from rows import DEVICES_EACH, device
from sensors.models import Device, Location

FEW = 10  # locations: what the operations read
SPREAD = 1.1  # the exponent of Zipf's law: the second is asked for half as often as the first, and so on
BATCH = 1000
LOAD_SECONDS = 1.0  # of what many wait for

GROW = """
INSERT INTO sensors_device (
    location_id, serial, name, kind, metric, status, metadata, installed, last_seen, current_value
)
SELECT %s + n / 100 %% %s, 'more-' || n, 'Sensor ' || n || ' on the east roof', 'barometer', 'temperature', 'active',
    '{"firmware": "2.4.1"}', '2024-01-01', '2025-06-01T12:00Z', n %% 40
FROM generate_series(%s, %s) n
"""
MORE_LOCATIONS = 1000


def create() -> None:
    """Make the tables with 1,000 devices at the locations that are read, and others at which more can stand."""
    with connection.schema_editor() as editor:
        editor.create_model(Location)
        editor.create_model(Device)
    names = range(1, FEW + MORE_LOCATIONS + 1)
    Location.objects.bulk_create([Location(name=f"Location {i}", code=f"location-{i}") for i in names])
    numbers = range(FEW * DEVICES_EACH)
    Device.objects.bulk_create([device(1 + number // DEVICES_EACH, f"serial-{number}", number) for number in numbers])


def grow(rows: int) -> None:
    """Have so many devices. None of the others is read."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM sensors_device")
        (there,) = cursor.fetchone()
        cursor.execute(GROW, [FEW + 1, MORE_LOCATIONS, there, rows - 1])
        cursor.execute("VACUUM ANALYZE sensors_device")


def zipf(size: int, chance: random.Random) -> Callable[[], int]:
    """Return a function that draws numbers from 0 by Zipf's law."""
    sums = list(itertools.accumulate(1 / rank**SPREAD for rank in range(1, size + 1)))
    return lambda: bisect.bisect(sums, chance.random() * sums[-1])


def mix(seconds: float, writes: float, seed: int, statements: Callable[[], int]) -> dict[str, Any]:
    """Read devices, lists and counts by Zipf's law, and save devices, for a while.

    Return how much a second, by the clock and of the processor's time, and the share of reads without SQL.
    """
    chance = random.Random(seed)
    key, place = zipf(FEW * DEVICES_EACH, chance), zipf(FEW, chance)
    reads: Sequence[Callable[[], Any]] = (
        lambda: Device.objects.get(pk=1 + key()),
        lambda: list(Device.objects.filter(location_id=1 + place())),
        lambda: Device.objects.filter(location_id=1 + place(), status="active").count(),
    )
    done = hits = read = 0
    began, own = time.monotonic(), time.process_time()
    while time.monotonic() < began + seconds:
        done += 1
        if chance.random() < writes:
            Device.objects.filter(pk=1 + key()).update(current_value=chance.random())
            continue
        before = statements()
        chance.choices(reads, (8, 1, 1))[0]()
        read += 1
        hits += statements() == before
    took, worked = time.monotonic() - began, time.process_time() - own
    return {"a second": done / took, "of the processor": done / worked, "hits": hits / max(read, 1)}


def fill(first: int, last: int, dependent: bool) -> None:
    """Keep entries of these numbers, which depend on the devices of location 7, or each on a device of its own."""
    from cacheops import RowsOf
    from cacheops.patterns import AsideEntry, CacheAsideManager

    kept = CacheAsideManager(default_ttl=3600)
    for start in range(first, last, BATCH):
        entries = [
            AsideEntry(f"scale:{number}", [RowsOf(Device, {"location_id": 7} if dependent else {"id": 10**9 + number})])
            for number in range(start, min(start + BATCH, last))
        ]
        kept.get_or_set_many(entries, lambda keys: {key: {"value": len(key), "unit": "celsius"} for key in keys})


COLUMNS = ("location_id", "kind", "metric", "status", "installed", "current_value", "serial")


def read_by_schemes(count: int) -> None:
    """Have so many schemes: combinations of columns in the conditions of cached queries."""
    found = itertools.chain.from_iterable(itertools.combinations(COLUMNS, size) for size in (1, 2, 3, 4))
    first = Device.objects.get(pk=1)
    for columns in itertools.islice(found, count):
        list(Device.objects.filter(**{column: getattr(first, column) for column in columns}))


CONNECTING = 4  # threads at once


def wait(threads: int) -> dict[str, Any]:
    """Have many threads ask at once for what takes a second to load; return how often it was loaded, and the delay.

    The delay is that of the last reader, in seconds after the load has ended.
    """
    from cacheops.patterns import CacheAsideManager

    kept, loads, ended = CacheAsideManager(), [], []
    ready = threading.Barrier(threads + 1)
    connecting = threading.Semaphore(CONNECTING)  # what is measured is the wait, not a thousand new connections at once

    def load() -> int:
        time.sleep(LOAD_SECONDS)
        loads.append(time.time())
        return len(loads)

    def ask() -> None:
        with connecting:
            kept.get_or_set("scale:at-hand", int, depends_on=[Location.objects.filter(pk=1)])
            connection.close()
        ready.wait()
        kept.get_or_set("scale:waited-for", load, depends_on=[Location.objects.filter(pk=1)])
        ended.append(time.time())
        connection.close()

    Location.objects.filter(pk=1).first()  # so that the process knows its database
    threading.stack_size(256 * 1024)
    started = [threading.Thread(target=ask) for _ in range(threads)]
    for thread in started:
        thread.start()
    ready.wait()
    for thread in started:
        thread.join()
    return {"loads": loads, "last": max(ended)}
