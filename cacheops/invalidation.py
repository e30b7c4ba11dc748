"""Invalidation by hand: of an object, a model, or everything; and its opposite, a block that invalidates nothing."""

from django.db import connections, models

from cacheops.orm.commit import invalidate
from cacheops.orm.connection import CachedConnection, cacheops_of
from cacheops.orm.dependencies import value_of
from cacheops.orm.no_invalidation import is_invalidation_disabled
from cacheops.orm.no_invalidation import no_invalidation as no_invalidation
from cacheops.orm.schema import fields_by_column, is_tracked, key_columns, models_by_table
from cacheops.regions import regions
from cacheops.regions.outbox import primaries
from cacheops.regions.region import renew_tags
from cacheops.writing.changes import Changes, ChangeSource
from cacheops.writing.intent import WriteIntent, known_columns


def invalidate_obj(obj: models.Model, using: str | None = None) -> None:
    """Invalidate every query that this object, as it is in memory, is or could be part of."""
    database = using or obj._state.db or "default"
    changes = Changes()
    for model in concrete_models(type(obj)):
        table = model._meta.db_table
        if is_tracked(table):
            columns = known_columns(database, table).union(key_columns(table))
            row = {
                column: value_of(table, column, getattr(obj, field.attname))
                for column, field in fields_by_column(table).items()
                if column in columns
            }
            changes.add(table, [row], ChangeSource.MANUAL)
    _apply(database, changes)


def invalidate_model(model: type[models.Model], using: str | None = None) -> None:
    """Invalidate every query that reads this model, in one database or in all that the cache serves."""
    tables = [each._meta.db_table for each in concrete_models(model)]
    _invalidate_tables(tables, [using] if using else allowed_databases())


def concrete_models(model: type[models.Model]) -> list[type[models.Model]]:
    """Return the models in whose tables an instance has a row: its own, and its parents'."""
    return [model._meta.concrete_model or model, *model._meta.get_parent_list()]


def invalidate_database(database: str) -> None:
    """Invalidate every query of a database; do nothing where the cache does not serve it."""
    if database in cached_databases():
        _invalidate_tables(list(models_by_table()), [database])


def invalidate_all() -> None:
    """Invalidate every entry: of all models in all databases, of functions, views and fragments.

    Raise StoreUnavailable, at the end, for regions that don't answer.
    """
    _invalidate_tables(list(models_by_table()), allowed_databases())
    if not is_invalidation_disabled():
        regions.invalidate(renew_tags)


def cached_databases() -> list[str]:
    """Return the aliases of the databases whose engine is ours."""
    return [alias for alias in connections if cacheops_of(alias).is_cached]


def allowed_databases() -> list[str]:
    """Return those of them that may be asked: a test case of Django forbids each database that it does not name."""
    return [alias for alias in cached_databases() if not cacheops_of(alias).is_forbidden()]


def primary_databases() -> list[str]:
    """Return those of these that are written: all but the replicas that are followed."""
    return primaries(allowed_databases())


def _invalidate_tables(tables: list[str], databases: list[str]) -> None:
    for database in databases:
        changes = Changes()
        for table in tables:
            if is_tracked(table):
                changes.add(table, None, ChangeSource.MANUAL)
        _apply(database, changes)


def _apply(database: str, changes: Changes) -> None:
    """Announce changes now, or with the open transaction, whose other readers see its writes only then."""
    if not changes or is_invalidation_disabled():
        return
    connection = cacheops_of(database)
    if isinstance(connection, CachedConnection) and connection.in_transaction():
        connection.transaction.changes.update(changes)
        connection.transaction.mark_raw()
        intent = WriteIntent(database, changes)
        intent.mark()
        intent.cancel()  # which the commit repeats, and tells of
    else:
        invalidate(database, changes)
    if isinstance(connection, CachedConnection):
        connection.log_invalidated(changes.tables)
