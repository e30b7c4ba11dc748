"""connection.queries, and so assertNumQueries: past the cache, what Django's own engine would have run."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from django.db import connections, transaction
from django.db.utils import load_backend
from django.test.utils import CaptureQueriesContext

from cacheops import bypassed
from tests.testapp import world
from tests.testapp.models import Book, Tag
from tests.testapp.writes import writes_for

pytestmark = pytest.mark.django_db(databases="__all__")
READS = {"get": lambda db: Book.objects.using(db).get(pk=1), "list": lambda db: list(Book.objects.using(db).all())}
ENGINES = {"postgresql": "django.db.backends.postgresql", "sqlite": "django.db.backends.sqlite3"}


@contextmanager
def plain(database: str) -> Iterator[None]:
    """Have Django's own engine serve a database within the block."""
    ours = connections[database]
    engine = load_backend(ENGINES[ours.vendor])
    theirs = connections[database] = engine.DatabaseWrapper(ours.settings_dict, database)
    try:
        yield
    finally:
        connections[database] = ours
        theirs.connection.close()  # the driver's: Django's engine keeps one that SQLite has in memory


def kinds(database: str, write: Callable[[str], Any]) -> list[str]:
    """Return the first words of the statements that are in `connection.queries`, once the library is as it was."""
    world.empty(database)
    world.fill(database)
    with CaptureQueriesContext(connections[database]) as captured:
        write(database)
    return [query["sql"].split()[0].rstrip(";") for query in captured.captured_queries]


def statements(name: str) -> Callable[[str], Any]:
    def write(database: str) -> None:
        with bypassed():
            ALONE[name](database)

    return write


ALONE: dict[str, Callable[[str], Any]] = {
    **READS,
    "save": lambda db: Book.objects.using(db).get(pk=2).save(),
    "save_fields": lambda db: Book.objects.using(db).get(pk=2).save(update_fields=["pages"]),
    "create": lambda db: Tag.objects.using(db).create(name="counted"),
    "bulk_create": lambda db: Tag.objects.using(db).bulk_create([Tag(name="a"), Tag(name="b")]),
    "update": lambda db: Book.objects.using(db).filter(pk=2).update(status="gone", author_id=3),
    "delete": lambda db: Tag.objects.using(db).all().delete(),
    "raw": lambda db: connections[db].cursor().execute("UPDATE testapp_tag SET name = name"),
    "atomic": lambda db: transaction.atomic(using=db)(Tag.objects.using(db).create)(name="within"),
}


@pytest.mark.parametrize("name", ALONE)
def test_past_the_cache_each_statement_counts_as_djangos(name: str, library: str) -> None:
    for _ in range(2):
        list(Book.objects.using(library).filter(status="out", author_id=1))  # whose conditions a write must tell of
    ours = kinds(library, statements(name))
    with plain(library):
        expected = kinds(library, statements(name))
    assert ours == expected


SOME = {
    *(
        "save",
        "save_new",
        "child_save",
        "get_or_create_new",
        "update_or_create_old",
        "update",
        "update_f",
        "update_joined",
    ),
    *("delete", "queryset_delete", "bulk_create", "bulk_create_ignoring", "bulk_update", "copy", "raw_update"),
}


def test_within_a_transaction_every_write_counts_as_djangos(library: str, settings: Any) -> None:
    settings.CACHEOPS_ENABLED = False
    writes = {name: write for name, write in writes_for(connections[library].vendor).items() if name in SOME}
    assert len(writes) > 10
    ours = {name: kinds(library, in_a_block(write)) for name, write in writes.items()}
    with plain(library):
        expected = {name: kinds(library, in_a_block(write)) for name, write in writes.items()}
    assert ours == expected


def in_a_block(write: Callable[[str], Any]) -> Callable[[str], Any]:
    def run(database: str) -> None:
        with transaction.atomic(using=database):
            write(database)

    return run
