"""What our database backends add to Django's: their compilers, their commits, and an eye on raw statements."""

import sys
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from django.db.transaction import atomic

from cacheops.orm.raw_sql import written_tables
from cacheops.orm.transaction import Statement, Transaction, transaction_of
from cacheops.writing.changes import ChangeSource


class CachingWrapper:
    """Mixed into a DatabaseWrapper, before Django's."""

    connection: Any
    execute_wrappers: list[Any]
    closed_in_transaction: bool

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.execute_wrappers.append(self._watched)

    def _watched(self, execute: Any, sql: Any, params: Any, many: bool, context: dict[str, Any]) -> Any:
        return transaction_of(self).execute(execute, sql, params, many, context)

    def cacheops_snapshots(self) -> bool:
        """Say whether an open transaction sees one snapshot from its first statement on."""
        raise NotImplementedError

    def cacheops_forget_isolation(self) -> None:
        """Hear that the isolation of the session's transactions may be another from now on."""

    def cacheops_commits_each(self) -> bool:
        """Say whether a save() may be one statement, which commits by itself. Databases that can't check it say no."""
        return False

    def cacheops_run(self, statements: Sequence[Statement], begins: bool) -> list[list[Sequence[Any]]]:
        """Run statements and return the rows of each; `begins` says that they may be the first of a transaction."""
        found = []
        with self.cursor() as cursor:
            for sql, parameters in statements:
                cursor.execute(sql, parameters)
                found.append(cursor.fetchall())
        return found

    def _commit(self) -> None:
        transaction_of(self).commit(super()._commit)

    def _rollback(self) -> None:
        try:
            super()._rollback()
        finally:
            transaction_of(self).rolled_back()

    def close(self) -> None:
        try:
            super().close()
        finally:
            if self.connection is None or self.closed_in_transaction:
                transaction_of(self).rolled_back()


class StreamWatching:
    """Mixed into a cursor wrapper of psycopg: what does not pass the execute wrappers."""

    db: Any
    cursor: Any

    def stream(self, statement: Any, *args: Any, **kwargs: Any) -> Iterator[Any]:
        """Run a statement when its first row is asked for. A write is run to its end: its rows are held."""
        text = self._text_of(statement)
        tables = written_tables(text)
        if not tables:
            yield from self.cursor.stream(statement, *args, **kwargs)
            return
        yield from transaction_of(self.db).around(
            tables, text, lambda: list(self.cursor.stream(statement, *args, **kwargs))
        )

    def _text_of(self, statement: Any) -> str:
        return statement.as_string(self.cursor) if hasattr(statement, "as_string") else str(statement)

    def copy(self, statement: Any, *args: Any, **kwargs: Any) -> Any:
        tables: Iterable[str] = written_tables(self._text_of(statement))
        transaction = transaction_of(self.db)
        if tables and not (self.db.in_atomic_block or not self.db.get_autocommit()):
            return _OwnTransaction(transaction, set(tables), self.cursor.copy(statement, *args, **kwargs))
        for table in tables:
            transaction.changed_table(table, ChangeSource.BULK)
        return self.cursor.copy(statement, *args, **kwargs)


class ScriptWatching:
    """Mixed into a cursor wrapper of SQLite: a script does not pass the execute wrappers."""

    db: Any
    cursor: Any

    def executescript(self, script: str) -> Any:
        """Run a script. The driver commits the open transaction first, and each statement commits by itself."""
        transaction, tables = transaction_of(self.db), written_tables(script)
        if self.db.in_atomic_block or not self.db.get_autocommit():
            for table in tables:
                transaction.changed_table(table, ChangeSource.RAW_SQL)
        return transaction.committed(tables, lambda: self.cursor.executescript(script))


class _OwnTransaction:
    """A COPY outside of a transaction gets one, so that it is announced before it is committed."""

    def __init__(self, transaction: Transaction, tables: set[str], copy: Any) -> None:
        self._transaction = transaction
        self._tables = tables
        self._atomic = atomic(using=transaction.database, savepoint=False)
        self._copy = copy

    def __enter__(self) -> Any:
        self._atomic.__enter__()
        for table in self._tables:
            self._transaction.changed_table(table, ChangeSource.BULK)
        return self._copy.__enter__()

    def __exit__(self, *error: Any) -> Any:
        try:
            self._copy.__exit__(*error)
        except BaseException:
            self._atomic.__exit__(*sys.exc_info())
            raise
        self._atomic.__exit__(*error)
        return None
