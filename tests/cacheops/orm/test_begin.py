"""BEGIN goes out with the first write of a transaction; all else stays as Django and the driver have it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.db import connections, transaction
from psycopg import IsolationLevel
from psycopg.pq import Trace

from tests.servers import on_servers
from tests.testapp.models import Book, Tag

pytestmark = [
    pytest.mark.django_db(databases="__all__"),
    pytest.mark.parametrize("database", on_servers("default")),
]


@pytest.fixture
def sent(library: str, tmp_path: Path) -> Callable[[Callable[[], Any]], list[str]]:
    """Return what runs a function, and returns the texts that it sent to PostgreSQL."""

    def texts(act: Callable[[], Any]) -> list[str]:
        server, path = connections[library].connection.pgconn, tmp_path / "trace"
        with path.open("w+") as file:
            server.trace(file.fileno())
            server.set_trace_flags(Trace.SUPPRESS_TIMESTAMPS)
            act()
            server.untrace()
        return [line.split("\t ")[1].strip('"') for line in path.read_text().splitlines() if "\tQuery\t" in line]

    return texts


WRITES: dict[str, Callable[[str], Any]] = {
    "create": lambda alias: Tag.objects.using(alias).create(name="begun"),
    "bulk_create": lambda alias: Tag.objects.using(alias).bulk_create([Tag(name="a"), Tag(name="b")]),
    "save": lambda alias: Book(pk=1, pages=5).save(using=alias, update_fields=["pages"]),
    "update": lambda alias: Book.objects.using(alias).filter(pk=1).update(pages=6),
}


@pytest.mark.parametrize("name", WRITES)
def test_it_takes_no_message_of_its_own(
    name: str, library: str, sent: Callable[[Callable[[], Any]], list[str]]
) -> None:
    def write() -> None:
        with transaction.atomic(using=library):
            WRITES[name](library)

    Tag.objects.using(library).count()
    Book.objects.using(library).count()
    write()  # what the catalogue says is known from here on
    Tag.objects.using(library).all().delete()
    texts = sent(write)
    assert [text.split()[0] for text in texts] == ["BEGIN;", "COMMIT"]


def test_a_level_of_isolation_is_named_by_the_driver(
    library: str, sent: Callable[[Callable[[], Any]], list[str]]
) -> None:
    driver = connections[library].connection
    driver.isolation_level = IsolationLevel.REPEATABLE_READ
    try:
        texts = sent(transaction.atomic(using=library)(lambda: WRITES["create"](library)))
    finally:
        driver.isolation_level = None
    assert "BEGIN ISOLATION LEVEL REPEATABLE READ" in texts
    assert not [text for text in texts if text.startswith("BEGIN;")]


def test_rows_are_locked_and_streamed_behind_it(library: str) -> None:
    with transaction.atomic(using=library):
        WRITES["create"](library)
        assert list(Book.objects.using(library).select_for_update().iterator())  # of a cursor that ends with it


def test_what_follows_a_commit_in_a_block_is_a_transaction_again(library: str) -> None:
    def write() -> None:
        with transaction.atomic(using=library), connections[library].cursor() as cursor:
            Tag.objects.using(library).create(name="kept")
            cursor.execute("COMMIT")
            cursor.execute("INSERT INTO testapp_tag (name) VALUES ('undone')")
            raise KeyError

    before = set(Tag.objects.using(library).values_list("name", flat=True))
    with pytest.raises(KeyError):
        write()
    assert set(Tag.objects.using(library).values_list("name", flat=True)) == before | {"kept"}
