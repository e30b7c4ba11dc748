"""Writes that come to the database by ways of their own: several in one text, scripts, streams, the database itself."""

from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import pytest
from django.contrib.contenttypes.models import ContentType
from django.db import connections, transaction

from tests.testapp.cached import from_database, is_hit
from tests.testapp.compare import plain
from tests.testapp.models import Book, Note, Tag
from tests.testapp.rare import NO_STALL, Crate, Market, Stall, Trader

pytestmark = pytest.mark.django_db(databases="__all__")

only_postgres = pytest.mark.parametrize("database", ["default"])
only_sqlite = pytest.mark.parametrize("database", ["other"])

Read = Callable[[], Any]


def notes(alias: str) -> Read:
    rows = Note.objects.using(alias).filter(text="good").values_list("text", "object_id")
    return lambda: list(rows.all())


def assert_fresh(*reads: Read) -> None:
    assert [plain(read()) for read in reads] == [from_database(read) for read in reads]


def run(alias: str, sql: str) -> None:
    with connections[alias].cursor() as cursor:
        cursor.execute(sql)


TEXTS = {
    "after_setting": "SET LOCAL lock_timeout = '5s'; TRUNCATE testapp_note",
    "after_select": "SELECT 1; TRUNCATE testapp_note",
    "after_comments": "SELECT 1; /* all; of */ -- them\n TRUNCATE testapp_note;",
    "in_its_transaction": "BEGIN; TRUNCATE testapp_note; COMMIT",
    "block": "SELECT 1; DO $$ BEGIN TRUNCATE testapp_note; END $$",
    "altered": "SELECT 1; ALTER TABLE testapp_note ALTER text TYPE varchar(50) USING 'bad'",
}


@only_postgres
@pytest.mark.parametrize("name", TEXTS)
def test_a_write_behind_another_statement(name: str, library: str) -> None:
    read = notes(library)
    assert read()
    run(library, TEXTS[name])
    assert read() == []


@only_postgres
def test_a_text_that_commits_what_was_changed_before_it(library: str) -> None:
    """The driver does not tell Django: what stood open is committed by the text."""
    tags = Tag.objects.using(library).filter(name="new")
    read, count = notes(library), tags.count
    assert read()
    assert count() == 1
    transaction.set_autocommit(False, using=library)
    try:
        tags.update(name="newer")
        run(library, "TRUNCATE testapp_note; COMMIT")
        # Another process asks meanwhile; here the transaction goes on, and its own reads are not cached.
    finally:
        transaction.rollback(using=library)
        transaction.set_autocommit(True, using=library)
    assert read() == []
    assert count() == 0


READING = {
    "ends": "SELECT text FROM testapp_note;",
    "comment": "SELECT text FROM testapp_note; -- TRUNCATE would be one",
    "two": "SELECT text FROM testapp_note; SELECT 1 FROM testapp_note",
    "function": "SELECT replace(text, 'a', 'b') FROM testapp_note",
    "named": "SELECT text AS execute FROM testapp_note WHERE text NOT IN ('truncate', 'drop', 'do')",
    "explained": "BEGIN; /* then */ (SELECT count(*) FROM testapp_note); COMMIT",
}


@only_postgres
@pytest.mark.parametrize("name", READING)
def test_a_text_that_only_reads(name: str, library: str) -> None:
    read = notes(library)
    assert read()
    run(library, READING[name])
    assert is_hit(library, read)


@only_postgres
@pytest.mark.parametrize("inside", [False, True])
def test_rows_that_a_streamed_write_returns(inside: bool, library: str) -> None:
    read = notes(library)
    assert read()
    block = transaction.atomic(using=library) if inside else nullcontext()
    with block, connections[library].cursor() as cursor:
        rows = cursor.stream("UPDATE testapp_note SET text = %s RETURNING text", ["bad"])
        assert {text for (text,) in rows} == {"bad"}
    assert read() == []


@only_postgres
def test_a_streamed_read_changes_nothing(library: str) -> None:
    read = notes(library)
    stored = read()
    with connections[library].cursor() as cursor:
        rows = list(cursor.stream("SELECT text, object_id FROM testapp_note WHERE text = 'good'"))
    assert rows == stored
    assert is_hit(library, read)


@only_postgres
def test_a_streamed_write_that_fails(library: str) -> None:
    read = notes(library)
    stored = read()
    with connections[library].cursor() as cursor, pytest.raises(Exception, match="no_such_column"):
        list(cursor.stream("UPDATE testapp_note SET no_such_column = 1 RETURNING id"))
    assert read() == stored
    assert_fresh(read)


@only_sqlite
@pytest.mark.parametrize("inside", [False, True])
def test_a_script(inside: bool, library: str) -> None:
    read, count = notes(library), Tag.objects.using(library).filter(name="new").count
    assert read()
    assert count() == 1
    script = "UPDATE testapp_note SET text = 'bad'; DELETE FROM testapp_book_tags;"
    if inside:
        with transaction.atomic(using=library):
            Tag.objects.using(library).filter(name="new").update(name="newer")
            with connections[library].cursor() as cursor:
                cursor.executescript(script)
            assert_fresh(read, count)
    else:
        with connections[library].cursor() as cursor:
            cursor.executescript(script)
    assert_fresh(read, count)
    assert read() == []


@only_sqlite
def test_a_script_has_committed_what_is_then_rolled_back(library: str) -> None:
    read, count = notes(library), Tag.objects.using(library).filter(name="new").count
    assert read()
    assert count() == 1
    with transaction.atomic(using=library):
        Tag.objects.using(library).filter(name="new").update(name="newer")
        with connections[library].cursor() as cursor:
            cursor.executescript("UPDATE testapp_note SET text = 'bad'")
        transaction.set_rollback(True, using=library)
    assert_fresh(read, count)
    assert count() == 0


@only_postgres
def test_a_connection_closed_within_a_transaction_forgets_its_changes(library: str) -> None:
    books = Book.objects.using(library).filter(status="out")
    books.count()
    with transaction.atomic(using=library):
        books.update(status="gone")
        connections[library].close()
    assert is_hit(library, books.count)
    assert_fresh(books.count)


@only_postgres
def test_tenants_of_one_database_under_prefixes_of_their_own(library: str, settings: Any) -> None:
    """Their SQL is the same; the session's search path says whose tables it reads."""
    prefixes = {path: f"{settings.CACHEOPS_PREFIX}-{path}" for path in ("public", "tenant")}
    path = "public"
    settings.CACHEOPS_PREFIX = lambda: prefixes[path]
    run(library, "CREATE SCHEMA tenant; CREATE TABLE tenant.testapp_note (LIKE public.testapp_note INCLUDING ALL)")
    kind = ContentType.objects.db_manager(library).get_for_model(Book)
    counts = []
    try:
        for path in ("public", "tenant", "public", "tenant"):
            run(library, f"SET search_path TO {path}, public")
            assert_fresh(Note.objects.using(library).count)
            Note.objects.using(library).create(text="one more", object_id=1, content_type=kind)
            counts.append(Note.objects.using(library).count())
            assert is_hit(library, Note.objects.using(library).count)
    finally:
        run(library, "RESET search_path; DROP SCHEMA tenant CASCADE")
    assert counts == [counts[0], 1, counts[0] + 1, 2]


@pytest.mark.django(6, 1)
@pytest.mark.parametrize("way", ["delete", "queryset_delete", "queryset_delete_all", "raw_delete", "raw"])
def test_what_the_database_deletes_by_itself(way: str, library: str) -> None:
    markets = Market.objects.using(library)
    markets.create(pk=7, name="kept")
    Stall.objects.using(library).create(pk=NO_STALL, market_id=7)
    market = markets.create(pk=8, name="gone")
    stall = Stall.objects.using(library).create(pk=2, market=market)
    crate = Crate.objects.using(library).create(stall=stall)
    Crate.objects.using(library).create(stall_id=NO_STALL, inside=crate)
    Trader.objects.using(library).create(market=market, stall=stall)
    reads: list[Read] = [
        *(rows.using(library).count for rows in (Stall.objects, Crate.objects, Trader.objects)),
        Stall.objects.using(library).filter(market=8).count,
        Crate.objects.using(library).filter(stall=NO_STALL).count,
        Trader.objects.using(library).filter(market=None).count,
        Trader.objects.using(library).filter(stall=NO_STALL).count,
    ]
    assert [read() for read in reads] == [2, 2, 1, 1, 1, 0, 0]
    ways: dict[str, Callable[[], Any]] = {
        "delete": market.delete,
        "queryset_delete": markets.filter(name="gone").delete,
        "queryset_delete_all": Stall.objects.using(library).filter(market=8).delete,
        "raw_delete": lambda: markets.filter(pk=8)._raw_delete(library),
        "raw": lambda: run(library, "DELETE FROM testapp_market WHERE id = 8"),
    }
    ways[way]()
    assert_fresh(*reads)
    assert reads[1]() == 0  # the crate in the other one, too


@pytest.mark.django(6, 1)
def test_what_the_database_deletes_with_a_row_of_the_same_table(library: str) -> None:
    stall = Stall.objects.using(library).create(market=Market.objects.using(library).create(name="m"))
    crates = Crate.objects.using(library)
    outer = crates.create(stall=stall)
    inner = crates.create(stall=stall, inside=outer)
    read = crates.filter(pk=inner.pk).count
    assert read() == 1
    crates.filter(pk=outer.pk)._raw_delete(library)
    assert read() == 0
