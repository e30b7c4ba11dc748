"""The database engine `cacheops.db.backends.sqlite3`: Django's, whose reads and writes pass the cache."""

import uuid
from pathlib import Path
from typing import Any

from django.db.backends.sqlite3 import base, operations
from django.db.backends.utils import CursorDebugWrapper, CursorWrapper

from cacheops.databases import name_in_process
from cacheops.db.backends.common import CachingWrapper, ScriptWatching
from cacheops.db.backends.sqlite3.birth import birth_of
from cacheops.orm.connection import CachedConnection

PROCESS = uuid.uuid4()  # tells databases in memory from those of other processes


class DatabaseOperations(operations.DatabaseOperations):
    compiler_module = "cacheops.db.backends.sqlite3.compiler"


class WatchedCursor(ScriptWatching, CursorWrapper):
    pass


class WatchedDebugCursor(ScriptWatching, CursorDebugWrapper):
    pass


class Connection(CachedConnection):
    @property
    def name(self) -> str:
        """The database's name in keys."""
        return name_in_process(self.wrapper, super().name)

    def identity(self, driver: Any) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
        """Return the file's number, which it has under any path, and when it was made: numbers are used again at once.

        In memory, the name that connections share it by.
        """
        path = driver.execute("PRAGMA database_list").fetchone()[2]  # of "main"; "" in memory
        if path:
            file = Path(path).stat()
            return (file.st_dev, file.st_ino, *birth_of(Path(path))), ()
        return (PROCESS, uuid.uuid4() if self.is_private() else self.wrapper.settings_dict["NAME"]), ()

    def is_private(self) -> bool:
        return self.wrapper.is_in_memory_db() and "cache=shared" not in self.wrapper.settings_dict["NAME"]

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
