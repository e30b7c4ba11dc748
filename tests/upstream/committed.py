"""Have Django's suite commit what it writes, and read each entry back.

Django's TestCase never commits, and the cache stores nothing of what an open transaction has written: most of the suite
would only read past it. So each test makes its data anew, commits it, and leaves empty tables; and what a reader has
just filled is looked up at once, so that every value passes the entries' format and comes from a hit.
"""

import sqlite3
from collections.abc import Sequence
from typing import Any

from django.core.management.color import no_style
from django.db import connections
from django.test import TestCase

from cacheops.invalidation import invalidate_database
from cacheops.reading import fetch
from cacheops.reading.lease import Lease
from cacheops.reading.lookup import look_up

# Filled by signals of `migrate`, once: what tests add to them goes.
KEPT = ("auth_permission", "django_content_type", "django_site")


class Pages:
    """SQLite's test databases as `migrate` left them, page by page: what it put into tables comes back, too."""

    def __init__(self) -> None:
        self._copies: dict[str, sqlite3.Connection] = {}

    def learn(self, alias: str) -> None:
        if alias not in self._copies:
            self._copies[alias] = sqlite3.connect(":memory:")
            self._driver(alias).backup(self._copies[alias])

    def restore(self, alias: str) -> None:
        self._copies[alias].backup(self._driver(alias))
        invalidate_database(alias)  # no statement has told of it

    def _driver(self, alias: str) -> sqlite3.Connection:
        connections[alias].ensure_connection()
        driver: sqlite3.Connection = connections[alias].connection
        return driver


class Tables:
    """The tables of other test databases that tests may leave rows in."""

    def __init__(self) -> None:
        self._names: dict[str, list[str]] = {}
        self._last: dict[tuple[str, str], int] = {}

    def learn(self, alias: str) -> None:
        """Note which tables there are, and what `migrate` has put into them, before the first test."""
        if alias in self._names:
            return
        connection = connections[alias]
        found = connection.introspection.django_table_names(only_existing=True, include_views=False)
        self._names[alias] = [name for name in found if name not in KEPT]
        with connection.cursor() as cursor:
            for name in KEPT:
                cursor.execute(f"SELECT coalesce(max(id), 0) FROM {name}")
                self._last[alias, name] = cursor.fetchone()[0]

    def restore(self, alias: str) -> None:
        connection = connections[alias]
        written = [name for name in self._names[alias] if self._has_rows(connection, name)]
        connection.ops.execute_sql_flush(
            connection.ops.sql_flush(no_style(), written, allow_cascade=True) if written else []
        )
        with connection.cursor() as cursor:
            for name in KEPT:
                cursor.execute(f"DELETE FROM {name} WHERE id > %s", [self._last[alias, name]])

    def _has_rows(self, connection: Any, name: str) -> bool:
        with connection.cursor() as cursor:
            cursor.execute(f"SELECT 1 FROM {connection.ops.quote_name(name)} LIMIT 1")
            return cursor.fetchone() is not None


def load_and_read_back(lease: Lease, load: Any) -> Sequence[Any]:
    loaded = LOAD_AND_FILL(lease, load)
    found = look_up(lease.region, lease.request)
    return loaded if found is None else found


LOAD_AND_FILL = fetch.load_and_fill


def install() -> None:
    kinds = {True: Pages(), False: Tables()}
    set_up: Any = vars(TestCase)["_fixture_setup"].__func__

    def set_up_and_commit(case: Any) -> None:
        for alias in case._databases_names(include_mirrors=False):
            kinds[connections[alias].vendor == "sqlite"].learn(alias)
        try:
            set_up(case)
        except BaseException:
            restore(case)
            raise

    def restore(case: Any) -> None:
        for alias in case._databases_names(include_mirrors=False):
            kinds[connections[alias].vendor == "sqlite"].restore(alias)

    TestCase._databases_support_transactions = classmethod(lambda cls: False)
    TestCase._fixture_setup, TestCase._fixture_teardown = classmethod(set_up_and_commit), restore
    fetch.load_and_fill = load_and_read_back
