"""The receiver of rows_changed: what was changed is invalidated with the transaction, or, without one, at once."""

from collections.abc import Mapping, Sequence
from typing import Any

from django.core.exceptions import ValidationError

from cacheops.orm.connection import CachedConnection, cacheops_of
from cacheops.orm.dependencies import value_of
from cacheops.orm.no_invalidation import is_invalidation_disabled
from cacheops.orm.schema import fields_by_column, is_tracked
from cacheops.orm.transaction import Transaction
from cacheops.writing.changes import Changes, ChangeSource, Row


def collect(
    sender: Any,
    *,
    table: str | None = None,
    rows: Sequence[Row] | None = None,
    source: str = ChangeSource.SIGNAL,
    database: str = "default",
    transaction: Transaction | None = None,
    **kwargs: Any,
) -> None:
    """Note rows that were changed, or a table. Raise InvalidationRefused in strict mode, if a region can't be told."""
    if transaction is not None:  # of the engine's own statement
        if table is not None and not is_invalidation_disabled():
            transaction.changes.add(table, rows, source)
        return
    connection = cacheops_of(database)
    table = table or sender._meta.db_table
    if not isinstance(connection, CachedConnection) or is_invalidation_disabled() or not is_tracked(table):
        return
    changes = Changes()
    changes.add(table, comparable_rows(table, rows), source)
    connection.transaction.apply(changes)


def comparable_rows(table: str, rows: Sequence[Row] | None) -> list[Row] | None:
    """Return rows as conditions would hold their values; None, for the whole table, where a value can't be one."""
    try:
        return None if rows is None else [_comparable(table, row) for row in rows]
    except (TypeError, ValueError, ValidationError):
        return None


def _comparable(table: str, row: Row) -> Mapping[str, Any]:
    known = fields_by_column(table)
    return {column: value_of(table, column, value) for column, value in row.items() if column in known}
