"""The durable queue: invalidations that a region could not be told of, in the database that was written.

A row is written in the transaction of the write itself, so it is there if, and only if, the write is. Whoever reaches
the region replays it before the region's cache is used again, and looks for rows about once a second.
"""

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from django.apps import apps
from django.db import connections

from cacheops.conf import conf
from cacheops.instrumentation.counters import counters
from cacheops.protocol.keys import TableKeys
from cacheops.regions.direct_sql import ask, has_table
from cacheops.stores.base import MarkedTable

if TYPE_CHECKING:
    from cacheops.regions.region import Region

logger = logging.getLogger("cacheops")

TABLE = "cacheops_queuedinvalidation"
BATCH = 1000  # rows replayed at a time


def add(database: str, region: str, tables: Sequence[str]) -> bool:
    """Queue the invalidation of whole tables, in the open transaction of `database`; say whether it has a queue.

    The first `migrate` writes before there is one, and must not fail for a region that is away. What the region then
    misses is made up for by the migration that makes the queue: it has every region forget all of the database.
    """
    if not has_table(database, TABLE):
        logger.warning(
            "Region %s was not told of a write to %s, and the database %s has no queue yet: run `manage.py migrate`.",
            region,
            ", ".join(tables),
            database,
        )
        return False
    model: Any = apps.get_model("cacheops", "QueuedInvalidation")
    model.objects.using(database).bulk_create([model(region=region, table=table) for table in tables])
    return True


def replay_queue(region: "Region", databases: Sequence[str]) -> None:
    """Invalidate in a region what it has missed of some databases. Raise StoreUnavailable where it does not answer."""
    if region.is_connected_anew():  # perhaps to a server that has lost what was applied
        region.replayed.clear()
    for database in databases:
        if connections[database].needs_rollback:
            return  # the query that follows fails anyway; the next one looks again
        last = 0
        while found := waiting(database, region.name, last):
            _replay(region, database, found)
            last = found[-1][0]
        region.queue_was_checked(database)
    region.has_connected()


def waiting(database: str, region: str, last: int) -> list[tuple[int, str]]:
    """Return the queue's next rows for a region, after the key `last`: key and table.

    It asks the driver itself: the look is ours, not a query of the caller's, who may count or forbid them.
    """
    sql = f'SELECT id, "table" FROM {TABLE} WHERE region = %s AND id > %s ORDER BY id LIMIT {BATCH}'
    return [(row[0], row[1]) for row in ask(database, TABLE, sql, (region, last))]


def _replay(region: "Region", database: str, found: Sequence[tuple[int, str]]) -> None:
    fresh = [row for row in found if row[0] not in region.replayed]
    if fresh:
        tables = sorted({table for _, table in fresh})
        prefix = conf.prefix
        region.store.invalidate(
            [MarkedTable(TableKeys.of(prefix, database, table), frozenset(), whole=True) for table in tables]
        )
        counters.told(region.name, replayed=len(tables))
        region.replayed.update(key for key, _ in fresh)
    # Not within a transaction: others would wait for the rows that it locks.
    if not connections[database].in_atomic_block and region.store.replicated():
        model: Any = apps.get_model("cacheops", "QueuedInvalidation")
        model.objects.using(database).filter(pk__in=[key for key, _ in found]).delete()
        region.replayed.difference_update(key for key, _ in found)
