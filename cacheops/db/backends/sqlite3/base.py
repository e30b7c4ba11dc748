"""The database engine `cacheops.db.backends.sqlite3`: Django's, whose reads and writes pass the cache."""

from django.db.backends.sqlite3 import base, operations

from cacheops.db.backends.common import CachingWrapper


class DatabaseOperations(operations.DatabaseOperations):
    compiler_module = "cacheops.db.backends.sqlite3.compiler"


class DatabaseWrapper(CachingWrapper, base.DatabaseWrapper):
    ops_class = DatabaseOperations

    def cacheops_snapshots(self) -> bool:
        return True  # any transaction of SQLite does
