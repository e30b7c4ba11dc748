"""The database engine `cacheops.db.backends.postgresql`: Django's, whose reads and writes pass the cache."""

from collections.abc import Sequence
from typing import Any

from django.db.backends.postgresql import base, operations
from django.db.backends.postgresql.psycopg_any import IsolationLevel
from django.db.backends.utils import CursorWrapper
from psycopg import ClientCursor
from psycopg.pq import TransactionStatus

from cacheops.db.backends.common import CachingWrapper, StreamWatching
from cacheops.orm.transaction import Statement


class DatabaseOperations(operations.DatabaseOperations):
    compiler_module = "cacheops.db.backends.postgresql.compiler"


class WatchedCursor(StreamWatching, CursorWrapper):
    pass


class WatchedDebugCursor(StreamWatching, base.CursorDebugWrapper):
    pass


class DatabaseWrapper(CachingWrapper, base.DatabaseWrapper):
    ops_class = DatabaseOperations

    _isolation: str | None = None  # of the session's transactions where nothing else is said; None: not asked yet

    def cacheops_snapshots(self) -> bool:
        """Say whether transactions see a snapshot: by OPTIONS, the session, or the default of the role or database."""
        if self.isolation_level in (IsolationLevel.REPEATABLE_READ, IsolationLevel.SERIALIZABLE):
            return True
        if self.connection is None or self.connection.isolation_level is not None:
            return False
        if self._isolation is None:
            if self.needs_rollback:
                return True  # it can't be asked now; what is read now fails anyway
            with self.wrap_database_errors, self.connection.cursor() as cursor:
                cursor.execute("SHOW default_transaction_isolation")
                self._isolation = cursor.fetchone()[0]
        return self._isolation in ("repeatable read", "serializable")

    def cacheops_forget_isolation(self) -> None:
        self._isolation = None

    def init_connection_state(self) -> None:
        self._isolation = None
        super().init_connection_state()

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
