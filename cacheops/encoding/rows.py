"""Rows to bytes and back, faithfully: typed by the columns' values, with a checksum, and without pickle.

An entry is, without a gap between them:

    1      the format
    4      the CRC-32 of its key and of all that follows. So bytes that were stored under another key are no entry,
           whatever brought them there; values in Django's cache have the key ""
    8 4 4  when it was made (seconds since 1970); for how long, and what the database took, to 7 digits
    4 2    the lengths of the next two
    …      the versions of the tags that its reader leased
    …      the types, one letter a column, with a number before a letter that is repeated: `3nd` is `nnnd`
    …      the rows: a MessagePack array of arrays

A letter says how the values of its column were written:

    n  as MessagePack knows them: None, bool, int, float, str, bytes
    U D d t T i  UUID (its bytes), Decimal, date, time, datetime (naive, or in UTC), timedelta; strings or timestamps
    x  anything else that a database driver returns, each value tagged: lists, dicts, ranges, IP addresses, zones

The letters are found from the values, not from the fields, because a row is what the driver returned: Django's own
converters run on it after it is read back, as they do on the database's answer.
"""

import datetime as dt
import re
import struct
import uuid
import zlib
from collections.abc import Iterable, Sequence
from decimal import Decimal
from types import GenericAlias
from typing import Any, NamedTuple

import msgspec

from cacheops.encoding.values import INT64, pack, unpack
from cacheops.engine import memo
from cacheops.exceptions import CorruptEntry, UnencodableValue

# Raise it with every change of the layout above, or of what values.py packs: entries of another format are never read,
# as it is part of their keys.
FORMAT = 4
_SEAL = struct.Struct(">BI")  # the format, the checksum
_TIMES = struct.Struct(">dffIH")
_HEAD = struct.Struct(_SEAL.format + _TIMES.format[1:])  # both

Row = tuple[Any, ...]


class Layout(NamedTuple):
    """How rows are written: the number of their columns (0: there are no rows), and what decodes them."""

    columns: int
    decoder: "msgspec.msgpack.Decoder[list[Row]]"


class Entry(msgspec.Struct, gc=False, frozen=True):
    """A stored result: its rows, and what its reader knew when it was made.

    `versions` are the tags' versions that its reader leased, one after the other. Moments are seconds since the epoch
    by the writing process's clock; `load_seconds` is what the database took.
    """

    versions: bytes
    made_at: float
    expires_at: float
    load_seconds: float
    layout: Layout
    raw_rows: bytes | memoryview

    def rows(self) -> list[Row]:
        """Decode the rows. Raise CorruptEntry when they are not what their types promise."""
        try:
            return self.layout.decoder.decode(self.raw_rows)
        except (msgspec.DecodeError, ValueError, KeyError, TypeError) as error:
            raise CorruptEntry(f"The rows of a cache entry can't be decoded: {error}") from error


def encode(
    rows: Sequence[Row], versions: bytes, made_at: float, expires_at: float, load_seconds: float, key: str = ""
) -> bytes:
    """Return the bytes of an entry. Raise UnencodableValue for a value that would not come back equal."""
    return sealed(encode_rows(rows), versions, made_at, expires_at, load_seconds, key)


class EncodedRows(NamedTuple):
    """Rows as bytes: what entries of one result share, whatever versions their readers leased."""

    types: bytes
    raw: bytes


def encode_rows(rows: Sequence[Row]) -> EncodedRows:
    """Return the rows as bytes. Raise UnencodableValue for a value that would not come back equal."""
    types = column_types(rows)
    if "x" in types:
        extended = [index for index, letter in enumerate(types) if letter == "x"]
        rows = [_with_extended(row, extended) for row in rows]
    try:
        return EncodedRows(_shortened(types), _encoder.encode(rows))
    except (TypeError, OverflowError, UnicodeEncodeError) as error:
        raise UnencodableValue(f"A row holds a value that the cache can't store: {error}") from error


def encode_each(rows: Sequence[Row]) -> list[EncodedRows]:
    """Return each of many rows of the same columns as the result of a query of its own. Raise UnencodableValue."""
    types = column_types(rows)
    if "x" in types:  # one row's value may make it so: the others need not suffer
        return [encode_rows([row]) for row in rows]
    encode, shortened = _encoder.encode, _shortened(types)
    try:
        return [EncodedRows(shortened, encode((row,))) for row in rows]
    except (TypeError, OverflowError, UnicodeEncodeError) as error:
        raise UnencodableValue(f"A row holds a value that the cache can't store: {error}") from error


def sealed(
    encoded: EncodedRows, versions: bytes, made_at: float, expires_at: float, load_seconds: float, key: str
) -> bytes:
    """Return the bytes of an entry of encoded rows, which is to be stored under a key."""
    types, raw = encoded
    times = _TIMES.pack(made_at, expires_at - made_at, load_seconds, len(versions), len(types))
    body = b"".join((times, versions, types, raw))
    return _SEAL.pack(FORMAT, zlib.crc32(body, zlib.crc32(key.encode()))) + body


def decode(payload: bytes, key: str = "", columns: int | None = None) -> Entry:
    """Return the entry that `encode` wrote for a key. Raise CorruptEntry for anything else.

    `columns` is how many its rows must have, if there are any: others would fail where results are built. None: any.
    """
    view = memoryview(payload)
    try:
        form, checksum, made_at, life, load_seconds, tags, types = _HEAD.unpack_from(payload)
    except struct.error as error:
        raise CorruptEntry(f"A cache entry is cut off: {error}") from error
    if form != FORMAT or checksum != zlib.crc32(view[_SEAL.size :], zlib.crc32(key.encode())):
        raise CorruptEntry("A cache entry has another format, is another key's, or its checksum is wrong.")
    tags += _HEAD.size
    types += tags
    layout = _layout(payload[tags:types])
    if columns is not None and columns != layout.columns != 0:
        raise CorruptEntry(f"The rows of a cache entry have {layout.columns} columns, not {columns}.")
    return Entry(payload[_HEAD.size : tags], made_at, made_at + life, load_seconds, layout, view[types:])


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
    if letter == "n" and int in kinds and not all(value in INT64 for value in values if type(value) is int):
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
def _shortened(types: str) -> bytes:
    """Return letters with the number of their repetitions, as they are stored."""
    return re.sub(r"(.)\1+", lambda run: f"{len(run[0])}{run[1]}", types).encode()


@memo(4096)
def _layout(shortened: bytes) -> Layout:
    """Return how rows of stored types are read. Raise CorruptEntry for what is none."""
    try:
        types = re.sub(r"(\d+)(.)", lambda run: int(run[1]) * run[2], shortened.decode())
        row = GenericAlias(tuple, tuple(_DECODED_AS[letter] for letter in types)) if types else tuple
    except (KeyError, ValueError) as error:
        raise CorruptEntry(f"The types of a cache entry can't be decoded: {error}") from error
    return Layout(len(types), msgspec.msgpack.Decoder(GenericAlias(list, (row,)), ext_hook=unpack))


def _with_extended(row: Row, extended: list[int]) -> Row:
    values = list(row)
    for index in extended:
        values[index] = pack(values[index])
    return tuple(values)


# Decimals and moments are written as strings; `types` brings them back.
_encoder = msgspec.msgpack.Encoder(uuid_format="bytes")
