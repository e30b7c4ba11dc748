"""Empty the databases after a test that commits: only tables that hold something, and without signals.

Django's own flush truncates all tables and sends post_migrate, which makes the content types and permissions of every
app anew: most of the time of many tests.
"""

from typing import Any

from django.core.management.color import no_style
from django.db import connections
from django.test import TransactionTestCase

MADE_BY_MIGRATE = {"django_content_type", "auth_permission"}  # no test changes them


def flush_after_tests() -> None:
    """Have each test case that commits end so, in this process."""
    TransactionTestCase._fixture_teardown = empty_databases  # type: ignore[attr-defined]


def empty_databases(case: Any) -> None:
    """Do what Django does at the end of such a test case."""
    for alias in case._databases_names(include_mirrors=False):
        empty(connections[alias])


def empty(connection: Any) -> None:
    """Remove all rows of a database's models but those that stay."""
    if tables := filled_tables(connection):
        statements = connection.ops.sql_flush(no_style(), tables, allow_cascade=True)
        connection.ops.execute_sql_flush(statements)


def filled_tables(connection: Any) -> list[str]:
    """Return the tables of a database's models that hold rows."""
    names = connection.introspection.django_table_names(only_existing=True, include_views=False)
    wanted = sorted(set(names) - MADE_BY_MIGRATE)
    asked = [f"SELECT '{name}' WHERE EXISTS (SELECT 1 FROM {connection.ops.quote_name(name)})" for name in wanted]
    with connection.cursor() as cursor:
        cursor.execute(" UNION ALL ".join(asked))
        return [name for (name,) in cursor.fetchall()]
