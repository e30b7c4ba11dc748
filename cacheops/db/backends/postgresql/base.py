"""The database engine `cacheops.db.backends.postgresql`: Django's, whose reads and writes pass the cache."""

from collections.abc import Sequence
from typing import Any

from django.db.backends.postgresql import base, operations
from django.db.backends.postgresql.psycopg_any import IsolationLevel
from django.db.backends.utils import CursorWrapper
from psycopg import ClientCursor
from psycopg.pq import TransactionStatus

from cacheops.db.backends.common import CachingWrapper, CopyWatching
from cacheops.orm.transaction import Statement


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

    def cacheops_commits_each(self) -> bool:
        """Say whether a statement run now commits by itself."""
        if self.in_atomic_block or not self.get_autocommit():
            return False
        return self.connection.info.transaction_status == TransactionStatus.IDLE

    def cacheops_run(self, statements: Sequence[Statement], begins: bool) -> list[list[Sequence[Any]]]:
        """Send all in one message, BEGIN too: each sees what was committed before it, as if it were sent alone."""
        driver = self.connection
        if not issubclass(driver.cursor_factory, ClientCursor):  # a server that gets parameters takes one at a time
            return super().cacheops_run(statements, begins)
        texts, parameters = [sql for sql, _ in statements], [value for _, values in statements for value in values]
        if begins and driver.info.transaction_status == TransactionStatus.IDLE and driver.isolation_level is None:
            driver.autocommit = True  # or the driver sends one itself; Django sets it anew after the transaction
            texts.insert(0, "BEGIN")
        found = []
        with self.cursor() as cursor:
            cursor.execute("; ".join(texts), parameters)
            for _ in range(len(texts) - len(statements)):
                cursor.nextset()
            for _ in statements:
                found.append(cursor.fetchall())
                cursor.nextset()
        return found

    def make_cursor(self, cursor: Any) -> WatchedCursor:
        return WatchedCursor(cursor, self)

    def make_debug_cursor(self, cursor: Any) -> WatchedDebugCursor:
        return WatchedDebugCursor(cursor, self)
