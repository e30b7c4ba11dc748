"""The floor: one GET by redis-py with hiredis, typed rows, Model.from_db. No query is built, nothing is checked."""

import datetime as dt
from collections.abc import Callable
from typing import Any

import msgspec
import redis
from django.conf import settings
from operations import COLUMNS, KEYS, OPERATIONS, Operation, devices_of, location_of
from sensors.models import Device, Location

DEVICE = tuple[int, int, str, str, str, str, str, str, dt.date | None, dt.datetime | None, float | None]
LOCATION = tuple[int, str, str, str, str, bool]
encode = msgspec.msgpack.encode
device_row = msgspec.msgpack.Decoder(DEVICE).decode
device_rows = msgspec.msgpack.Decoder(list[DEVICE]).decode
location_row = msgspec.msgpack.Decoder(LOCATION).decode
pair_rows = msgspec.msgpack.Decoder(list[tuple[DEVICE, LOCATION]]).decode
plain_row = msgspec.msgpack.Decoder().decode

client = redis.Redis.from_url(getattr(settings, "FLOOR_REDIS", "redis://127.0.0.1"))
DEVICE_NAMES = [field.attname for field in Device._meta.concrete_fields]
LOCATION_NAMES = [field.attname for field in Location._meta.concrete_fields]
decode_json = msgspec.json.decode


def row_of(instance: Any) -> tuple[Any, ...]:
    """Return an instance's row as the driver gives it: JSON as text."""
    values = [getattr(instance, field.attname) for field in instance._meta.concrete_fields]
    return tuple(msgspec.json.encode(value).decode() if isinstance(value, dict) else value for value in values)


def make_device(row: tuple[Any, ...]) -> Device:
    return Device.from_db("default", DEVICE_NAMES, (*row[:7], decode_json(row[7]), *row[8:]))


def make_location(row: tuple[Any, ...]) -> Location:
    return Location.from_db("default", LOCATION_NAMES, row)


def make_pair(row: tuple[Any, ...]) -> Device:
    found = make_device(row[0])
    found._state.fields_cache["location"] = make_location(row[1])
    return found


def fill() -> None:
    """Put there what the operations read."""
    for number in range(KEYS):
        client.set(f"get:{number}", encode(row_of(Device.objects.get(pk=1 + number))))
        client.set(f"fk:{number}", encode(row_of(Location.objects.get(pk=1 + number))))
    for number in range(10):
        found = list(devices_of(number).select_related("location"))
        client.set(f"list:{number}", encode([row_of(one) for one in found]))
        client.set(f"pairs:{number}", encode([(row_of(one), row_of(one.location)) for one in found]))
        client.set(f"values:{number}", encode([[getattr(one, name) for name in COLUMNS] for one in found]))
        client.set(f"count:{number}", encode(90))
        client.set(f"aggregate:{number}", encode([34.0, 4]))


def miss(number: int, given: Any) -> Device:
    key = f"miss:{number}"
    held = client.get(key)
    if held is not None:
        return make_device(device_row(held))
    found = Device.objects.get(pk=5000 + number)
    client.set(key, encode(row_of(found)), ex=3600)
    return found


def followed_by_delete(operation: Operation) -> Operation:
    """Return a write with the least that tells a cache of it: one DEL."""

    def run(number: int, given: Any) -> Any:
        done = operation.run(number, given)
        client.delete("written")
        return done

    return Operation(run, operation.prepare)


def at(name: str, number: int) -> Any:
    return client.get(f"{name}:{location_of(number) - 1}")


WRITES = ("save", "save in atomic", "save status", "bulk_create", "update one", "update")


def floor_operations() -> dict[str, Operation]:
    """Return the operations as the floor does them."""
    hits: dict[str, Callable[[int, Any], Any]] = {
        "get": lambda n, _: make_device(device_row(client.get(f"get:{n % KEYS}"))),
        "foreign key": lambda n, _: make_location(location_row(client.get(f"fk:{n % KEYS}"))),
        "list": lambda n, _: [make_device(row) for row in device_rows(at("list", n))],
        "select_related": lambda n, _: [make_pair(row) for row in pair_rows(at("pairs", n))],
        "count": lambda n, _: plain_row(at("count", n)),
        "aggregate": lambda n, _: dict(
            zip(("current_value__max", "kind__count"), plain_row(at("aggregate", n)), strict=True)
        ),
        "values": lambda n, _: [dict(zip(COLUMNS, row, strict=True)) for row in plain_row(at("values", n))],
    }
    writes = {name: followed_by_delete(OPERATIONS[name]) for name in WRITES}
    return {
        **{name: Operation(run, hit=True) for name, run in hits.items()},
        "miss": Operation(miss, cold=True),
        **writes,
    }
