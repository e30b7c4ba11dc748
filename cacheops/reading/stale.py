"""Outdated entries, for readers that take them for some seconds (`stale_ok`) while one reader loads anew.

When a writer marks a tag, its version goes, and with it what tells for how long an entry has been outdated. So where a
table has such readers, marks record which version they replace, and when (lua/mark.lua). What was not recorded, or is
too long ago, is a miss: evictions, invalidation by hand and fail-overs cost these readers nothing but speed.
"""

import time
from collections.abc import Sequence

from cacheops.encoding import rows as codec
from cacheops.encoding.rows import Row
from cacheops.exceptions import CorruptEntry
from cacheops.reading.request import Request
from cacheops.regions import Region
from cacheops.stores.base import TableTags

TRACK_EVERY = 60.0  # seconds until a table is asked again to record: its registry may have been evicted


def track_outdated(region: Region, tables: Sequence[TableTags], seconds: float) -> None:
    """Have these tables' marks record what they replace, for so many seconds. Called under a lease."""
    now = time.monotonic()
    for table in tables:
        tracked, until = region.tracking.get(table.keys.base, (0.0, 0.0))
        if tracked < seconds or until < now:
            region.store.note_outdated(table.keys, max(tracked, seconds))
            region.tracking[table.keys.base] = (max(tracked, seconds), now + TRACK_EVERY)


def outdated_rows(region: Region, request: Request, seconds: float) -> Sequence[Row] | None:
    """Return the rows of a request's entry if it was valid until `seconds` ago or less, else None."""
    payload = region.store.read([request.entry])[0]
    if payload is None:
        return None
    try:
        found = codec.decode(payload, request.entry, request.columns)
        age = region.store.outdated_for(request.tables, found.versions)
        return found.rows() if age is not None and age <= seconds else None
    except CorruptEntry:
        return None
