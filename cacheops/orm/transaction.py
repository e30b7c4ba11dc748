"""What a transaction has changed, kept beside its connection until it commits; and the statements that change it."""

import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from django.db import InterfaceError, OperationalError, transaction

from cacheops.conf import conf
from cacheops.orm.dependencies import Template
from cacheops.orm.raw_sql import ENDS_TRANSACTION, LONG_SQL, OUTSIDE_TRANSACTIONS, judged, judged_before
from cacheops.orm.schema import is_tracked
from cacheops.writing.changes import Changes, ChangeSource
from cacheops.writing.intent import Announcement, known_columns

Statement = tuple[str, Sequence[Any]]  # SQL, parameters
ATTRIBUTE = "cacheops_transaction"  # of our database wrappers


_silenced: ContextVar[bool] = ContextVar("cacheops_silenced", default=False)


@contextmanager
def silenced() -> Iterator[None]:
    """Let writes within the block, in this thread or task, invalidate nothing. What they change is served stale."""
    token = _silenced.set(True)
    try:
        yield
    finally:
        _silenced.reset(token)


def is_silenced() -> bool:
    return _silenced.get()


def nothing() -> None:
    """Stand for a reference to an instance that is gone."""


class Transaction:
    """The open transaction of one connection, or none: then there are no changes."""

    def __init__(self, connection: Any) -> None:
        self.connection = connection
        self.changes = Changes()
        self._begun = True  # False at the start of a transaction that is ours
        self.in_orm_statement = False  # its rows are captured by a compiler: the raw statement need not be read
        self._snapshot = False  # it sees one snapshot from its first statement on
        self.met: list[Any] | None = None  # plans, parameters and compilers of cached reads, while somebody learns them
        self._saved: tuple[Callable[[], Any], bool] = (nothing, False)
        self._saving: Callable[[], Any] = nothing

    @property
    def database(self) -> str:
        return self.connection.alias

    # --- asked by readers -------------------------------------------------------------------------------------------

    def has_snapshot(self) -> bool:
        """Say whether reads see a state of the past: then the cache neither answers them nor is filled by them."""
        connection = self.connection
        if not connection.in_atomic_block and (connection.connection is None or connection.autocommit):
            return False
        return self._snapshot or connection.cacheops_snapshots()

    def has_written(self, template: Template) -> bool:
        """Say whether this transaction has changed a table that a query reads."""
        changed = self.changes.tables
        return bool(changed) and any(table in changed for table, _ in template.tables)

    @contextmanager
    def learning(self) -> Iterator[list[Any]]:
        """Note the plan, the parameters and the compiler of each cached read within the block."""
        outer, self.met = self.met, []
        try:
            yield self.met
        finally:
            self.met = outer

    # --- told by writers --------------------------------------------------------------------------------------------

    def changed_rows(self, table: str, rows: list[Mapping[str, Any]], source: str) -> None:
        """Note rows by the values of their columns, before or after a change."""
        if is_tracked(table) and not is_silenced():
            self.changes.add_rows(table, rows, source)

    def changed_table(self, table: str, source: str) -> None:
        """Note a change whose rows are not known."""
        if is_tracked(table) and not is_silenced():
            self.changes.add_table(table, source)

    def note_saved(self, instance: Any, *, named: bool) -> None:
        """Note an instance that is about to be saved, and whether its columns were named (`update_fields`)."""
        self._saving = weakref.ref(instance)
        self._saved = (self._saving, named)

    def take_saved(self) -> tuple[Any, bool]:
        """Return what was noted last, once; None where there is nothing."""
        (reference, named), self._saved = self._saved, (nothing, False)
        return reference(), named

    def saving(self) -> Any:
        """Return the instance that is being saved, None where there is none."""
        return self._saving()

    def forget_saved(self) -> None:
        self._saving = nothing
        self._saved = (nothing, False)

    @contextmanager
    def orm_statement(self) -> Iterator[None]:
        """Run a compiler's write: within a transaction, so that it is announced before it is committed."""
        if self.connection.get_autocommit() and not self.connection.in_atomic_block:
            with transaction.atomic(using=self.database, savepoint=False), self.watched():
                self._begun = False
                yield
        else:
            self._begun = True
            with self.watched():
                yield

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Run statements whose rows the caller captures."""
        outer, self.in_orm_statement = self.in_orm_statement, True
        try:
            yield
        finally:
            self.in_orm_statement = outer

    def run(self, statements: Sequence[Statement]) -> list[list[Sequence[Any]]]:
        """Run statements of a compiler, in as few round trips as the database allows; return the rows of each."""
        begins, self._begun = not self._begun, True
        return self.connection.cacheops_run(statements, begins)

    # --- commit and rollback ----------------------------------------------------------------------------------------

    def commit(self, commit: Callable[[], None]) -> None:
        """Mark, commit, clear. Raise InvalidationRefused before the commit in strict mode."""
        changes, self.changes = self.changes, Changes()
        self._snapshot = False
        if not changes:
            commit()
            return
        announcement = Announcement(self.database, changes)
        try:
            announcement.mark()
        except BaseException:
            # Django rolls back by itself after errors of the database only.
            self.connection.rollback()
            raise
        cleared_after(announcement, commit)

    def rolled_back(self) -> None:
        self.changes = Changes()
        self._snapshot = False

    # --- raw statements ---------------------------------------------------------------------------------------------

    def execute(self, execute: Callable[..., Any], sql: Any, params: Any, many: bool, context: dict[str, Any]) -> Any:
        """Watch every statement (a database execute wrapper): raw writes mark the tables that they name."""
        if self.in_orm_statement:
            return execute(sql, params, many, context)
        text = sql if isinstance(sql, str) else str(sql)
        isolates, session, tables = judged_before(text) if len(text) < LONG_SQL else judged(text)
        if isolates:
            self._snapshot = True
        if session:
            self.connection.cacheops_forget_isolation()
        if not tables:
            return execute(sql, params, many, context)
        return self.around(tables, text, lambda: execute(sql, params, many, context))

    def around(self, tables: Iterable[str], text: str, run: Callable[[], Any]) -> Any:
        """Run a raw write of these tables."""
        connection = self.connection
        inside = connection.in_atomic_block or not connection.get_autocommit()
        if inside:
            self._note(tables)
        if ENDS_TRANSACTION.search(text):
            return self.committed(tables, run)
        if inside:
            return run()
        if OUTSIDE_TRANSACTIONS.match(text):
            return self.committed(tables, run)
        with transaction.atomic(using=self.database, savepoint=False):
            self._note(tables)
            return run()

    def _note(self, tables: Iterable[str]) -> None:
        for table in tables:
            self.changed_table(table, ChangeSource.RAW_SQL)

    def committed(self, tables: Iterable[str], run: Callable[[], Any]) -> Any:
        """Run raw SQL that commits by itself: with it what the transaction has changed before."""
        changes = Changes()
        changes.update(self.changes)
        if not is_silenced():
            for table in tables:
                changes.add_table(table, ChangeSource.RAW_SQL)
        if not changes:
            return run()
        announcement = Announcement(self.database, changes)
        announcement.mark()
        return cleared_after(announcement, run)


def cleared_after(announcement: Announcement, commit: Callable[[], Any]) -> Any:
    """Commit, and take the marks off where the outcome is known."""
    try:
        result = commit()
    except (OperationalError, InterfaceError):
        # It may have been committed all the same, or will be: the marks stand until their deadline.
        raise
    except BaseException:
        announcement.clear()
        raise
    announcement.clear()
    return result


def transaction_of(connection: Any) -> Transaction:
    """Return what is known of a connection's transaction."""
    found = connection.__dict__.get(ATTRIBUTE)
    if found is None:
        found = connection.__dict__[ATTRIBUTE] = Transaction(connection)
    return found


def wanted_columns(database: str, table: str) -> frozenset[str]:
    """Return the columns whose values a write of this table must tell."""
    return known_columns(conf.prefix, database, table) if is_tracked(table) else frozenset()
