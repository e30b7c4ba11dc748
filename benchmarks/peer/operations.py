"""The operations that are timed. Each peer runs the same ORM calls; the floor replaces them by the least it takes."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from django.db import transaction
from django.db.models import Count, Max
from rows import DEVICES_EACH, SPARE_LOCATION, device
from sensors.models import Device, Location

KEYS = 100  # hits are spread over so many keys
LISTS = 10
COLUMNS = ("id", "name", "kind", "status", "current_value")


@dataclass
class Operation:
    """`prepare` is not timed; what it returns is given to `run`, which is. `cleanup` follows a batch."""

    run: Callable[[int, Any], Any]
    prepare: Callable[[int], Any] = lambda number: None
    hit: bool = False  # no SQL is expected of a cache
    cold: bool = False  # the cache is emptied before each batch


def location_of(number: int) -> int:
    return 1 + number % LISTS


def devices_of(number: int) -> Any:
    return Device.objects.filter(location_id=location_of(number))


def forgetful(number: int) -> Device:
    """Return a device that has not loaded its location."""
    found = Device.objects.get(pk=1 + number % KEYS * DEVICES_EACH)
    found._state.fields_cache.clear()
    return found


def aggregate(number: int, given: Any) -> Any:
    return devices_of(number).aggregate(Max("current_value"), Count("kind", distinct=True))


def count(number: int, given: Any) -> int:
    return Device.objects.filter(location_id=location_of(number), status="active").count()


def warmed(number: int) -> Device:
    """Return a device to save, after reads that depend on it."""
    found = Device.objects.get(pk=1 + number % KEYS)
    list(Device.objects.filter(location_id=found.location_id))
    Device.objects.filter(location_id=found.location_id, status="active").count()
    found.current_value = float(number)
    return found


def save_value(number: int, found: Device) -> None:
    found.save(update_fields=["current_value"])


def save_in_atomic(number: int, found: Device) -> None:
    with transaction.atomic():
        found.save(update_fields=["current_value"])


def with_other_status(number: int) -> Device:
    found = warmed(number)
    found.status = "offline" if found.status == "active" else "active"
    return found


def save_status(number: int, found: Device) -> None:
    found.save(update_fields=["status"])


_batches = iter(range(10**9))


def thousand(number: int) -> list[Device]:
    batch = f"{id(_batches)}-{next(_batches)}"
    return [device(SPARE_LOCATION, f"new-{batch}-{i}", i) for i in range(1000)]


def update_one(number: int, found: Device) -> int:
    return Device.objects.filter(pk=found.pk).update(current_value=float(number))


def update_hundred(number: int, given: Any) -> int:
    return devices_of(number).update(current_value=float(number))


OPERATIONS = {
    "get": Operation(lambda n, _: Device.objects.get(pk=1 + n % KEYS), hit=True),
    "foreign key": Operation(lambda n, found: found.location, forgetful, hit=True),
    "list": Operation(lambda n, _: list(devices_of(n)), hit=True),
    "select_related": Operation(lambda n, _: list(devices_of(n).select_related("location")), hit=True),
    "count": Operation(count, hit=True),
    "aggregate": Operation(aggregate, hit=True),
    "values": Operation(lambda n, _: list(devices_of(n).values(*COLUMNS)), hit=True),
    "miss": Operation(lambda n, _: Device.objects.get(pk=5000 + n), cold=True),
    "save": Operation(save_value, warmed),
    "save in atomic": Operation(save_in_atomic, warmed),
    "save status": Operation(save_status, with_other_status),
    "bulk_create": Operation(lambda n, objects: Device.objects.bulk_create(objects), thousand),
    "update one": Operation(update_one, warmed),
    "update": Operation(update_hundred, lambda n: list(devices_of(n))),
}


def different_reads() -> list[Callable[[], Any]]:
    """Return 1,195 reads, none of which a device of location 190 can change."""
    gets = [lambda pk=pk: Device.objects.get(pk=pk) for pk in range(1, 1001)]
    lists = [lambda at=at: list(Device.objects.filter(location_id=at)) for at in range(1, 101)]
    counts = [lambda at=at: Device.objects.filter(location_id=at, status="active").count() for at in range(1, 96)]
    return gets + lists + counts


def fill_dependents(count: int) -> None:
    """Fill the cache with `count` entries that the devices of location 7 can change, each another query."""
    devices = Device.objects.filter(location_id=7).order_by("pk")
    for start in range(count):
        list(devices[start : start + 1])


def dependent() -> Device:
    """Return a device that they depend on."""
    found = Device.objects.get(pk=7 * DEVICES_EACH)
    found.current_value = (found.current_value or 0) + 1
    return found


def locations_of(found: list[Device]) -> list[Location]:
    return [one.location for one in found]
