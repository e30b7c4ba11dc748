"""Whether rows may be loaded from a replica, after leases were taken: only where it is proved to hold every commit
that was cleared before (R17, docs/decisions/0009-warming.md).
"""

import logging
import time
from collections.abc import Mapping
from typing import Any

from django.db import DatabaseError, connections, models, router

from cacheops.orm.connection import cacheops_of
from cacheops.regions.read_scope import ReadScope, in_scope

logger = logging.getLogger("cacheops")

CATCH_UP_SECONDS = 0.5  # a healthy replica is behind by milliseconds
PAUSE_SECONDS = 0.005
MOST_FAILURES = 3  # in a row; then the primary is read to the end of the run

POSITION = """
SELECT pg_current_wal_insert_lsn()::text, left(pg_walfile_name(pg_current_wal_insert_lsn()), 8),
       (SELECT system_identifier FROM pg_control_system())
"""
# On a server that is no streaming replica the functions return null: then nothing is proved.
HAS_REPLAYED = """
SELECT pg_is_in_recovery() AND pg_last_wal_replay_lsn() >= %s::pg_lsn
   AND (SELECT lpad(upper(to_hex(min_recovery_end_timeline)), 8, '0') FROM pg_control_recovery()) = %s
   AND (SELECT system_identifier FROM pg_control_system()) = %s
"""


def cached_alias(model: type[models.Model]) -> str:
    """Return the alias under which reads of a model are cached: the one that is read, or else the one written."""
    read = _read_alias(model)
    return read if is_cached(read) else str(router.db_for_write(model))


def replica_of(model: type[models.Model]) -> str | None:
    """Return the alias that a model's ordinary reads go to, where reads of it are not cached: it lags."""
    read = _read_alias(model)
    return None if is_cached(read) else read


def is_cached(alias: str) -> bool:
    """Say whether reads of a database pass the cache."""
    return cacheops_of(alias).is_cached


def _read_alias(model: type[models.Model]) -> str:
    """Return the alias that a request's first read of a model goes to: this task's own reads go to the primary."""
    with in_scope(ReadScope()):
        return str(router.db_for_read(model))


class Source:
    """The database that is loaded from: the replica where it is proved right, else the primary itself."""

    def __init__(self, database: str, replica: str | None) -> None:
        self.database = database
        self.replica = replica
        self.used = database
        self._failures = 0

    def sources(self) -> Mapping[str, str]:
        """Return which alias stands for which. Called after the leases, before the load."""
        if self.replica is None or self._failures >= MOST_FAILURES:
            return {}
        if self._has_replayed(self.replica):
            self._failures, self.used = 0, self.replica
            return {self.database: self.replica}
        self._failures, self.used = self._failures + 1, self.database
        if self._failures == MOST_FAILURES:
            logger.warning("The replica %r lags or can't prove that it does not: reading the primary.", self.replica)
        return {}

    def _has_replayed(self, replica: str) -> bool:
        primary: Any = connections[self.database]
        follower: Any = connections[replica]
        if primary.vendor != "postgresql" or follower.vendor != "postgresql":
            return False
        try:
            with primary.cursor() as cursor:
                cursor.execute(POSITION)
                position = cursor.fetchone()
            deadline = time.monotonic() + CATCH_UP_SECONDS
            while True:
                with follower.cursor() as cursor:
                    cursor.execute(HAS_REPLAYED, position)
                    if cursor.fetchone()[0]:
                        return True
                if time.monotonic() > deadline:
                    return False
                time.sleep(PAUSE_SECONDS)
        except DatabaseError as error:
            logger.warning("The replica %r is not read: %s", replica, error)
            return False
