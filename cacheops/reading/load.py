"""Load a result under its lease and fill it; or load it past the cache."""

import time
from collections.abc import Sequence

from cacheops.conf import conf
from cacheops.encoding.rows import Row
from cacheops.exceptions import CommandRefused, ServerRefused, StoreError
from cacheops.instrumentation import request_stats
from cacheops.instrumentation.counters import LOAD, counters
from cacheops.instrumentation.minute_log import minute_log
from cacheops.reading.lease import Lease
from cacheops.reading.reader import Load
from cacheops.reading.recipes import is_sampled, with_recipe
from cacheops.stores.circuit_breaker import CircuitOpen


def load_and_fill(lease: Lease, load: Load) -> Sequence[Row]:
    """Return what the database holds, and store it under a lease."""
    started = time.perf_counter()
    try:
        is_kept = is_sampled(lease.request.digest)
        loaded = with_recipe(lease.region, lease.request, load) if is_kept else load()
    except BaseException:
        lease.release()
        raise
    seconds = time.perf_counter() - started
    counters.read_timed(lease.request.label, LOAD, seconds)
    lease.fill(loaded, seconds)
    return loaded


def count_bypass(label: str, error: StoreError | None = None, *, reads: int = 1) -> None:
    """Count reads that go past the cache; `error` is what their region answered, if that is why."""
    request_stats.count(bypasses=reads)
    counters.read(label, bypasses=reads)
    if error is not None and not isinstance(error, CircuitOpen):  # which asked no region
        counters.read(label, errors=1)
        if isinstance(error, CommandRefused) and not isinstance(error, ServerRefused):
            minute_log.error(("read", label), "Region %s refused a read of %s: %s", conf.local_region, label, error)
