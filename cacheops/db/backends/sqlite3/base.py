"""The database engine `cacheops.db.backends.sqlite3`: Django's, whose reads and writes pass the cache."""

from typing import Any

from django.db.backends.sqlite3 import base, operations
from django.db.backends.utils import CursorDebugWrapper, CursorWrapper

from cacheops.db.backends.common import CachingWrapper, ScriptWatching
from cacheops.orm.connection import CachedConnection


class DatabaseOperations(operations.DatabaseOperations):
    compiler_module = "cacheops.db.backends.sqlite3.compiler"


class WatchedCursor(ScriptWatching, CursorWrapper):
    pass


class WatchedDebugCursor(ScriptWatching, CursorDebugWrapper):
    pass


class Connection(CachedConnection):
    def uses_snapshots(self) -> bool:
        return True  # any transaction of SQLite does

    def driver_in_transaction(self) -> bool:
        return self.wrapper.connection.in_transaction


class DatabaseWrapper(CachingWrapper, base.DatabaseWrapper):
    ops_class = DatabaseOperations
    cacheops_class = Connection

    def make_cursor(self, cursor: Any) -> WatchedCursor:
        return WatchedCursor(cursor, self)

    def make_debug_cursor(self, cursor: Any) -> WatchedDebugCursor:
        return WatchedDebugCursor(cursor, self)
