"""The outbox: invalidations that a region could not be sent, in the database that was written.

A row is written in the transaction of the write itself, so it is there if, and only if, the write is (transactional
outbox, https://microservices.io/patterns/data/transactional-outbox.html). Whoever reaches the region applies it before
the region's entries are used again (R16), and looks for rows about once a second. A region that nobody reads is told by
whoever looks after all: `flush_writes` and `relay` in any region, and the panel.
"""

import logging
import math
import threading
import time
from collections.abc import Sequence
from typing import Any

from django.apps import apps
from django.db import DatabaseError, InterfaceError, connections

from cacheops.conf import conf
from cacheops.databases import name_of, table_keys
from cacheops.instrumentation.counters import counters
from cacheops.regions.database_away import away_databases, count_unchecked
from cacheops.regions.direct_sql import has_table, query_uncounted
from cacheops.stores.base import MarkedTable, Store

logger = logging.getLogger("cacheops")

TABLE = "cacheops_queuedinvalidation"
BATCH = 1000  # rows applied at a time
CHECK_SECONDS = 1.0  # between two looks of a process for what its region has missed


class Outbox:
    """What one region has missed, and what this process knows of it. Shared by all threads."""

    def __init__(self, region: str, store: Store) -> None:
        self._region = region
        self._store = store
        self._seen_at: dict[str, float] = {}  # by database: when it was last found empty, or drained
        self._applied: set[tuple[str, int]] = set()  # database's name and key of rows that are not deleted yet
        self._local = _Local()

    def add(self, database: str, tables: Sequence[str]) -> bool:
        """Add the invalidation of whole tables, in the open transaction of `database`; return whether it has an outbox.

        The first `migrate` writes before there is one, and must not fail for a region that is away. What the region
        then misses is made up for by the migration that makes the table: it has every region forget the database.
        """
        if not has_table(database, TABLE):
            logger.warning(
                "Region %s was not sent a write to %s, and the database %s has no queue yet: run `manage.py migrate`.",
                self._region,
                ", ".join(tables),
                database,
            )
            return False
        model: Any = apps.get_model("cacheops", "QueuedInvalidation")
        for table in tables:  # bulk_create() can't be in a transaction that raw SQL has begun
            model(region=self._region, table=table).save(using=database)
        return True

    def due(self, databases: Sequence[str]) -> bool:
        """Return whether the outbox of one of these databases must be drained before the region's entries are used.

        Once a second; and at once when this thread has reconnected.
        """
        store = self._store
        if not store.remote:
            return False
        oldest = time.monotonic() - CHECK_SECONDS
        for database in databases:
            if self._seen_at.get(database, -math.inf) < oldest and primaries((database,)):
                return True
        return self._local.epoch != store.epoch

    def waiting(self, databases: Sequence[str]) -> list[str]:
        """Return those of these databases in which something waits for the region. Raise as a query does."""
        if not self._store.remote:
            return []
        return [database for database in databases if self._rows_after(0, database, count=1)]

    def is_reconnected(self) -> bool:
        """Return whether this thread has connected since it last drained: another server may be the primary now."""
        return self._local.epoch != self._store.epoch

    def drain(self, databases: Sequence[str]) -> bool:
        """Apply in the region what it has missed of these databases. Raise StoreUnavailable where it does not answer.

        Return False where a database was not asked: in a transaction that has failed, as the query that follows fails
        as well; and while it is away, where CACHEOPS_WHEN_DATABASE_AWAY is "serve".
        """
        epoch = self._store.epoch
        if self.is_reconnected():  # perhaps to a server that has lost what was applied
            self._applied.clear()
        asked = [self._drain_one(database) for database in primaries(databases)]
        if all(asked):
            self._local.epoch = epoch
        return all(asked)

    def _drain_one(self, database: str) -> bool:
        """Apply what was missed of one database; return False where it was not asked."""
        if connections[database].needs_rollback:
            return False
        if not away_databases.may_ask(database):
            count_unchecked()
            return False
        last = 0
        try:
            while rows := self._rows_after(last, database):
                self._apply(database, rows)
                last = rows[-1][0]
        except (DatabaseError, InterfaceError) as error:
            if not away_databases.is_served_without(database, error):
                raise
            count_unchecked()
            return False
        away_databases.answered(database)
        self.mark_seen(database)
        return True

    def mark_seen(self, database: str) -> None:
        """Record that a database's outbox was drained now."""
        self._seen_at[database] = time.monotonic()

    def recheck(self) -> None:
        """Have every outbox drained before the next use of the region."""
        self._seen_at.clear()

    def _rows_after(self, last: int, database: str, count: int = 0) -> list[tuple[int, str]]:
        """Return the next rows after the key `last`, a batch or `count`: key and table."""
        sql = f'SELECT id, "table" FROM {TABLE} WHERE region = %s AND id > %s ORDER BY id LIMIT {count or BATCH}'
        return [(row[0], row[1]) for row in query_uncounted(database, TABLE, sql, (self._region, last))]

    def _apply(self, database: str, rows: Sequence[tuple[int, str]]) -> None:
        name = name_of(database)
        fresh = [row for row in rows if (name, row[0]) not in self._applied]
        if fresh:
            tables = sorted({table for _, table in fresh})
            self._store.invalidate(
                [MarkedTable(table_keys(database, table), frozenset(), whole=True) for table in tables]
            )
            counters.delivered(self._region, replayed=len(tables))
            self._applied.update((name, key) for key, _ in fresh)
        # Not within a transaction: others would wait for the rows that it locks.
        if not connections[database].in_atomic_block:
            # Where a replica lacks what was applied, the last row of each table stands for those before it.
            kept = set() if self._store.replicated() else set({table: key for key, table in rows}.values())
            done = [key for key, _ in rows if key not in kept]
            model: Any = apps.get_model("cacheops", "QueuedInvalidation")
            model.objects.using(database).filter(pk__in=done).delete()
            self._applied.difference_update((name, key) for key in done)


def primaries(databases: Sequence[str]) -> list[str]:
    """Return the databases without the replicas that are followed: of what is written, a relay tells their regions."""
    return [database for database in databases if database not in conf.all_followers]


class _Local(threading.local):
    epoch = 0  # of the store, when this thread last drained
