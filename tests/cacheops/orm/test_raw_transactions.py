"""Transactions that Django does not know of, begun by raw SQL or by the driver: the driver's status is the truth."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from django.db import connections, transaction
from psycopg import IsolationLevel
from psycopg.pq import TransactionStatus
from psycopg.sql import SQL, Composed, Identifier

from cacheops import no_invalidation, rows_changed
from tests.races.actors import Actor
from tests.testapp.cached import from_database, is_hit
from tests.testapp.compare import plain
from tests.testapp.models import Author, Book, Note, Tag

pytestmark = pytest.mark.django_db(databases="__all__")

only_postgres = pytest.mark.parametrize("database", ["default"])
only_sqlite = pytest.mark.parametrize("database", ["other"])


def run(alias: str, *texts: Any) -> None:
    with connections[alias].cursor() as cursor:
        for sql in texts:
            cursor.execute(sql)


def in_transaction(alias: str) -> bool:
    """Return whether a transaction is open, as the driver knows it."""
    driver = connections[alias].connection
    if connections[alias].vendor == "sqlite":
        return driver.in_transaction
    return driver is not None and driver.info.transaction_status != TransactionStatus.IDLE


@pytest.fixture(autouse=True)
def no_transaction_left(library: str) -> Iterator[None]:
    yield
    if in_transaction(library):
        run(library, "ROLLBACK")


def title(alias: str, pk: int = 1) -> Callable[[], str]:
    return lambda: Book.objects.using(alias).get(pk=pk).title


def elsewhere(act: Callable[[], Any]) -> Any:
    """Return what another session's thread gets."""
    return Actor(act).result()


# --- reads ------------------------------------------------------------------------------------------------------------


@contextmanager
def by_sql(alias: str) -> Iterator[None]:
    run(alias, "BEGIN ISOLATION LEVEL REPEATABLE READ")
    yield
    run(alias, "COMMIT")


@contextmanager
def by_sql_in_two_steps(alias: str) -> Iterator[None]:
    run(alias, "START TRANSACTION", "SET TRANSACTION ISOLATION LEVEL SERIALIZABLE")
    yield
    run(alias, "END")


@contextmanager
def by_driver(alias: str) -> Iterator[None]:
    driver = connections[alias].connection
    driver.isolation_level = IsolationLevel.REPEATABLE_READ
    try:
        with driver.transaction():
            yield
    finally:
        driver.isolation_level = None


@contextmanager
def by_the_drivers_cursor(alias: str) -> Iterator[None]:
    driver = connections[alias].connection
    driver.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
    yield
    driver.execute("COMMIT")


@only_postgres
@pytest.mark.parametrize("opened", [by_sql, by_sql_in_two_steps, by_driver, by_the_drivers_cursor])
def test_a_snapshot_that_django_does_not_know_of_fills_nothing(opened: Callable[[str], Any], library: str) -> None:
    read = title(library)
    with opened(library):
        old = read()
        elsewhere(lambda: Book.objects.filter(pk=1).update(title="newer"))
        assert read() == old  # its own snapshot's
        assert not is_hit(library, read)
    assert read() == "newer"


@only_postgres
def test_an_isolation_set_on_the_driver_is_a_snapshots(library: str) -> None:
    read, driver = title(library), connections[library].connection
    read()
    driver.isolation_level = IsolationLevel.SERIALIZABLE
    try:
        with transaction.atomic(using=library):
            assert not is_hit(library, read)
    finally:
        driver.isolation_level = None
    assert is_hit(library, read)


def test_a_raw_transaction_is_not_answered_and_its_end_is_noticed(library: str) -> None:
    read = title(library)
    read()
    assert is_hit(library, read)
    run(library, "BEGIN")
    assert not is_hit(library, read)
    run(library, "ROLLBACK")
    assert is_hit(library, read)


# --- writes -----------------------------------------------------------------------------------------------------------


def save(alias: str) -> None:
    book = Book.objects.using(alias).get(pk=1)
    book.title = "written"
    book.save()


def save_fields(alias: str) -> None:
    book = Book.objects.using(alias).get(pk=1)
    book.title = "written"
    book.save(update_fields=["title"])


WRITES: dict[str, Callable[[str], Any]] = {
    "save": save,
    "save_fields": save_fields,
    "update": lambda alias: Book.objects.using(alias).filter(pk=1).update(title="written"),
    "raw": lambda alias: run(alias, "UPDATE testapp_book SET title = 'written' WHERE id = 1"),
}

# One text, as the driver takes it.
GIVEN: dict[str, Callable[[str], Any]] = {
    "text": str,
    "bytes": str.encode,
    "sql": SQL,
    "composed": lambda text: Composed([SQL(text)]),
}


@pytest.mark.parametrize("name", WRITES)
def test_a_write_in_a_raw_transaction_commits_with_it_and_invalidates(name: str, library: str) -> None:
    read, count = title(library), Book.objects.using(library).filter(title="written").count
    old = read()
    assert count() == 0
    run(library, "BEGIN")
    WRITES[name](library)
    assert read() == "written"
    assert in_transaction(library)
    run(library, "ROLLBACK")
    assert (read(), count()) == (old, 0)
    run(library, "BEGIN")
    WRITES[name](library)
    run(library, "COMMIT")
    assert (read(), count()) == ("written", 1)
    assert is_hit(library, read)


def test_a_row_can_be_created_in_a_raw_transaction(library: str) -> None:
    tags = Tag.objects.using(library)
    names = tags.filter(name="unheard").count
    assert names() == 0
    run(library, "BEGIN")
    tags.create(name="unheard")
    run(library, "COMMIT")
    assert names() == 1


@only_postgres
@pytest.mark.parametrize("name", WRITES)
def test_others_see_a_raw_transactions_write_when_it_is_committed(name: str, library: str) -> None:
    read = title(library)
    old = read()
    run(library, "BEGIN")
    WRITES[name](library)
    assert [elsewhere(read) for _ in range(2)] == [old, old]
    run(library, "COMMIT")
    assert elsewhere(read) == "written"


@only_postgres
@pytest.mark.parametrize("name", WRITES)
def test_others_see_a_write_that_the_driver_commits(name: str, library: str) -> None:
    """Nothing passes us by which the commit could be announced: the marks were there before, and stand."""
    read = title(library)
    old = read()
    with connections[library].connection.transaction():
        WRITES[name](library)
        assert elsewhere(read) == old
    assert [elsewhere(read) for _ in range(2)] == ["written", "written"]
    run(library, "SELECT 1")  # the next statement sees that the transaction is over
    elsewhere(read)
    assert is_hit(library, read)


@only_postgres
@pytest.mark.parametrize("given", GIVEN)
def test_a_text_that_begins_a_transaction_and_writes_leaves_it_open(given: str, library: str) -> None:
    read = title(library)
    old = read()
    run(library, GIVEN[given]("BEGIN; UPDATE testapp_book SET title = 'written' WHERE id = 1"))
    assert in_transaction(library)
    assert elsewhere(read) == old
    run(library, GIVEN[given]("COMMIT"))
    assert elsewhere(read) == "written"
    assert elsewhere(lambda: is_hit(library, read))  # the marks of the raw transaction are cleared with it


@only_postgres
@pytest.mark.parametrize("given", GIVEN)
def test_a_table_that_is_only_read_is_not_invalidated(given: str, library: str) -> None:
    read = title(library)
    read()
    run(library, GIVEN[given]("SELECT title FROM testapp_book"))
    assert is_hit(library, read)


@only_postgres
def test_a_table_that_a_composed_statement_names_is_invalidated(library: str) -> None:
    read = title(library)
    read()
    written = SQL("UPDATE {} SET title = %s WHERE id = 1").format(Identifier("testapp_book"))
    with connections[library].cursor() as cursor:
        cursor.executemany(written, [["first"], ["written"]])
    assert read() == "written"


@only_postgres
def test_what_a_receiver_tells_of_a_text_that_begins_a_transaction_is_of_its_commit(library: str) -> None:
    def also(sender: Any, database: str, **kwargs: Any) -> None:
        rows_changed.send(Author, database=database)

    def name() -> str:
        return Author.objects.using(library).get(pk=1).name

    name()
    rows_changed.connect(also, sender=Tag)
    try:
        run(library, "BEGIN; UPDATE testapp_tag SET name = name")
    finally:
        rows_changed.disconnect(also, sender=Tag)
    with no_invalidation():
        run(library, "UPDATE testapp_author SET name = 'follows' WHERE id = 1")
    assert elsewhere(name) != "follows"
    run(library, "COMMIT")
    assert name() == "follows"


@only_postgres
def test_a_copy_in_a_raw_transaction(library: str) -> None:
    read = Note.objects.using(library).filter(text="copied").count
    assert read() == 0
    run(library, "BEGIN")
    with (
        connections[library].cursor() as cursor,
        cursor.copy("COPY testapp_note (text, content_type_id, object_id) FROM STDIN") as copy,
    ):
        copy.write_row(("copied", 1, 1))
    assert elsewhere(read) == 0
    run(library, "COMMIT")
    assert read() == 1


@only_postgres
def test_raw_sql_commits_what_was_written_without_autocommit(library: str) -> None:
    read = title(library)
    read()
    transaction.set_autocommit(False, using=library)
    try:
        Book.objects.using(library).filter(pk=1).update(title="written")
        run(library, "COMMIT")
        assert elsewhere(read) == "written"
        transaction.rollback(using=library)
    finally:
        transaction.set_autocommit(True, using=library)
    assert read() == "written"


@only_postgres
def test_django_commits_a_raw_transaction(library: str) -> None:
    read = title(library)
    read()
    run(library, "BEGIN")
    save(library)
    transaction.commit(using=library)
    assert elsewhere(read) == "written"


@only_sqlite
def test_a_script_ends_a_raw_transaction(library: str) -> None:
    connection: Any = connections[library]
    read = title(library)
    read()
    run(library, "BEGIN")
    save(library)
    with connection.cursor() as cursor:
        cursor.executescript("UPDATE testapp_book SET pages = 7 WHERE id = 1")
    assert read() == "written"
    assert from_database(read) == plain("written")


@only_postgres  # SQLite's is in memory, and not closed
def test_closing_ends_a_raw_transaction(library: str) -> None:
    read = title(library)
    old = read()
    run(library, "BEGIN")
    save(library)
    connections[library].close()
    read()
    assert is_hit(library, read)
    assert read() == old
