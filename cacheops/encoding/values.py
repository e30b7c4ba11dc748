"""Values that MessagePack does not know, each with a tag of its own: numbers of its extension types.

A change here is one of the entries' format (rows.FORMAT).
"""

import datetime as dt
import ipaddress
import uuid
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
from django.utils.module_loading import import_string

from cacheops.exceptions import UnencodableValue

INT64 = range(-(2**63), 2**64)

_TUPLE, _BIG_INT, _UUID, _DECIMAL, _DATE, _TIME, _DATETIME, _TIMEDELTA, _RANGE, _ADDRESS, _DICT = range(1, 12)
_RANGES = ("Range", "Int4Range", "Int8Range", "NumericRange", "DateRange", "TimestampRange", "TimestamptzRange")
_ADDRESSES: dict[str, Any] = {
    kind.__name__: kind
    for kind in (
        ipaddress.IPv4Address,
        ipaddress.IPv6Address,
        ipaddress.IPv4Interface,
        ipaddress.IPv6Interface,
        ipaddress.IPv4Network,
        ipaddress.IPv6Network,
    )
}


def pack(value: Any) -> Any:
    """Return a value as MessagePack can hold it; what is not its own is tagged (msgspec.msgpack.Ext)."""
    kind = type(value)
    if value is None or kind in (bool, float, str, bytes) or (kind is int and value in INT64):
        return value
    if kind is list:
        return [pack(item) for item in value]
    if kind is memoryview:
        return bytes(value)
    if kind in _PACKERS:
        code, plain = _PACKERS[kind]
        return msgspec.msgpack.Ext(code, _encode(plain(value)))
    if kind.__name__ in _ADDRESSES and kind is _ADDRESSES[kind.__name__]:
        return msgspec.msgpack.Ext(_ADDRESS, _encode([kind.__name__, str(value)]))
    if kind.__module__ == "psycopg.types.range" and kind.__name__ in _RANGES:
        bounds = getattr(value, "_bounds", None) or value.bounds
        plain_range = [kind.__name__, pack(value.lower), pack(value.upper), bounds, value.isempty]
        return msgspec.msgpack.Ext(_RANGE, _encode(plain_range))
    if isinstance(value, UnencodableValue):  # the reason, in the place of a value (packed_or_none)
        raise value
    raise UnencodableValue(
        f"A row holds a {kind.__module__}.{kind.__qualname__}, which the cache can't store without loss. "
        "Leave the column out of the query, or do not cache the model."
    )


def _pack_datetime(value: dt.datetime) -> list[Any]:
    zone = value.tzinfo
    if zone is None or zone is dt.UTC:
        name: Any = None if zone is None else "utc"
    elif isinstance(zone, ZoneInfo) and zone.key:
        name = ["key", zone.key]
    elif isinstance(zone, dt.timezone):
        offset = zone.utcoffset(None)
        name = ["offset", offset.days * 86400 + offset.seconds, offset.microseconds]
    else:
        raise UnencodableValue(f"A datetime is in the time zone {zone!r}, which the cache can't store.")
    return [value.replace(tzinfo=None).isoformat(), value.fold, name]


def _unpack_datetime(plain: list[Any]) -> dt.datetime:
    text, fold, name = plain
    zone: dt.tzinfo | None = None
    if name == "utc":
        zone = dt.UTC
    elif name is not None and name[0] == "key":
        zone = ZoneInfo(name[1])
    elif name is not None:
        zone = dt.timezone(dt.timedelta(seconds=name[1], microseconds=name[2]))
    return dt.datetime.fromisoformat(text).replace(tzinfo=zone, fold=fold)


def _pack_time(value: dt.time) -> list[Any]:
    if value.tzinfo is not None and value.tzinfo is not dt.UTC:
        raise UnencodableValue(f"A time is in the time zone {value.tzinfo!r}, which the cache can't store.")
    return [value.replace(tzinfo=None).isoformat(), value.fold, value.tzinfo is not None]


def _unpack_time(plain: list[Any]) -> dt.time:
    text, fold, in_utc = plain
    return dt.time.fromisoformat(text).replace(tzinfo=dt.UTC if in_utc else None, fold=fold)


def _pack_dict(value: dict[Any, Any]) -> list[Any]:
    return [[pack(key), pack(item)] for key, item in value.items()]


_PACKERS: dict[type, tuple[int, Any]] = {
    tuple: (_TUPLE, lambda value: [pack(item) for item in value]),
    int: (_BIG_INT, str),
    uuid.UUID: (_UUID, lambda value: value.bytes),
    Decimal: (_DECIMAL, str),
    dt.date: (_DATE, lambda value: value.isoformat()),
    dt.time: (_TIME, _pack_time),
    dt.datetime: (_DATETIME, _pack_datetime),
    dt.timedelta: (_TIMEDELTA, lambda value: [value.days, value.seconds, value.microseconds]),
    dict: (_DICT, _pack_dict),
}
_UNPACKERS: dict[int, Any] = {
    _TUPLE: tuple,
    _BIG_INT: int,
    _UUID: lambda plain: uuid.UUID(bytes=plain),
    _DECIMAL: Decimal,
    _DATE: dt.date.fromisoformat,
    _TIME: _unpack_time,
    _DATETIME: _unpack_datetime,
    _TIMEDELTA: lambda plain: dt.timedelta(*plain),
    _RANGE: lambda plain: _unpack_range(*plain),
    _ADDRESS: lambda plain: _ADDRESSES[plain[0]](plain[1]),
    _DICT: dict,
}


def unpack(code: int, data: memoryview) -> Any:
    return _UNPACKERS[code](_decoder.decode(data))


def _unpack_range(name: str, lower: Any, upper: Any, bounds: str, empty: bool) -> Any:
    # Only where a range was stored, so psycopg is there.
    kind = import_string(f"psycopg.types.range.{name if name in _RANGES else 'Range'}")
    return kind(empty=True) if empty else kind(lower, upper, bounds)


_encode = msgspec.msgpack.Encoder().encode
_decoder = msgspec.msgpack.Decoder(ext_hook=unpack)
