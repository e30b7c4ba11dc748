"""What a transaction has changed, kept beside its connection until it commits; and the statements that change it."""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

from django.db import transaction

from cacheops.engine import schema_changed
from cacheops.orm.commit import announce, cleared_after, invalidate
from cacheops.orm.raw_sql import OUTSIDE_TRANSACTIONS, RawStatement, classify_sql
from cacheops.orm.save_in_progress import SaveInProgress
from cacheops.orm.schema import is_tracked, models_by_table
from cacheops.regions.read_scope import note_write
from cacheops.signals import cache_invalidated, rows_changed
from cacheops.writing.changes import Changes, ChangeSource
from cacheops.writing.intent import WriteIntent, known_columns

if TYPE_CHECKING:
    from cacheops.orm.connection import CachedConnection

Statement = tuple[str, Sequence[Any]]  # SQL, parameters


class Transaction:
    """What the open transaction of one connection has written; nothing where none is open."""

    def __init__(self, connection: "CachedConnection") -> None:
        self.connection = connection
        self.wrapper = connection.wrapper
        self.changes = Changes()
        self.in_orm_statement = False  # its rows are captured by a compiler: the raw statement need not be read
        self.has_written = False  # a statement of this transaction, which counts once it is committed
        self.alters = False  # it has changed the schema
        self.is_added = False  # it was begun for one statement, where Django's engine begins none
        self.is_silent = False  # what runs is not in connection.queries: Django's engine would not run it
        self.commits_by_hand = False  # autocommit is off, and not by an atomic block
        self.is_sending = False  # a statement of this connection tells what it changes
        self._raw_marks: list[WriteIntent] = []  # of a transaction that Django has not begun
        self.save = SaveInProgress()

    @property
    def database(self) -> str:
        return self.wrapper.alias

    # --- that something is written ----------------------------------------------------------------------------------

    def note_write(self) -> None:
        """Take note of a statement that writes: the running request must see it, if it is committed."""
        if self.connection.in_django_transaction():
            self.has_written = True
        else:
            note_write(self.database)

    def _note_commit(self) -> None:
        """Take note that what was written is to be committed now: whatever comes of it, it may be."""
        if self.has_written:
            self.has_written = False
            note_write(self.database)

    # --- changes ----------------------------------------------------------------------------------------------------

    def changed_rows(self, table: str, rows: list[Mapping[str, Any]] | None, source: str) -> None:
        """Tell of rows by the values of their columns, before or after a change: the collector among others."""
        if is_tracked(table):
            outer, self.is_sending = self.is_sending, True
            try:
                rows_changed.send(
                    models_by_table()[table],
                    table=table,
                    rows=rows,
                    source=source,
                    database=self.wrapper.alias,
                    transaction=self,
                )
            finally:
                self.is_sending = outer

    def changed_table(self, table: str, source: str) -> None:
        """Tell of a change whose rows are not known."""
        self.changed_rows(table, None, source)

    def apply(self, changes: Changes) -> None:
        """Invalidate what no statement here has changed: with the open transaction, or now."""
        self.note_write()
        if self.is_sending or self.connection.in_django_transaction():  # sending: a receiver tells what follows from it
            self.changes.update(changes)
            return
        if self.connection.in_raw_transaction():
            self.changes.update(changes)
            self.mark_raw()
            return
        invalidate(self.database, changes)

    @contextmanager
    def collected(self) -> Iterator[Changes]:
        """Collect what is told within the block apart from the transaction."""
        outer, self.changes = self.changes, Changes()
        try:
            yield self.changes
        finally:
            self.changes = outer

    @contextmanager
    def orm_statement(self) -> Iterator[None]:
        """Run a compiler's write: within a transaction, so that it is announced before it is committed."""
        self.wrapper.ensure_connection()
        if not self.connection.in_transaction():
            with self.added(), self.watched():
                yield
        else:
            with self.watched():
                yield
            self.mark_raw()

    @contextmanager
    def added(self) -> Iterator[None]:
        """Run statements in a transaction that Django's engine would not begin: it is not in connection.queries."""
        self.is_added = True
        try:
            with transaction.atomic(using=self.database, savepoint=False):
                yield
        finally:
            self.is_added = False

    @contextmanager
    def silent(self, is_silent: bool = True) -> Iterator[None]:
        """Keep what runs within the block out of connection.queries."""
        outer, self.is_silent = self.is_silent, self.is_silent or is_silent
        try:
            yield
        finally:
            self.is_silent = outer

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Run statements that write, whose rows the caller captures."""
        self.note_write()
        outer, self.in_orm_statement = self.in_orm_statement, True
        try:
            yield
        finally:
            self.in_orm_statement = outer

    # --- commit and rollback ----------------------------------------------------------------------------------------

    def commit(self, commit: Callable[[], None]) -> None:
        """Mark, commit, clear. Raise InvalidationRefused before the commit in strict mode."""
        changes, self.changes = self._all_changes() if self._raw_marks else self.changes, Changes()
        if not changes:
            self._note_commit()
            commit()
            self._ended()
            return
        intent = WriteIntent(self.database, changes)
        try:
            intent.mark()
            self.connection.log_marks(intent)
        except BaseException:
            # Django rolls back by itself after errors of the database only.
            self.wrapper.rollback()
            raise
        self._note_commit()
        cleared_after(intent, commit, intent.cancel)
        self._cancel_raw()  # they are among those of the commit
        self._ended()
        self._announce(changes)

    def rolled_back(self) -> None:
        self.changes = Changes()
        self.has_written = False
        self._cancel_raw()
        self._ended()

    def _announce(self, changes: Changes) -> None:
        """Tell of changes that are committed, once Django may run queries again."""
        if self.commits_by_hand or self.wrapper.autocommit:
            announce(self.database, changes)
        elif cache_invalidated.receivers:  # an atomic block, which has yet to turn autocommit on
            self.wrapper.run_on_commit.insert(0, (set(), partial(announce, self.database, changes), True))

    # --- raw transactions, whose end Django does not see ------------------------------------------------------------

    def mark_raw(self) -> None:
        """Mark what was changed, if raw SQL or the driver has begun the open transaction: its COMMIT may pass us by.

        The marks are cleared when its end is seen: in a raw statement, or before the next one. If none follows, they
        end by their deadline.
        """
        if not self.changes or not self.connection.in_raw_transaction():
            return
        changes, self.changes = self.changes, Changes()
        intent = WriteIntent(self.database, changes)
        try:
            intent.mark()
        except BaseException:
            self.changes = changes
            raise
        self._raw_marks.append(intent)

    def _clear_raw(self) -> None:
        """Clear the marks of a transaction that has ended unseen. It may have been rolled back."""
        marks, self._raw_marks = self._raw_marks, []
        for intent in marks:
            intent.clear()
            announce(self.database, intent.changes)

    def _cancel_raw(self) -> None:
        marks, self._raw_marks = self._raw_marks, []
        for intent in marks:
            intent.cancel()

    def _all_changes(self) -> Changes:
        """Return what the open transaction has changed, marked or not."""
        changes = Changes()
        for intent in self._raw_marks:
            changes.update(intent.changes)
        changes.update(self.changes)
        return changes

    # --- raw statements ---------------------------------------------------------------------------------------------

    def execute(self, execute: Callable[..., Any], sql: Any, params: Any, many: bool, context: dict[str, Any]) -> Any:
        """Run any statement (a database execute wrapper): raw writes mark the tables that they name."""
        if self._raw_marks and not self.connection.in_raw_transaction():
            self._clear_raw()
        if self.in_orm_statement:
            return execute(sql, params, many, context)
        text = sql if isinstance(sql, str) else self.connection.text_of(sql)
        statement = classify_sql(text)
        if many and statement.sets:
            params = list(params)  # an iterator's are read twice
        with self.noted(statement, text, params):
            if statement.tables or (statement.ends and (self.changes or self._raw_marks or self.has_written)):
                return self.run_raw(statement, text, lambda: execute(sql, params, many, context))
            return execute(sql, params, many, context)

    @contextmanager
    def noted(self, statement: RawStatement, text: str, params: Any = ()) -> Iterator[None]:
        """Take note of what a raw statement, run within the block, does to the session, the schema and by functions."""
        if statement.writes and not statement.tables:
            self.note_write()
        try:
            yield
        finally:
            if statement.alters:
                self.altered()
            self.connection.session.note_statement(statement, text, params)

    def altered(self) -> None:
        """Take note that a statement has changed the schema: for others, when its transaction ends."""
        self.alters = True
        if self.connection.in_transaction():
            schema_changed()
        else:
            self._forget_schema()

    def _ended(self) -> None:
        """Take note that a transaction has ended: what it has set, or altered, may be another thing now."""
        self.connection.session.is_snapshot = False
        self.connection.session.transaction_ended()
        self._forget_schema()

    def _forget_schema(self) -> None:
        if self.alters:
            self.alters = False
            schema_changed()

    def run_raw(self, statement: RawStatement, text: str, run: Callable[[], Any]) -> Any:
        """Run a raw statement that writes tables, or ends a transaction that has changed some."""
        if statement.alters:
            run = self._telling(statement.tables, run)
        self.wrapper.ensure_connection()
        inside = self.connection.in_transaction()
        if inside or statement.begins:
            self._add_tables(statement.tables)
        if statement.ends or (not inside and OUTSIDE_TRANSACTIONS.match(text)):
            return self.committed(statement.tables, run)
        if inside or statement.begins:
            self.note_write()
            result = run()
            self.mark_raw()
            return result
        with self.added():
            self.note_write()
            self._add_tables(statement.tables)
            return run()

    def _telling(self, tables: Collection[str], run: Callable[[], Any]) -> Callable[[], Any]:
        """Have a change of the schema name its tables in the log, as it may write rows anew that are not in it."""

        def told() -> Any:
            result = run()
            self.connection.log_invalidated(tables)
            return result

        return told

    def _add_tables(self, tables: Iterable[str]) -> None:
        for table in tables:
            self.changed_table(table, ChangeSource.RAW_SQL)

    def committed(self, tables: Iterable[str], run: Callable[[], Any]) -> Any:
        """Run raw SQL that commits by itself: with it what the transaction has changed before."""
        self._note_commit()
        note_write(self.database)
        changes = self._all_changes()
        with self.collected() as own:
            self._add_tables(tables)
        changes.update(own)
        if not changes:
            return run()
        intent = WriteIntent(self.database, changes)
        intent.mark()
        result = cleared_after(intent, run, intent.clear)
        if not self.connection.in_transaction():
            self.changes = Changes()
            self._cancel_raw()
        announce(self.database, changes)
        return result


def wanted_columns(database: str, table: str) -> frozenset[str]:
    """Return the columns whose values a write of this table must tell."""
    return known_columns(database, table) if is_tracked(table) else frozenset()
