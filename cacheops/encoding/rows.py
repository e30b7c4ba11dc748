"""Rows to bytes and back, faithfully: typed by the columns' values, with a checksum, and without pickle.

An entry is one format byte, the CRC-32 of its key and of the rest, and a MessagePack array (`Entry`). So bytes that
were stored under another key are no entry, whatever brought them there; values in Django's cache have the key "". The
rows are an array of arrays; `types` says with one letter a column how its values were written:

    n  as MessagePack knows them: None, bool, int, float, str, bytes
    U D d t T i  UUID, Decimal, date, time, datetime (naive, or in UTC), timedelta; MessagePack strings or timestamps
    x  anything else that a database driver returns, each value tagged: lists, dicts, ranges, IP addresses, zones

The letters are found from the values, not from the fields, because a row is what the driver returned: Django's own
converters run on it after it is read back, as they do on the database's answer.
"""

import datetime as dt
import ipaddress
import struct
import uuid
import zlib
from collections.abc import Iterable, Sequence
from decimal import Decimal
from types import GenericAlias
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

import msgspec
from django.utils.module_loading import import_string

from cacheops.engine import memo
from cacheops.exceptions import CorruptEntry, UnencodableValue

# Raise it with every change of the layout above, or of what values.py packs: entries of another format are never read,
# as it is part of their keys.
FORMAT = 3
_HEAD = struct.Struct(">BI")  # the format, the checksum

Row = tuple[Any, ...]


class Entry(msgspec.Struct, array_like=True, gc=False, frozen=True):
    """A stored result: its rows, and what its reader knew when it was made.

    `versions` are the tags' versions that its reader leased, one after the other. Moments are seconds since the epoch
    by the writing process's clock; `load_seconds` is what the database took.
    """

    versions: bytes
    made_at: float
    expires_at: float
    load_seconds: float
    types: str
    raw_rows: msgspec.Raw

    def rows(self) -> list[Row]:
        """Decode the rows. Raise CorruptEntry when they are not what their types promise."""
        try:
            return _decoder(self.types).decode(self.raw_rows)
        except (msgspec.DecodeError, ValueError, KeyError, TypeError) as error:
            raise CorruptEntry(f"The rows of a cache entry can't be decoded: {error}") from error


def encode(
    rows: Sequence[Row], versions: bytes, made_at: float, expires_at: float, load_seconds: float, key: str = ""
) -> bytes:
    """Return the bytes of an entry. Raise UnencodableValue for a value that would not come back equal."""
    return sealed(encode_rows(rows), versions, made_at, expires_at, load_seconds, key)


class EncodedRows(NamedTuple):
    """Rows as bytes: what entries of one result share, whatever versions their readers leased."""

    types: str
    raw: msgspec.Raw


def encode_rows(rows: Sequence[Row]) -> EncodedRows:
    """Return the rows as bytes. Raise UnencodableValue for a value that would not come back equal."""
    return _encoded(rows, column_types(rows))


def encode_each(rows: Sequence[Row]) -> list[EncodedRows]:
    """Return each of many rows of the same columns as the result of a query of its own. Raise UnencodableValue."""
    types = column_types(rows)
    if "x" in types:  # one row's value may make it so: the others need not suffer
        return [encode_rows([row]) for row in rows]
    encode, raw = _encoder.encode, msgspec.Raw
    try:
        return [EncodedRows(types, raw(encode((row,)))) for row in rows]
    except (TypeError, OverflowError, UnicodeEncodeError) as error:
        raise UnencodableValue(f"A row holds a value that the cache can't store: {error}") from error


def _encoded(rows: Sequence[Row], types: str) -> EncodedRows:
    if "x" in types:
        extended = [index for index, letter in enumerate(types) if letter == "x"]
        rows = [_with_extended(row, extended) for row in rows]
    try:
        return EncodedRows(types, msgspec.Raw(_encoder.encode(rows)))
    except (TypeError, OverflowError, UnicodeEncodeError) as error:
        raise UnencodableValue(f"A row holds a value that the cache can't store: {error}") from error


def sealed(
    encoded: EncodedRows, versions: bytes, made_at: float, expires_at: float, load_seconds: float, key: str
) -> bytes:
    """Return the bytes of an entry of encoded rows, which is to be stored under a key."""
    body = _encoder.encode(Entry(versions, made_at, expires_at, load_seconds, *encoded))
    return _HEAD.pack(FORMAT, zlib.crc32(body, zlib.crc32(key.encode()))) + body


def decode(payload: bytes, key: str = "", columns: int | None = None) -> Entry:
    """Return the entry that `encode` wrote for a key. Raise CorruptEntry for anything else.

    `columns` is how many its rows must have, if there are any: others would fail where results are built. None: any.
    """
    body = memoryview(payload)[_HEAD.size :]
    if payload[: _HEAD.size] != _HEAD.pack(FORMAT, zlib.crc32(body, zlib.crc32(key.encode()))):
        raise CorruptEntry("A cache entry has another format, is another key's, or its checksum is wrong.")
    try:
        entry = _entry_decoder.decode(body)
    except msgspec.DecodeError as error:
        raise CorruptEntry(f"A cache entry can't be decoded: {error}") from error
    if columns is not None and entry.types and len(entry.types) != columns:
        raise CorruptEntry(f"The rows of a cache entry have {len(entry.types)} columns, not {columns}.")
    return entry


# --- column types ---------------------------------------------------------------------------------------------------

_LETTERS: dict[type, str] = {
    bool: "n",
    int: "n",
    float: "n",
    str: "n",
    bytes: "n",
    uuid.UUID: "U",
    Decimal: "D",
    dt.date: "d",
    dt.time: "t",
    dt.datetime: "T",
    dt.timedelta: "i",
}
_DECODED_AS: dict[str, Any] = {
    "n": Any,
    "x": Any,
    "U": uuid.UUID | None,
    "D": Decimal | None,
    "d": dt.date | None,
    "t": dt.time | None,
    "T": dt.datetime | None,
    "i": dt.timedelta | None,
}
_INT64 = range(-(2**63), 2**64)


def column_types(rows: Sequence[Row]) -> str:
    """Return one letter a column, as in the module's docstring; "" for no rows."""
    return "".join(_column_letter(values) for values in zip(*rows, strict=True)) if rows else ""


def _column_letter(values: Iterable[Any]) -> str:
    kinds = {type(value) for value in values}
    kinds.discard(type(None))
    letters = {_LETTERS.get(kind, "x") for kind in kinds}
    if len(letters) > 1:
        return "x"
    letter = letters.pop() if letters else "n"
    if letter == "n" and int in kinds and not all(value in _INT64 for value in values if type(value) is int):
        return "x"
    if letter in "tT" and not all(_keeps_zone(value) for value in values if value is not None):
        return "x"
    return letter


def _keeps_zone(value: dt.datetime | dt.time) -> bool:
    """A MessagePack timestamp comes back in UTC; a value in another zone must be written as an extended one."""
    if type(value) is dt.time:
        return value.tzinfo is None and not value.fold
    return (value.tzinfo is None or value.tzinfo is dt.UTC) and not value.fold


@memo(4096)
def _decoder(types: str) -> "msgspec.msgpack.Decoder[list[Row]]":
    row = GenericAlias(tuple, tuple(_DECODED_AS[letter] for letter in types)) if types else tuple
    return msgspec.msgpack.Decoder(GenericAlias(list, (row,)), ext_hook=_unpack)


# --- extended values ------------------------------------------------------------------------------------------------

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


def _with_extended(row: Row, extended: list[int]) -> Row:
    values = list(row)
    for index in extended:
        values[index] = pack(values[index])
    return tuple(values)


def pack(value: Any) -> Any:
    """Return a value as MessagePack can hold it; what is not its own is tagged (msgspec.msgpack.Ext)."""
    kind = type(value)
    if value is None or kind in (bool, float, str, bytes) or (kind is int and value in _INT64):
        return value
    if kind is list:
        return [pack(item) for item in value]
    if kind is memoryview:
        return bytes(value)
    if kind in _PACKERS:
        code, plain = _PACKERS[kind]
        return msgspec.msgpack.Ext(code, _encoder.encode(plain(value)))
    if kind.__name__ in _ADDRESSES and kind is _ADDRESSES[kind.__name__]:
        return msgspec.msgpack.Ext(_ADDRESS, _encoder.encode([kind.__name__, str(value)]))
    if kind.__module__ == "psycopg.types.range" and kind.__name__ in _RANGES:
        bounds = getattr(value, "_bounds", None) or value.bounds
        plain_range = [kind.__name__, pack(value.lower), pack(value.upper), bounds, value.isempty]
        return msgspec.msgpack.Ext(_RANGE, _encoder.encode(plain_range))
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


def _unpack(code: int, data: memoryview) -> Any:
    return _UNPACKERS[code](_ext_decoder.decode(data))


def _unpack_range(name: str, lower: Any, upper: Any, bounds: str, empty: bool) -> Any:
    # Only where a range was stored, so psycopg is there.
    kind = import_string(f"psycopg.types.range.{name if name in _RANGES else 'Range'}")
    return kind(empty=True) if empty else kind(lower, upper, bounds)


# UUIDs, decimals and moments are written as strings by default; `types` brings them back.
_encoder = msgspec.msgpack.Encoder()
_ext_decoder = msgspec.msgpack.Decoder(ext_hook=_unpack)
_entry_decoder = msgspec.msgpack.Decoder(Entry)
