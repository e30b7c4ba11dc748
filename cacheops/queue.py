"""The durable queue: invalidations that a region could not be told of, in the database that was written.

A row is written in the transaction of the write itself, so it is there if, and only if, the write is. Whoever reaches
the region replays it before the region's cache is used again, and looks for rows about once a second.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from django.apps import apps
from django.db import connections

from cacheops.conf import conf, on_change
from cacheops.keys import TableKeys
from cacheops.monitoring.counters import counters
from cacheops.stores.base import MarkedTable

if TYPE_CHECKING:
    from cacheops.regions import Region

BATCH = 1000  # rows replayed at a time

_with_queue: dict[str, bool] = {}  # databases, whether they have the table
on_change(_with_queue.clear)


def add(database: str, region: str, tables: Sequence[str]) -> None:
    """Queue the invalidation of whole tables, in the open transaction of `database`."""
    model: Any = apps.get_model("cacheops", "QueuedInvalidation")
    model.objects.using(database).bulk_create([model(region=region, table=table) for table in tables])


def replay_queue(region: "Region") -> None:
    """Invalidate in a region what it has missed. Raise StoreUnavailable where it still does not answer."""
    for database in connections:
        connection: Any = connections[database]
        if not hasattr(connection, "cacheops_snapshots") or not has_queue(database):
            continue
        if connection.needs_rollback:
            return  # the query that follows fails anyway; the next one looks again
        _replay(region, database)
    region.queue_was_checked()


def _replay(region: "Region", database: str) -> None:
    model: Any = apps.get_model("cacheops", "QueuedInvalidation")
    waiting = model.objects.using(database).filter(region=region.name).order_by("pk")
    found = list(waiting.values_list("pk", "table")[:BATCH])
    fresh = [row for row in found if row[0] not in region.replayed]
    if fresh:
        tables = sorted({table for _, table in fresh})
        prefix = conf.prefix
        region.store.invalidate(
            [MarkedTable(TableKeys.of(prefix, database, table), frozenset(), whole=True) for table in tables]
        )
        counters.replayed += len(tables)
        region.replayed.update(pk for pk, _ in fresh)
    # Not within a transaction: others would wait for the rows that it locks.
    if found and not connections[database].in_atomic_block and region.store.replicated():
        waiting.filter(pk__in=[pk for pk, _ in found]).delete()
        region.replayed.clear()


def has_queue(database: str) -> bool:
    """Say whether a database has the queue's table: a new one is not migrated yet."""
    known = _with_queue.get(database)
    if not known:
        connection = connections[database]
        known = _with_queue[database] = "cacheops_queuedinvalidation" in connection.introspection.table_names()
    return known
