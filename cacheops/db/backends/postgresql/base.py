"""The database engine `cacheops.db.backends.postgresql`: Django's, whose reads and writes pass the cache."""

import json
from collections.abc import Callable, Collection, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from django.db.backends.postgresql import base, operations
from django.db.backends.postgresql.psycopg_any import IsolationLevel
from django.db.backends.utils import CursorWrapper, debug_transaction
from psycopg import ClientCursor, sql
from psycopg import Error as PsycopgError
from psycopg.errors import InsufficientPrivilege, UndefinedFunction
from psycopg.pq import PipelineStatus, TransactionStatus

from cacheops.conf import conf
from cacheops.db.backends.common import CachingWrapper, StreamWatching
from cacheops.db.backends.postgresql.patience import PatientWrapper
from cacheops.orm.connection import CachedConnection
from cacheops.orm.session import REPORTED, SETTINGS
from cacheops.orm.transaction import Statement
from cacheops.regions.direct_sql import query_driver
from cacheops.writing.intent import WriteIntent, by_hand_prefix, marks_prefix

# That of a module's function, since psycopg 3.3, takes template strings, too.
composed_text: Callable[[Any, Any], str] = getattr(sql, "as_string", sql.Composable.as_string)
UNCOMPOSED = (PsycopgError, AttributeError, LookupError, TypeError, ValueError)
SNAPSHOTS = (IsolationLevel.REPEATABLE_READ, IsolationLevel.SERIALIZABLE)
# Of the driver's transaction. Between the two are those of an open one: active, in it, in one that has failed.
IDLE, UNKNOWN = int(TransactionStatus.IDLE), int(TransactionStatus.UNKNOWN)

ZONE, DATES, INTERVALS = REPORTED

# https://www.postgresql.org/docs/current/functions-info.html#FUNCTIONS-CONTROLDATA
IDENTITY_SQL = """
    SELECT system_identifier, oid, {relayed}, {settings}
    FROM pg_control_system(), pg_database WHERE datname = current_database()
"""
NAME_SQL = "SELECT datname, oid, {relayed}, {settings} FROM pg_database WHERE datname = current_database()"
# A relay has a slot, of a home region or of a follower (cacheops/relay/publication.py).
RELAYED = """EXISTS (
    SELECT FROM pg_replication_slots WHERE database = current_database() AND slot_name LIKE 'cacheops\\_home\\_%%')
"""
FOLLOWED_SQL = """
    SELECT pg_logical_emit_message(true, %s, %s) WHERE EXISTS (
        SELECT FROM pg_replication_slots
        WHERE database = current_database() AND slot_name LIKE 'cacheops\\_follower\\_%%'
    )
"""
VALUES = "ARRAY(SELECT current_setting(name, true) FROM unnest(%s::text[]) AS name)"
LOG_MESSAGE = "pg_logical_emit_message(true, %s, %s)"


class DatabaseOperations(operations.DatabaseOperations):
    compiler_module = "cacheops.db.backends.postgresql.compiler"


class WatchedCursor(StreamWatching, CursorWrapper):
    def _execute(self, sql: Any, params: Any, *ignored: Any) -> Any:
        """Run a statement; a compiler's write that is the first of a transaction takes BEGIN along, in one message."""
        state, driver = self.db.cacheops, self.db.connection
        if not (state.transaction.in_orm_statement and state.lacks_begin() and isinstance(sql, str)):
            return super()._execute(sql, params, *ignored)
        driver._autocommit = True  # the setter could not set it back: it refuses to, in a transaction
        try:
            result = super()._execute(f"BEGIN; {sql}", params, *ignored)
        finally:
            driver._autocommit = False
        self.cursor.nextset()  # past the result of BEGIN
        return result


class WatchedDebugCursor(StreamWatching, base.CursorDebugWrapper):
    pass


class Connection(CachedConnection):
    _is_relayed = False  # a home region's relay reads the log, and skips what its writer has marked
    _isolation: str | None = None  # of the session's transactions where nothing else is said; None: not asked yet

    def uses_snapshots(self) -> bool:
        """Return whether transactions see a snapshot, by OPTIONS, the session, or the role's or database's default."""
        wrapper, driver = self.wrapper, self.wrapper.connection
        if driver is None:
            return wrapper.isolation_level in SNAPSHOTS
        if driver.isolation_level is not None:  # by OPTIONS, or set on the driver
            return driver.isolation_level in SNAPSHOTS
        if self._isolation is None:
            if wrapper.needs_rollback:
                return True  # it can't be asked now; what is read now fails anyway
            with wrapper.wrap_database_errors, driver.cursor() as cursor:
                cursor.execute("SHOW default_transaction_isolation")
                self._isolation = cursor.fetchone()[0]
        return self._isolation in ("repeatable read", "serializable")

    def forget_isolation(self) -> None:
        self._isolation = None

    def identity(self, driver: Any) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
        """Return the cluster's identifier, which replicas have too, and the database's number in it.

        Where the role may not ask for the former, or the server has none, the database's name takes its place.
        """
        autocommit, driver.autocommit = driver.autocommit, True  # no transaction is left open
        try:
            with driver.cursor() as cursor:
                row = cursor.execute(IDENTITY_SQL.format(relayed=RELAYED, settings=VALUES), [list(SETTINGS)]).fetchone()
        except (InsufficientPrivilege, UndefinedFunction):
            with driver.cursor() as cursor:
                row = cursor.execute(NAME_SQL.format(relayed=RELAYED, settings=VALUES), [list(SETTINGS)]).fetchone()
        finally:
            driver.autocommit = autocommit
        *identity, self._is_relayed, settings = row
        return tuple(identity), tuple(settings)

    def text_of(self, statement: Any) -> str:
        """Return the text of what the driver takes: a text, bytes, what `psycopg.sql` composes, a template."""
        if isinstance(statement, str):
            return statement
        if isinstance(statement, bytes):
            return statement.decode(errors="replace")
        try:
            return composed_text(statement, self.wrapper.connection)
        except UNCOMPOSED:  # what is no statement, or can't be composed, the driver refuses, too
            return str(statement)

    def reported_settings(self) -> tuple[Any, ...] | None:
        driver = self.wrapper.connection
        if driver is None or driver.closed:
            return None
        status = driver.pgconn.parameter_status
        return status(ZONE), status(DATES), status(INTERVALS)

    def ask_settings(self, names: Sequence[str]) -> tuple[Any, ...]:
        return tuple(query_driver(self.wrapper, f"SELECT {VALUES}", [list(names)])[0][0])

    def driver_in_transaction(self) -> bool:
        return IDLE < self.wrapper.connection.pgconn.transaction_status < UNKNOWN

    def log_marks(self, intent: WriteIntent) -> None:
        if self._is_relayed:
            query_driver(self.wrapper, f"SELECT {LOG_MESSAGE}", (marks_prefix(), intent.message()))

    def marks_logged(self, intent: WriteIntent) -> Statement:
        return (f", {LOG_MESSAGE}", (marks_prefix(), intent.message())) if self._is_relayed else ("", ())

    def log_invalidated(self, tables: Collection[str]) -> None:
        if tables and set(conf.regions) - set(conf.regions_of(self.alias)):
            query_driver(self.wrapper, FOLLOWED_SQL, (by_hand_prefix(), json.dumps(list(tables))))

    def commits_each(self) -> bool:
        return self.wrapper.connection is not None and not self.in_transaction()

    def _noted(self, statement: Statement) -> AbstractContextManager[None]:
        """Note the one statement in connection.queries that Django's engine would run."""
        if not self.wrapper.queries_logged:
            return nullcontext()
        noted: AbstractContextManager[None] = debug_transaction(self.wrapper, self.wrapper.ops.compose_sql(*statement))
        return noted

    def _takes_many(self) -> bool:
        """Return whether a message may hold several statements: not where the server is given their parameters."""
        driver = self.wrapper.connection
        return issubclass(driver.cursor_factory, ClientCursor) and driver.pgconn.pipeline_status == PipelineStatus.OFF

    def lacks_begin(self) -> bool:
        """Return whether the driver would send a plain BEGIN before the next statement, and wait for its answer."""
        driver = self.wrapper.connection
        return (
            not driver.autocommit
            and driver.pgconn.transaction_status == IDLE
            and driver.isolation_level is driver.read_only is driver.deferrable is None
            and self._takes_many()
        )

    def run(self, statements: Sequence[Statement]) -> list[list[Sequence[Any]]]:
        """Send all in one message: each sees what was committed before it, as if it were sent alone."""
        if len(statements) > 1 and not self._takes_many():
            return super().run(statements)
        texts, parameters = [sql for sql, _ in statements], [value for _, values in statements for value in values]
        found = []
        with self._noted(statements[-1]), self.transaction.silent(), self.wrapper.cursor() as cursor:
            cursor.execute("; ".join(texts), parameters)
            for _ in statements:
                found.append(cursor.fetchall())
                cursor.nextset()
        return found


class DatabaseWrapper(PatientWrapper, CachingWrapper, base.DatabaseWrapper):
    ops_class = DatabaseOperations
    cacheops_class = Connection

    def init_connection_state(self) -> None:
        self.cacheops.forget_isolation()
        super().init_connection_state()

    def make_cursor(self, cursor: Any) -> WatchedCursor:
        return WatchedCursor(cursor, self)

    def make_debug_cursor(self, cursor: Any) -> WatchedDebugCursor:
        return WatchedDebugCursor(cursor, self)
