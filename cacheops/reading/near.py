"""The level near: entries that this process holds itself (rules R31 to R34, `cacheops/stores/near.py`).

They are as old as what the region's servers have told this process, which the profile bounds. Whoever must see more
asks the region: a request that follows another process' write (`regions/read_scope.py`), and once a second everybody,
for what the region has missed.
"""

import time
from collections.abc import Sequence

from cacheops.encoding.rows import Row
from cacheops.exceptions import CorruptEntry
from cacheops.instrumentation import request_stats
from cacheops.instrumentation.counters import counters
from cacheops.reading.lookup import due_early
from cacheops.reading.notes import current_notes
from cacheops.reading.request import Request
from cacheops.regions import regions
from cacheops.regions.read_scope import current_scope
from cacheops.regions.switches import switches


def near_rows(request: Request) -> Sequence[Row] | None:
    """Return the rows of an entry that this process holds, None where the region is to be asked."""
    started = time.perf_counter()
    region = regions.local
    near = region.store.near
    entry = None if near is None else near.find(request.entry, request.profile.near)
    if entry is None or due_early(entry):
        return None
    scope = current_scope()
    if scope is not None and scope.positions:
        return None
    if switches.is_paused(request.databases, request.tables) or region.outbox.due(request.databases):
        return None
    try:
        found = entry.rows()
    except CorruptEntry:
        return None
    request_stats.count(hits=1)
    counters.hit(request.label, time.perf_counter() - started, request.digest, entry.made_at)
    counters.read(request.label, near=1)
    if (notes := current_notes()) is not None:
        notes.near_entry(request, found)
    return found
