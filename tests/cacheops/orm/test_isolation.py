"""Transactions that a statement makes snapshots are neither answered by the cache nor fill it."""

from collections.abc import Callable
from typing import Any

import pytest
from django.db import connections, transaction
from psycopg.sql import SQL, Identifier

from tests.races.actors import Actor
from tests.servers import on_servers
from tests.testapp.cached import is_hit
from tests.testapp.models import Book

pytestmark = [
    pytest.mark.django_db(databases="__all__"),
    pytest.mark.parametrize("database", on_servers("default")),
]


def run(alias: str, sql: str) -> None:
    with connections[alias].cursor() as cursor:
        cursor.execute(sql)


def title(alias: str) -> Callable[[], str]:
    return lambda: Book.objects.using(alias).get(pk=1).title


SETS_ISOLATION: dict[str, tuple[Any, Any]] = {
    "name": ("SET LOCAL transaction_isolation TO %s", ["repeatable read"]),
    "composed": (SQL("SET TRANSACTION ISOLATION {}").format(SQL("LEVEL SERIALIZABLE")), None),
    "bytes": (b"SET TRANSACTION ISOLATION LEVEL REPEATABLE READ", None),
}


@pytest.mark.parametrize("way", SETS_ISOLATION)
def test_a_transaction_that_is_made_a_snapshots_fills_nothing(way: str, library: str) -> None:
    read = title(library)
    with transaction.atomic(using=library):
        with connections[library].cursor() as cursor:
            cursor.execute(*SETS_ISOLATION[way])
        old = read()
        Actor(lambda: Book.objects.filter(pk=1).update(title="newer")).result()
        assert read() == old
    assert read() == "newer"


SETS_DEFAULT: dict[str, tuple[Any, Any]] = {
    "text": ("SET default_transaction_isolation TO 'repeatable read'", None),
    "parameters": ("SELECT set_config(%s, %s, false)", ["default_transaction_isolation", "repeatable read"]),
    "named": (
        "SELECT set_config(%(name)s, %(to)s, false)",
        {"name": "Default_Transaction_Isolation", "to": "repeatable read"},
    ),
    "composed": (SQL("SET {} TO 'serializable'").format(Identifier("default_transaction_isolation")), None),
}


@pytest.mark.parametrize("way", SETS_DEFAULT)
def test_transactions_that_the_session_makes_snapshots_fill_nothing(way: str, library: str) -> None:
    read = title(library)
    with transaction.atomic(using=library):
        read()
        assert is_hit(library, read)
    try:
        with connections[library].cursor() as cursor:
            cursor.execute(*SETS_DEFAULT[way])
        with transaction.atomic(using=library):
            assert not is_hit(library, read)
    finally:
        run(library, "RESET default_transaction_isolation")
    with transaction.atomic(using=library):
        assert is_hit(library, read)


LEVEL = "default_transaction_isolation"


@pytest.mark.parametrize("ends", ["commit", "rollback"])
def test_what_a_transaction_sets_for_those_that_follow_is_not_its_own_and_ends_with_it(ends: str, library: str) -> None:
    read = title(library)
    read()
    run(library, f"SET {LEVEL} TO 'repeatable read'")
    try:
        with transaction.atomic(using=library):
            run(library, f"SET {'LOCAL' if ends == 'commit' else 'SESSION'} {LEVEL} TO 'read committed'")
            assert not is_hit(library, read)  # it has a snapshot still
            transaction.set_rollback(ends == "rollback", using=library)
        with transaction.atomic(using=library):
            assert not is_hit(library, read)
    finally:
        run(library, f"RESET {LEVEL}")
    assert is_hit(library, read)
