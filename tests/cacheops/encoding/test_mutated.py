"""Bytes of entries that something has changed, or put under another key: never another row, and no error but a miss."""

import datetime as dt
import ipaddress
import uuid
from decimal import Decimal
from typing import Any, NamedTuple

from cacheops.encoding.rows import encode
from cacheops.exceptions import CorruptEntry
from cacheops.protocol.tags import VERSION_BYTES
from cacheops.reading.lookup import entry_under
from tests.mutations import MUTATIONS, changed, new_random

TIMES = MUTATIONS or 2000
MOMENT = dt.datetime(2026, 3, 1, 12, tzinfo=dt.UTC)
ROWS: list[list[tuple[Any, ...]]] = [
    [],
    [(1,)],
    [(1, "harbor", True, None, 2.5), (2, "summit", False, b"x", -1.0)],
    [(uuid.UUID(int=1), Decimal("1.50"), MOMENT, dt.timedelta(hours=1), dt.date(2026, 3, 1))],
    [(ipaddress.ip_address("10.0.0.1"), [1, 2], {"a": 1})],
    [(number, f"reading {number}", MOMENT) for number in range(40)],
]


class Stored(NamedTuple):
    key: str
    versions: bytes
    payload: bytes
    rows: list[tuple[Any, ...]]


def test_changed_bytes_are_the_same_rows_or_a_miss() -> None:
    draw, seed = new_random()

    def stored(number: int, versions: bytes, times: int = 1) -> Stored:
        key, rows = f"co:{{default.t}}:q:{number}", times * ROWS[number % len(ROWS)]
        return Stored(key, versions, encode(rows, versions, 1.0, 2.0, 0.1, key), rows)

    leased = [draw.randbytes(VERSION_BYTES * count) for count in (1, 1, 2, 2, 3, 3)]
    entries = [stored(number, leased[number // 2]) for number in range(2 * len(ROWS))]  # two of the same tags
    older = [stored(number, draw.randbytes(VERSION_BYTES), 2) for number in range(len(ROWS))]  # by a write
    misses = 0
    for number in range(TIMES):
        one = draw.choice(entries)
        data, versions = one.payload, one.versions
        kind = draw.randrange(10)
        if kind == 0:
            versions = changed(draw, versions)
        elif kind == 1:
            data = draw.choice(entries + older).payload
        else:
            data = changed(draw, data)
        found = served(one.key, data, versions)
        misses += found is None
        if versions != one.versions:
            assert found is None, (seed, number)
        else:
            assert found == one.rows or (found is None and data != one.payload), (seed, number)
    assert TIMES > misses > TIMES / 2


def served(key: str, data: bytes, versions: bytes) -> list[tuple[Any, ...]] | None:
    """Return the rows that a look-up would serve, None for a miss."""
    entry = entry_under(key, data, versions)
    try:
        return None if entry is None else list(entry.rows())
    except CorruptEntry:
        return None
