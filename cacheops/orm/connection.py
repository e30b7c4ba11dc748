"""`connection.cacheops`: what the cache knows of a database connection, and asks of it."""

from asyncio import _get_running_loop  # None outside of coroutines, where get_running_loop() raises: four times slower
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

from django.core.exceptions import SynchronousOnlyOperation
from django.db import connections
from django.utils.asyncio import async_unsafe

from cacheops.databases import Address, Known, known_names
from cacheops.orm.plan import Plan
from cacheops.orm.session import Session
from cacheops.orm.transaction import Statement, Transaction
from cacheops.protocol.keys import IDENTITY, digest
from cacheops.regions.database_away import away_databases
from cacheops.writing.intent import WriteIntent

IDENTITY_LETTERS = 8  # 48 bits of its digest


@async_unsafe
def _refuse_in_coroutines() -> None:
    """Raise SynchronousOnlyOperation, unless DJANGO_ALLOW_ASYNC_UNSAFE is set."""


class RecordedPlan(NamedTuple):
    """A cached read: its plan, its parameters, and the compiler that ran it."""

    plan: Plan
    parameters: list[Any]
    compiler: Any


class CachedConnection:
    """A connection whose reads and writes pass the cache; each database has a subclass."""

    is_cached = True

    def __init__(self, wrapper: Any) -> None:
        self.wrapper = wrapper
        self.alias: str = wrapper.alias
        self._known: Known | None = None
        self._changes = 0  # of the known names, when this one was looked up
        self.transaction = Transaction(self)
        self.session = Session(self)
        self.recorded_plans: list[RecordedPlan] | None = None  # of cached reads, within record_plans()

    # --- which database ---------------------------------------------------------------------------------------------

    @property
    def name(self) -> str:
        """The database's name in keys. Connects, if this process has never been connected to it."""
        return self._known_database().name

    @property
    def session_key(self) -> bytes:
        """What tells the settings of this connection's session from others, in digests. See `has_known_session`."""
        return self._known_database().session if self.wrapper.connection is None else self.session.key

    def _known_database(self) -> Known:
        if self._changes != known_names.changes:
            self._changes = known_names.changes
            self._known = known_names.of.get(Address.of(self.wrapper), self._known)
        if self._known is None:
            self.wrapper.ensure_connection()  # which identifies it
        assert self._known is not None
        return self._known

    def identify(self, driver: Any) -> None:
        """Take note of the database that a new connection of the driver leads to, and of its session's settings."""
        identity, settings = self.identity(driver)
        self.session.begin(settings)
        name = digest(repr(identity).encode())[:IDENTITY_LETTERS]
        self._known = Known(f"{self.alias}{IDENTITY}{name}", self.session.key)
        away_databases.answered(self.alias)
        if not self.is_private():
            known_names.note(Address.of(self.wrapper), self._known)

    def identity(self, driver: Any) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
        """Return what no other database has, and what stays the same as long as this one is there; and SETTINGS."""
        raise NotImplementedError

    def reported_settings(self) -> tuple[Any, ...] | None:
        """Return the values of REPORTED, which the driver knows without asking; None where it has no connection."""
        return ()

    def ask_settings(self, names: Sequence[str]) -> tuple[Any, ...]:
        """Return the values of settings, None for those that nobody has set."""
        return ()

    def is_private(self) -> bool:
        """Return whether no other connection leads to the database just identified, though it has the same settings."""
        return False

    def disconnected(self) -> None:
        """Take note that the next connection may lead to another database."""
        self._known, self._changes = None, 0

    # --- reads ------------------------------------------------------------------------------------------------------

    def refuses_queries(self) -> bool:
        """Return whether Django refuses queries: in a coroutine, and in a test that may not ask the database.

        A hit must not hide it, as the same code would fail on the next miss; nor is it for us to refuse a query that
        Django would not run, since it can match nothing.
        """
        if _get_running_loop() is not None:
            try:
                _refuse_in_coroutines()
            except SynchronousOnlyOperation:
                return True
        return self.is_forbidden()

    def is_forbidden(self) -> bool:
        """Return whether the database is none of those that the running test case of Django names."""
        return hasattr(self.wrapper.__dict__.get("cursor"), "wrapped")  # which it puts there

    def text_of(self, statement: Any) -> str:
        """Return the text of a statement, as it is given to a cursor."""
        return str(statement)

    def has_snapshot(self) -> bool:
        """Return whether reads may see a state of the past, which the cache neither answers nor is filled with."""
        wrapper = self.wrapper
        if wrapper.connection is None:
            return False
        if wrapper.autocommit and not wrapper.in_atomic_block:
            return self.driver_in_transaction()  # begun by raw SQL; its isolation is not known
        return self.session.is_snapshot or self.uses_snapshots()

    def has_known_session(self) -> bool:
        """Return whether the settings by which the session answers are known, so that entries can name them."""
        return self.session.is_known()

    def has_own_session(self) -> bool:
        """Return whether the session's settings are others than those it began with."""
        return self.wrapper.connection is not None and self.session.key != self.session.first_key

    def has_written(self, tables: Iterable[str]) -> bool:
        """Return whether the open transaction has changed one of these tables."""
        changed = self.transaction.changes.tables
        return bool(changed) and any(table in changed for table in tables)

    @contextmanager
    def record_plans(self) -> Iterator[list[RecordedPlan]]:
        """Record the plans of the cached reads within the block."""
        outer, self.recorded_plans = self.recorded_plans, []
        try:
            yield self.recorded_plans
        finally:
            self.recorded_plans = outer

    # --- transactions -----------------------------------------------------------------------------------------------

    def in_transaction(self) -> bool:
        """Return whether a statement that is run now is part of a transaction, whoever has begun it."""
        return self.in_django_transaction() or self.in_raw_transaction()

    def in_django_transaction(self) -> bool:
        """Return whether Django has begun a transaction, or will with the next statement."""
        wrapper = self.wrapper
        return wrapper.in_atomic_block or (not wrapper.autocommit and wrapper.connection is not None)

    def in_raw_transaction(self) -> bool:
        """Return whether raw SQL, or the driver, has begun a transaction that Django does not know of."""
        is_connected = self.wrapper.connection is not None
        return is_connected and not self.in_django_transaction() and self.driver_in_transaction()

    def driver_in_transaction(self) -> bool:
        """Return whether the driver, which is connected, has a transaction open."""
        raise NotImplementedError

    def uses_snapshots(self) -> bool:
        """Return whether a transaction sees one snapshot from its first statement on."""
        raise NotImplementedError

    def forget_isolation(self) -> None:
        """Take note that the isolation of the session's transactions may be another from now on."""

    def commits_each(self) -> bool:
        """Return whether a save() may be one statement, which commits by itself; False where that can't be checked."""
        return False

    def log_marks(self, intent: WriteIntent) -> None:
        """Say in the database's log, with the open transaction, what was marked for it, if a relay reads it."""

    def marks_logged(self, intent: WriteIntent) -> Statement:
        """Return what a statement's list of results adds to do the same, "" if no relay reads the log."""
        return "", ()

    def log_invalidated(self, tables: Collection[str]) -> None:
        """Say in the database's log, for the regions that follow it, which tables to invalidate, if there are some."""

    def run(self, statements: Sequence[Statement]) -> list[list[Sequence[Any]]]:
        """Run statements of a compiler, in as few round trips as the database allows; return the rows of each."""
        found = []
        for place, (sql, parameters) in enumerate(statements, 1):  # Django would run the last only
            with self.transaction.silent(place < len(statements)), self.wrapper.cursor() as cursor:
                cursor.execute(sql, parameters)
                found.append(cursor.fetchall())
        return found


class UncachedConnection:
    """A connection of Django's own engine: nothing read by it is cached, nothing written by it invalidates."""

    is_cached = False
    alias = ""

    def is_forbidden(self) -> bool:
        return False

    def refuses_queries(self) -> bool:
        return False

    def has_snapshot(self) -> bool:
        return False

    def has_known_session(self) -> bool:
        return True

    def has_own_session(self) -> bool:
        return False

    def has_written(self, tables: Iterable[str]) -> bool:
        return False

    def in_transaction(self) -> bool:
        return False


UNCACHED = UncachedConnection()


def cacheops_of(database: str) -> CachedConnection | UncachedConnection:
    """Return what the cache knows of the connection of a database alias."""
    state: CachedConnection | UncachedConnection = getattr(connections[database], "cacheops", UNCACHED)
    return state
