"""Gauges of our own parts: the durable queue and the write-behind buffers."""

from typing import Any

from django.apps import apps
from django.db.models import Min
from django.utils import timezone

from cacheops.instrumentation.gauges import register_source
from cacheops.invalidation import primary_databases
from cacheops.patterns.write_behind import cache
from cacheops.reading.options import bypassed


def queue_gauges() -> dict[str, float]:
    """Return how many invalidations wait for a region that did not answer, and since when."""
    model: Any = apps.get_model("cacheops", "QueuedInvalidation")
    waiting, oldest = 0, None
    with bypassed():
        for database in primary_databases():
            rows = model.objects.using(database)
            waiting += rows.count()
            first = rows.aggregate(first=Min("created_at"))["first"]
            oldest = min(filter(None, (oldest, first)), default=None)
    age = (timezone.now() - oldest).total_seconds() if oldest else 0.0
    return {"depth": float(waiting), "oldest_seconds": max(0.0, age)}


def write_behind_gauges() -> dict[str, float]:
    """Return what waits for the database in all write-behind buffers of this region. Raise StoreUnavailable."""
    states = cache.state()
    return {
        "depth": float(sum(state.depth for state in states)),
        "oldest_seconds": max((state.oldest_seconds for state in states), default=0.0),
        "taken": float(sum(state.taken for state in states)),
        "workers": float(min((state.workers for state in states), default=0)),
        "dead_letters": float(sum(state.dead for state in states)),
    }


def register() -> None:
    register_source("invalidation_queue", queue_gauges)
    register_source("write_behind", write_behind_gauges)
