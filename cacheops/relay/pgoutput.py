"""The messages of PostgreSQL's plugin `pgoutput`, version 1 of its protocol, as values.

https://www.postgresql.org/docs/current/protocol-logicalrep-message-formats.html
"""

import struct
from collections.abc import Mapping
from enum import Enum
from typing import Any, NamedTuple, TypeAlias


class Missing(Enum):
    """What stands for a value that the log does not hold."""

    UNCHANGED = "unchanged"  # one that is stored outside of its row, and that the statement left as it was


class Column(NamedTuple):
    name: str
    type: int  # its OID
    is_key: bool  # part of what the log tells of a row as it was


class Relation(NamedTuple):
    """A table as it is at this place of the log. Sent before the first change, and again after it was altered."""

    oid: int
    schema: str
    name: str
    columns: tuple[Column, ...]


Values: TypeAlias = tuple[bytes | Missing | None, ...]  # of a row, in the order of the relation's columns, as text


class Begin(NamedTuple):
    xid: int  # 32 bits: PostgreSQL counts on


class Commit(NamedTuple):
    end_lsn: int


class Change(NamedTuple):
    """A row that was inserted, updated or deleted."""

    relation: int  # its OID
    is_update: bool
    old: Values | None  # None: it was inserted; or updated, and its key has not changed
    is_old_whole: bool  # else `old` holds the columns of the key alone
    new: Values | None  # None: it was deleted


class Truncate(NamedTuple):
    relations: tuple[int, ...]


class LogMessage(NamedTuple):
    """What pg_logical_emit_message() has put into the log, within a transaction or not."""

    in_transaction: bool
    prefix: str
    content: bytes


Message: TypeAlias = Relation | Begin | Commit | Change | Truncate | LogMessage

_BEGIN = struct.Struct(">xQQI")  # after the letter: the commit's LSN, its time, the transaction's number
_COMMIT = struct.Struct(">xBQQQ")  # flags, the commit's LSN, the LSN behind it, its time
_OID = struct.Struct(">I")
_COUNT = struct.Struct(">H")
_MESSAGE = struct.Struct(">xBQ")


def decode(data: bytes) -> Message | None:
    """Return the message in some bytes, None for one that says nothing of rows (types, origins)."""
    read = _READERS.get(data[:1])
    if read is None:
        raise ValueError(f"pgoutput sent {data[:1]!r}, which version 1 of its protocol does not have")
    return read(data)


def relation_of(data: bytes) -> int:
    """Return the OID of the relation that an Insert, Update or Delete changes."""
    oid: int = _OID.unpack_from(data, 1)[0]
    return oid


def _begin(data: bytes) -> Begin:
    return Begin(_BEGIN.unpack_from(data)[2])


def _commit(data: bytes) -> Commit:
    return Commit(_COMMIT.unpack_from(data)[2])


def _relation(data: bytes) -> Relation:
    schema, at = _text(data, 5)
    name, at = _text(data, at)
    (count,) = _COUNT.unpack_from(data, at + 1)  # behind the replica identity, which each change tells by itself
    at += 3
    columns = []
    for _ in range(count):
        is_key = bool(data[at] & 1)
        column, at = _text(data, at + 1)
        columns.append(Column(column, _OID.unpack_from(data, at)[0], is_key))
        at += 8  # its type and the type's modifier
    return Relation(relation_of(data), schema or "pg_catalog", name, tuple(columns))


def _insert(data: bytes) -> Change:
    return Change(relation_of(data), False, None, False, _values(data, 6)[0])


def _update(data: bytes) -> Change:
    kind, old, at = data[5:6], None, 5
    if kind in b"KO":
        old, at = _values(data, 6)
    return Change(relation_of(data), True, old, kind == b"O", _values(data, at + 1)[0])


def _delete(data: bytes) -> Change:
    return Change(relation_of(data), False, _values(data, 6)[0], data[5:6] == b"O", None)


def _truncate(data: bytes) -> Truncate:
    (count,) = _OID.unpack_from(data, 1)
    return Truncate(struct.unpack_from(f">{count}I", data, 6))


def _message(data: bytes) -> LogMessage:
    flags, _ = _MESSAGE.unpack_from(data)
    prefix, at = _text(data, _MESSAGE.size)
    return LogMessage(bool(flags & 1), prefix, data[at + 4 :])


def _nothing(data: bytes) -> None:
    return None


def _text(data: bytes, at: int) -> tuple[str, int]:
    end = data.index(0, at)
    return data[at:end].decode(), end + 1


def _values(data: bytes, at: int) -> tuple[Values, int]:
    """Return a row's values, and where they end."""
    (count,) = _COUNT.unpack_from(data, at)
    at += 2
    found: list[bytes | Missing | None] = []
    for _ in range(count):
        kind = data[at]
        if kind == 0x74:  # t: text
            start = at + 5
            at = start + int.from_bytes(data[at + 1 : start], "big")
            found.append(data[start:at])
        else:
            at += 1
            found.append(None if kind == 0x6E else Missing.UNCHANGED)  # n: null, u: unchanged
    return tuple(found), at


_READERS: Mapping[bytes, Any] = {
    b"B": _begin,
    b"C": _commit,
    b"R": _relation,
    b"I": _insert,
    b"U": _update,
    b"D": _delete,
    b"T": _truncate,
    b"M": _message,
    b"Y": _nothing,
    b"O": _nothing,
}
