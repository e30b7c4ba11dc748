"""The database engine `cacheops.db.backends.postgresql`: Django's, whose reads and writes pass the cache."""

from typing import Any

from django.db.backends.postgresql import base, operations
from django.db.backends.postgresql.psycopg_any import IsolationLevel
from django.db.backends.utils import CursorWrapper

from cacheops.db.backends.common import CachingWrapper, CopyWatching


class DatabaseOperations(operations.DatabaseOperations):
    compiler_module = "cacheops.db.backends.postgresql.compiler"


class WatchedCursor(CopyWatching, CursorWrapper):
    pass


class WatchedDebugCursor(CopyWatching, base.CursorDebugWrapper):
    pass


class DatabaseWrapper(CachingWrapper, base.DatabaseWrapper):
    ops_class = DatabaseOperations

    def cacheops_snapshots(self) -> bool:
        return self.isolation_level in (IsolationLevel.REPEATABLE_READ, IsolationLevel.SERIALIZABLE)

    def make_cursor(self, cursor: Any) -> WatchedCursor:
        return WatchedCursor(cursor, self)

    def make_debug_cursor(self, cursor: Any) -> WatchedDebugCursor:
        return WatchedDebugCursor(cursor, self)
