"""What follows a commit: marks are taken off, and those who listen are told."""

from collections.abc import Callable
from typing import Any

from django.db import InterfaceError, OperationalError, models

from cacheops.orm.schema import fields_by_column, key_columns, models_by_table
from cacheops.signals import cache_invalidated
from cacheops.writing.changes import Changes, TableChange
from cacheops.writing.intent import WriteIntent
from cacheops.writing.unsettled import keep_if_unsettled


def invalidate(database: str, changes: Changes) -> None:
    """Invalidate at once what was changed and committed."""
    intent = WriteIntent(database, changes)
    intent.mark()
    intent.clear()
    announce(database, changes)


def cleared_after(intent: WriteIntent, commit: Callable[[], Any], failed: Callable[[], None]) -> Any:
    """Commit, and take the marks off where the outcome is known; after an error by `failed`."""
    try:
        result = commit()
    except (OperationalError, InterfaceError):
        # It may have been committed all the same, or will be: the marks stand until their deadline.
        keep_if_unsettled(intent)
        raise
    except BaseException:
        failed()
        raise
    intent.clear()
    return result


def announce(database: str, changes: Changes) -> None:
    """Tell those who listen which rows were changed, table by table. Django logs what they raise."""
    if not cache_invalidated.receivers:
        return
    for table, change in changes.tables.items():
        if change.whole or change.rows:
            keys = _keys(table, change)
            cache_invalidated.send_robust(
                models_by_table()[table],
                table=table,
                source=change.source,
                keys=keys,
                database=database,
                obj_dict=_attributes(table, change) if keys and len(keys) == 1 else None,
            )


def _keys(table: str, change: TableChange) -> list[Any] | None:
    """Return the primary keys of the rows, in their order, of several columns as tuples; None if they are not known."""
    if change.whole:
        return None
    columns = key_columns(table)
    try:
        if len(columns) == 1:
            return list(dict.fromkeys(row[columns[0]] for row in change.rows))
        return list(dict.fromkeys(tuple(row[column] for column in columns) for row in change.rows))
    except KeyError:
        return None


def _attributes(table: str, change: TableChange) -> dict[str, Any]:
    """Return what is known of the one row that was changed, as it is now, by the names of its attributes."""
    fields: dict[str, models.Field[Any, Any]] = fields_by_column(table)
    return {fields[column].attname: value for column, value in change.rows[-1].items()}
