"""What our database backends add to Django's: their compilers, their commits, and an eye on raw statements."""

import sys
from collections.abc import Iterable, Iterator
from typing import Any

from cacheops.orm.collector import collect
from cacheops.orm.connection import CachedConnection
from cacheops.orm.raw_sql import classify_sql, written_tables
from cacheops.orm.transaction import Transaction
from cacheops.signals import rows_changed
from cacheops.writing.changes import ChangeSource

rows_changed.connect(collect, weak=False, dispatch_uid="cacheops.collector")


class CachingWrapper:
    """Mixed into a DatabaseWrapper, before Django's."""

    connection: Any
    execute_wrappers: list[Any]
    closed_in_transaction: bool
    cacheops_class: type[CachedConnection]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.cacheops = self.cacheops_class(self)
        self.execute_wrappers.append(self.cacheops.transaction.execute)

    def connect(self) -> None:
        """Connect; of a connection that was lost while it was made, nothing is left."""
        try:
            super().connect()
        except BaseException:
            self.close()
            raise

    def init_connection_state(self) -> None:
        super().init_connection_state()
        self.cacheops.identify(self.connection)

    def set_autocommit(self, autocommit: bool, force_begin_transaction_with_broken_autocommit: bool = False) -> None:
        """Turn autocommit on or off; an atomic block, and nobody else, forces a transaction to begin."""
        transaction = self.cacheops.transaction
        transaction.commits_by_hand = not (autocommit or force_begin_transaction_with_broken_autocommit)
        with transaction.silent(transaction.is_added and not autocommit):  # not what hooks of the commit run
            super().set_autocommit(autocommit, force_begin_transaction_with_broken_autocommit)

    @property
    def queries_logged(self) -> bool:
        """Whether statements are noted in `queries`; those that Django's engine would not run are not."""
        logged: bool = super().queries_logged
        return logged and not self.cacheops.transaction.is_silent

    def _commit(self) -> None:
        self.cacheops.transaction.commit(self._commit_driver)

    def _commit_driver(self) -> None:
        transaction = self.cacheops.transaction
        with transaction.silent(transaction.is_added):
            super()._commit()

    def _rollback(self) -> None:
        transaction = self.cacheops.transaction
        try:
            with transaction.silent(transaction.is_added):
                super()._rollback()
        finally:
            self.cacheops.transaction.rolled_back()

    def close(self) -> None:
        try:
            super().close()
        finally:
            if self.connection is None:
                self.cacheops.disconnected()
            if self.connection is None or self.closed_in_transaction:
                self.cacheops.transaction.rolled_back()


class StreamWatching:
    """Mixed into a cursor wrapper of psycopg: what does not pass the execute wrappers."""

    db: Any
    cursor: Any

    def stream(self, query: Any, *args: Any, **kwargs: Any) -> Iterator[Any]:
        """Run a statement when its first row is asked for. A write is run to its end: its rows are held."""
        transaction = self.db.cacheops.transaction
        text = self.db.cacheops.text_of(query)
        found = classify_sql(text)
        with transaction.noted(found, text, args or kwargs):
            if found.tables:
                run = lambda: list(self.cursor.stream(query, *args, **kwargs))  # noqa: E731
                yield from transaction.run_raw(found, text, run)
            else:
                yield from self.cursor.stream(query, *args, **kwargs)

    def callproc(self, procname: Any, *args: Any, **kwargs: Any) -> Any:
        """Call a function. The driver's cursor makes the statement itself: what it writes is not known."""
        text = f"SELECT * FROM {self.db.cacheops.text_of(procname)}()"
        with self.db.cacheops.transaction.noted(classify_sql(text), text, args or kwargs):
            return super().callproc(procname, *args, **kwargs)

    def copy(self, statement: Any, *args: Any, **kwargs: Any) -> Any:
        tables: Iterable[str] = written_tables(self.db.cacheops.text_of(statement))
        transaction = self.db.cacheops.transaction
        transaction.note_write()
        if tables and not self.db.cacheops.in_transaction():
            return _OwnTransaction(transaction, set(tables), self._copy(statement, *args, **kwargs))
        for table in tables:
            transaction.changed_table(table, ChangeSource.BULK)
        transaction.mark_raw()
        return self._copy(statement, *args, **kwargs)

    def _copy(self, statement: Any, *args: Any, **kwargs: Any) -> Any:
        noted = getattr(super(), "copy", None)  # of Django's debugging cursor, which takes the statement alone
        return self.cursor.copy(statement, *args, **kwargs) if noted is None or args or kwargs else noted(statement)


class ScriptWatching:
    """Mixed into a cursor wrapper of SQLite: a script does not pass the execute wrappers."""

    db: Any
    cursor: Any

    def executescript(self, script: str, /) -> Any:
        """Run a script. The driver commits the open transaction first, and each statement commits by itself."""
        transaction, found = self.db.cacheops.transaction, classify_sql(script)
        if self.db.cacheops.in_transaction():
            for table in found.tables:
                transaction.changed_table(table, ChangeSource.RAW_SQL)
        with transaction.noted(found, script):
            return transaction.committed(found.tables, lambda: self.cursor.executescript(script))


class _OwnTransaction:
    """A COPY outside of a transaction gets one, so that it is announced before it is committed."""

    def __init__(self, transaction: Transaction, tables: set[str], copy: Any) -> None:
        self._transaction = transaction
        self._tables = tables
        self._block = transaction.added()
        self._copy = copy

    def __enter__(self) -> Any:
        self._block.__enter__()
        for table in self._tables:
            self._transaction.changed_table(table, ChangeSource.BULK)
        return self._copy.__enter__()

    def __exit__(self, *error: Any) -> Any:
        try:
            self._copy.__exit__(*error)
        except BaseException:
            self._block.__exit__(*sys.exc_info())
            raise
        self._block.__exit__(*error)
        return None
