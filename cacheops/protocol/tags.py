"""Tags, versions and schemes: the protocol's words as values (docs/design/invalidation.md).

A scheme names the columns of a row condition: `location_id,status`. A part may carry a width, `taken_at/3600`: the
condition is then on the value's bucket of that width (seconds, or units of a number). The scheme of no columns, "",
stands for every row of the table. A tag is a scheme with values: `location_id=3&status=active`.
"""

import datetime as dt
import hashlib
import math
import os
import re
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cacheops.engine import memo

VERSION_BYTES = 8  # two changes of one tag get one version once in 2**64
MAX_NAME = 64  # a longer condition is named by its digest
MINUTE = 60  # seconds: the width of the smallest bucket of a moment
WHOLE_TABLE = ""  # the scheme without columns, and its only tag

_PLAIN = re.compile(r"[A-Za-z0-9._-]*")


def new_version() -> bytes:
    """Return a version never used before."""
    return os.urandom(VERSION_BYTES)


def versions_in(joined: bytes) -> list[bytes]:
    """Return the versions of a lease, one by one."""
    return [joined[start : start + VERSION_BYTES] for start in range(0, len(joined), VERSION_BYTES)]


class NoToken(ValueError):
    """A value that has no exact token: its condition is left out, and the tag is wider."""


@dataclass(frozen=True, slots=True)
class Part:
    """One column of a scheme. `width` is None for equality, else the size of a bucket."""

    column: str
    width: int | None

    def token(self, value: Any) -> str:
        """Return the value's text, the same for all values that the database holds equal. Raise NoToken."""
        if value is None:
            return "~"
        return token(value) if self.width is None else str(bucket(value, self.width))


@memo(4096)
def parts_of(scheme: str) -> tuple[Part, ...]:
    """Return the parts of a scheme, in its order (that of the columns' names)."""
    parts = []
    for text in scheme.split(",") if scheme else ():
        column, _, width = text.partition("/")
        parts.append(Part(column, int(width) if width else None))
    return tuple(parts)


@memo()
def columns_of(schemes: frozenset[str]) -> frozenset[str]:
    """Return the columns that stand in any of some schemes."""
    return frozenset(part.column for scheme in schemes for part in parts_of(scheme))


@memo()
def columns_within(width: int, schemes: frozenset[str]) -> frozenset[str]:
    """Return the columns of which some schemes name only buckets that are made of whole ones of this width."""
    parts = [part for scheme in schemes for part in parts_of(scheme)]
    finer = {part.column for part in parts if part.width is None or part.width % width}
    return columns_of(schemes) - finer


def scheme_of(parts: Mapping[str, int | None]) -> str:
    """Return the scheme of columns with their widths."""
    return ",".join(column if width is None else f"{column}/{width}" for column, width in sorted(parts.items()))


def tag_name(scheme: str, values: Mapping[str, Any]) -> str:
    """Return the name of the tag of a scheme that a row with these column values lies in.

    Raise NoToken when a value has no exact token, KeyError when a column's value is not given.
    """
    parts = parts_of(scheme)
    return named(scheme, [part.token(values[part.column]) for part in parts])


def tag_names(scheme: str, rows: Sequence[Mapping[str, Any]], most: int) -> set[str] | None:
    """Return the names of the tags that rows lie in, as `tag_name` does; None where they are more than `most`."""
    parts = parts_of(scheme)
    if len(parts) == 1:
        return _names_by_one(scheme, parts[0], {row[parts[0].column] for row in rows}, most)
    columns = [part.column for part in parts]
    values = {tuple([row[column] for column in columns]) for row in rows}  # many rows share a few
    if len(values) > most:
        return None
    texts = scheme.split(",") if scheme else []
    return {named_by(scheme, texts, [part.token(one) for part, one in zip(parts, row, strict=True)]) for row in values}


def _names_by_one(scheme: str, part: Part, values: set[Any], most: int) -> set[str] | None:
    """Return the names for a scheme of one column, which a write of many rows has for each row's own key."""
    if len(values) > most:
        return None
    start = scheme + "="
    names = [
        start + (str(value) if type(value) is int and part.width is None else part.token(value)) for value in values
    ]
    return {name if len(name) <= MAX_NAME else named(scheme, [name[len(start) :]]) for name in names}


def named(scheme: str, tokens: list[str]) -> str:
    """Return the name of a tag from its values' tokens."""
    return named_by(scheme, scheme.split(",") if scheme else [], tokens)


def named_by(scheme: str, texts: Sequence[str], tokens: Sequence[str]) -> str:
    """Return the name of a tag of a scheme that was split already."""
    name = "&".join([f"{text}={value}" for text, value in zip(texts, tokens, strict=True)])
    if len(name) > MAX_NAME:
        return f"{scheme}#{hashlib.blake2b(name.encode(), digest_size=12).hexdigest()}"
    return name


def token(value: Any) -> str:
    """Return a value's exact text. Raise NoToken for types whose equality in a database is not Python's."""
    kind = type(value)
    if kind is int:
        return str(value)
    if kind is bool:
        return str(int(value))
    if kind is str or isinstance(value, str):  # an enumeration's member is its value
        text = str.__str__(value)
        if _PLAIN.fullmatch(text) and not text.startswith("~") and len(text) <= MAX_NAME:
            return f"'{text}" if text[:1].isdigit() or not text else text
        return "#" + hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=12).hexdigest()
    if kind is uuid.UUID:
        return value.hex
    if kind is dt.datetime:
        return (value.astimezone(dt.UTC) if value.tzinfo else value).isoformat()
    if kind is dt.date:
        return value.isoformat()
    if isinstance(value, int):
        return str(int(value))
    raise NoToken(f"{kind.__name__} values have no exact token")


_EPOCH = dt.datetime(1970, 1, 1)


def bucket(value: Any, width: int) -> int:
    """Return the number of the bucket that a moment, a date or a number lies in. Raise NoToken for other types."""
    kind = type(value)
    if kind is int:
        return value // width
    if kind is dt.datetime:
        plain = value.astimezone(dt.UTC).replace(tzinfo=None) if value.tzinfo else value
        return math.floor((plain - _EPOCH) // dt.timedelta(seconds=width))
    if kind is dt.date:
        return (value.toordinal() - _EPOCH.toordinal()) * 86400 // width
    raise NoToken(f"{kind.__name__} values have no buckets")
