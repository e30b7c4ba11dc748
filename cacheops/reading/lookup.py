"""The look-up: an entry and all that it depends on, read at once, and validated (rule R1)."""

import random
import time
from collections.abc import Sequence
from typing import Protocol

from cacheops.conf import conf
from cacheops.encoding import rows as codec
from cacheops.encoding.rows import Entry, Row
from cacheops.exceptions import CorruptEntry
from cacheops.instrumentation import request_stats
from cacheops.instrumentation.counters import LOOK_UP, counters
from cacheops.reading.notes import current_notes, may_be_early_from
from cacheops.reading.request import Request
from cacheops.regions import Region
from cacheops.ttl import refresh_early

FRESH_SHARE = 0.5  # of its time to live that an entry must still have before it, to count as warm


class Positions(Protocol):
    """How the keys of an entry of a follower are read."""

    def look_up(self, region: Region, request: Request, keys: Sequence[str]) -> list[bytes | None]:
        """Return the values of a request's keys. Raise StoreError where the region does not vouch for them."""


def look_up(
    region: Region, request: Request, follower: Positions | None = None, waiting: bool = False
) -> Sequence[Row] | None:
    """Return the rows of a valid entry, None for a miss. A waiting reader looks often: that is not counted."""
    started = time.perf_counter()
    keys = request.key_list()
    near = region.store.near if request.profile.near and follower is None else None
    watch = None if near is None else near.watch([table.key_list() for table in request.tables])  # before (R31)
    values = region.read(keys, request.databases) if follower is None else follower.look_up(region, request, keys)
    entry = valid_entry(request, keys[0], values)
    if entry is None:
        if not waiting:
            why = "absent" if values[0] is None else "outdated"
            counters.read_timed(request.label, LOOK_UP, time.perf_counter() - started, **{why: 1})
        return None
    if due_early(entry):
        counters.read_timed(request.label, LOOK_UP, time.perf_counter() - started, early=1)
        return None
    try:
        found = entry.rows()
    except CorruptEntry:
        counters.read(request.label, corrupt=1)
        return None
    if near is not None and watch is not None:
        near.keep(watch, keys[0], entry, len(values[0] or b""))
    request_stats.count(hits=1)
    counters.hit(request.label, time.perf_counter() - started, request.digest, entry.made_at)
    if follower is None and (notes := current_notes()) is not None:
        notes.entry(request, keys, values, entry)
    return found


def valid_entry(request: Request, key: str, values: Sequence[bytes | None]) -> Entry | None:
    """Return the entry among the values of `key_list`, if every tag still has the version that its reader leased.

    `key` is the entry's.
    """
    payload = values[0]
    if payload is None:
        return None
    try:
        entry = codec.decode(payload, key, request.columns)
    except CorruptEntry:
        counters.read(request.label, corrupt=1)
        return None
    try:
        current = b"".join(values[1:])  # type: ignore[arg-type]
    except TypeError:  # a tag is absent
        return None
    return entry if entry.versions == current else None


def entry_under(key: str, payload: bytes | None, versions: bytes, columns: int | None = None) -> Entry | None:
    """Return the entry that a key's bytes hold, if it was stored under these versions, with so many columns."""
    if payload is None:
        return None
    try:
        entry = codec.decode(payload, key, columns)
    except CorruptEntry:
        return None
    return entry if entry.versions == versions else None


def due_early(entry: Entry) -> bool:
    """Return whether this reader should load again although the entry is valid."""
    now = time.time()
    if now < may_be_early_from(entry):  # no random number is that small
        return False
    return refresh_early(now, entry.expires_at, entry.load_seconds, conf.early_refresh, 1.0 - random.random())


def is_warm(entry: Entry, timeout: float, now: float) -> bool:
    """Return whether a valid entry is in the first half of its life: warming leaves it as it is."""
    return entry.expires_at - now > timeout * FRESH_SHARE
