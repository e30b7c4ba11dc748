"""Small questions of our own to a database, that no caller sees: asked of the driver, not counted as queries."""

from collections.abc import Sequence
from contextlib import closing
from typing import Any

from django.db import connections

from cacheops.databases import name_of
from cacheops.engine import Component, register_component

# One row, one column: null where there is no such table.
EXISTS = {
    "postgresql": "SELECT to_regclass('{}')",
    "sqlite": "SELECT max(name) FROM sqlite_master WHERE name = '{}'",
}


class KnownTables(Component):
    """The databases and tables that were seen: they stay."""

    def __init__(self) -> None:
        self.seen: set[tuple[str, str]] = set()

    def settings_changed(self) -> None:
        self.seen.clear()


known_tables = register_component(KnownTables())


def has_table(database: str, table: str) -> bool:
    """Say whether a table of ours is there: a project may not have migrated yet."""
    connection: Any = connections[database]
    seen = name_of(database), table
    if seen in known_tables.seen:
        return True
    if query_driver(connection, EXISTS[connection.vendor].format(table))[0][0] is None:
        return False
    known_tables.seen.add(seen)
    return True


def query_uncounted(database: str, table: str, sql: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
    """Return the rows of a statement on one of our tables, none where it is not there. `%s` stands for a parameter."""
    if not has_table(database, table):
        return []
    connection: Any = connections[database]
    return query_driver(connection, sql.replace("%s", "?") if connection.vendor == "sqlite" else sql, parameters)


def query_driver(connection: Any, sql: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
    """Run a statement in the driver's own form. Raise Django's errors, as a query of the caller's would."""
    connection.close_if_health_check_failed()
    connection.ensure_connection()
    with connection.wrap_database_errors, closing(connection.connection.cursor()) as cursor:
        cursor.execute(sql, tuple(parameters))
        return [tuple(row) for row in cursor.fetchall()]


def run(connection: Any, *statements: str) -> None:
    """Run statements of PostgreSQL in one transaction, past the cache: they change no row."""
    connection.ensure_connection()
    with connection.wrap_database_errors, connection.connection.transaction():
        for statement in statements:
            connection.connection.execute(statement)
