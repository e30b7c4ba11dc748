"""What our database backends add to Django's: their compilers, their commits, and an eye on raw statements."""

import sys
from collections.abc import Iterable, Sequence
from typing import Any

from django.db.transaction import atomic

from cacheops.invalidation import ChangeSource
from cacheops.orm.transaction import Statement, Transaction, transaction_of, written_tables


class CachingWrapper:
    """Mixed into a DatabaseWrapper, before Django's."""

    connection: Any
    execute_wrappers: list[Any]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.execute_wrappers.append(self._watched)

    def _watched(self, execute: Any, sql: Any, params: Any, many: bool, context: dict[str, Any]) -> Any:
        return transaction_of(self).execute(execute, sql, params, many, context)

    def cacheops_snapshots(self) -> bool:
        """Say whether an open transaction sees one snapshot from its first statement on."""
        raise NotImplementedError

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
        super().close()
        if self.connection is None:
            transaction_of(self).rolled_back()


class CopyWatching:
    """Mixed into a cursor wrapper: COPY does not pass the execute wrappers."""

    db: Any
    cursor: Any

    def copy(self, statement: Any, *args: Any, **kwargs: Any) -> Any:
        text = statement if isinstance(statement, str) else statement.as_string(self.cursor)
        tables: Iterable[str] = written_tables(text)
        transaction = transaction_of(self.db)
        if tables and not (self.db.in_atomic_block or not self.db.get_autocommit()):
            return _OwnTransaction(transaction, set(tables), self.cursor.copy(statement, *args, **kwargs))
        for table in tables:
            transaction.changed_table(table, ChangeSource.BULK)
        return self.cursor.copy(statement, *args, **kwargs)


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
