"""Columns that a migration's SQL has made others than their fields say: the catalogue decides what stands in a tag."""

import datetime as dt
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.db import ProgrammingError, connections, models, transaction

from cacheops.orm.catalogue import Columns, catalogue, columns_of, exact_columns
from cacheops.orm.raw_sql import classify_sql
from tests.races.actors import Actor
from tests.servers import on_servers
from tests.testapp.cached import from_database, is_hit
from tests.testapp.compare import plain
from tests.testapp.models import Book, Country, EveryField, Tag

pytestmark = pytest.mark.django_db(databases="__all__")

only_postgres = pytest.mark.parametrize("database", on_servers("default"))

Read = Callable[[], Any]


def run(alias: str, sql: str) -> None:
    with connections[alias].cursor() as cursor:
        cursor.execute(sql)


@pytest.fixture
def schema(library: str) -> Iterator[str]:
    """Let the test change tables of PostgreSQL in a schema that is dropped afterwards."""
    run(library, "CREATE SCHEMA odd")
    yield library
    run(library, "RESET search_path; DROP SCHEMA odd CASCADE")


def twin(alias: str, table: str, *changes: str) -> None:
    """Put a table of the same columns before another one, and change it."""
    run(alias, f"CREATE TABLE odd.{table} (LIKE public.{table} INCLUDING DEFAULTS INCLUDING IDENTITY)")
    for change in changes:
        run(alias, change.format(table=f"odd.{table}"))
    run(alias, "SET search_path TO odd, public")


def names(alias: str, name: str) -> Read:
    return lambda: sorted(Tag.objects.using(alias).filter(name=name).values_list("name", flat=True))


def assert_fresh(read: Read) -> Any:
    found = read()
    assert plain(found) == from_database(read)
    return found


# What a column may be, and two texts that it holds equal.
FOLDING = {
    "citext": (["CREATE EXTENSION IF NOT EXISTS citext", "ALTER TABLE {table} ALTER name TYPE citext"], "ABC"),
    "collation": (
        [
            "CREATE COLLATION odd.folding (provider = icu, locale = 'und-u-ks-level2', deterministic = false)",
            "ALTER TABLE {table} ALTER name TYPE varchar(50) COLLATE odd.folding",
        ],
        "ABC",
    ),
    "domain": (
        [
            "CREATE EXTENSION IF NOT EXISTS citext",
            "CREATE DOMAIN odd.inner_domain AS citext CHECK (value <> '')",
            "CREATE DOMAIN odd.outer_domain AS odd.inner_domain",
            "ALTER TABLE {table} ALTER name TYPE odd.outer_domain",
        ],
        "ABC",
    ),
    "padded": (["ALTER TABLE {table} ALTER name TYPE char(20)"], "abc  "),
    "number": (["ALTER TABLE {table} ALTER name TYPE numeric USING '7'"], "07"),
}


@only_postgres
@pytest.mark.parametrize("kind", FOLDING)
def test_what_the_database_finds_equal(kind: str, schema: str) -> None:
    changes, other = FOLDING[kind]
    twin(schema, "testapp_tag", *changes)
    stored = "7" if kind == "number" else "abc"
    tag = Tag.objects.using(schema).create(name=stored)
    read = names(schema, other)
    assert len(read()) == 1
    assert is_hit(schema, read)
    for _ in range(2):  # the first write of a process learns the scheme
        tag.name = "9"
        tag.save()
        assert assert_fresh(read) == []
        Tag.objects.using(schema).filter(pk=tag.pk).update(name=stored)
        assert len(assert_fresh(read)) == 1
    tag.delete()
    Tag.objects.using(schema).create(name=stored)
    assert len(assert_fresh(read)) == 1


def test_columns_as_django_makes_them_may_stand_in_a_tag(library: str) -> None:
    def exact(model: type[models.Model]) -> frozenset[str]:
        return exact_columns(library, model._meta.db_table)

    assert exact(Book) == {"id", "title", "isbn", "author_id", "shelf_id", "status", "pages", "published"}
    assert exact(EveryField) >= {"id", "big", "small", "flag", "char", "text", "day", "moment", "uuid"}
    assert not columns_of(library, Book._meta.db_table).moved


@only_postgres
def test_a_moment_that_the_column_rounds(schema: str) -> None:
    twin(schema, "testapp_everyfield", "ALTER TABLE {table} ALTER moment TYPE timestamptz(0)")
    rows = EveryField.objects.using(schema)
    second = dt.datetime(2026, 1, 1, 12, tzinfo=dt.UTC)
    for _ in range(2):
        assert_fresh(rows.filter(moment=second).count)
        assert_fresh(rows.filter(moment__range=(second, second + dt.timedelta(minutes=1))).count)
        rows.create(moment=second - dt.timedelta(seconds=0.3))
    assert assert_fresh(rows.filter(moment=second).count) == 2
    assert "moment" not in exact_columns(schema, "testapp_everyfield")


@only_postgres
@pytest.mark.parametrize(
    ("column", "kind"),
    [("moment", "date"), ("moment", "timestamp"), ("day", "timestamptz"), ("small", "numeric(9, 2)")],
)
def test_a_column_of_another_type_stands_in_no_tag(column: str, kind: str, schema: str) -> None:
    table = EveryField._meta.db_table
    assert column in exact_columns(schema, table)
    twin(schema, table, f"ALTER TABLE {{table}} ALTER {column} TYPE {kind}")
    catalogue.schema_changed()
    assert column not in exact_columns(schema, table)


# --- what is stored is not what was given ----------------------------------------------------------------------------


@only_postgres
@pytest.mark.parametrize("way", ["create", "bulk_create", "bulk_create_ignoring", "save"])
def test_trailing_blanks_that_the_column_cuts(way: str, library: str) -> None:
    given, stored = "ab" + " " * 60, "ab" + " " * 48
    tags = Tag.objects.using(library)
    read = names(library, stored)
    kept = tags.create(name="kept")

    def saved() -> None:
        kept.name = given
        kept.save()

    ways: dict[str, Callable[[], Any]] = {
        "create": lambda: tags.create(name=given),
        "bulk_create": lambda: tags.bulk_create([Tag(name=given), Tag(name="other")]),
        "bulk_create_ignoring": lambda: tags.bulk_create([Tag(name=given)], ignore_conflicts=True),
        "save": saved,
    }
    for name in ("first", "second"):
        read()
        tags.create(name=name)
    assert assert_fresh(read) == []
    ways[way]()
    assert assert_fresh(read) == [stored]


TRIGGER = """
    CREATE FUNCTION odd.set_char() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN NEW.char = 'of ' || NEW.slug; RETURN NEW; END $$;
    CREATE TRIGGER set_char BEFORE INSERT OR UPDATE ON {table} FOR EACH ROW EXECUTE FUNCTION odd.set_char()
"""


@only_postgres
@pytest.mark.parametrize("way", ["create", "bulk_create", "save", "save_some", "update"])
def test_a_trigger_that_sets_a_column_of_the_row(way: str, schema: str) -> None:
    """The statement does not name it, so its value before must be read."""
    twin(schema, "testapp_everyfield", TRIGGER)
    rows = EveryField.objects.using(schema)
    reads = [rows.filter(char=char).count for char in ("of a", "of b", "of c", "of d")]
    row = rows.create(slug="a")
    for slug in ("b", "c"):
        for read in reads:
            read()
        rows.create(slug=slug)
    assert [assert_fresh(read) for read in reads] == [1, 1, 1, 0]

    def save(*fields: str) -> None:
        row.slug = "d"
        row.save(update_fields=fields or None)

    ways: dict[str, Callable[[], Any]] = {
        "create": lambda: (row.delete(), rows.create(slug="d")),
        "bulk_create": lambda: (row.delete(), rows.bulk_create([EveryField(slug="d")])),
        "save": save,
        "save_some": lambda: save("slug"),
        "update": lambda: rows.filter(slug="a").update(slug="d"),
    }
    ways[way]()
    assert [assert_fresh(read) for read in reads] == [0, 1, 1, 1]


GENERATED = "ALTER TABLE {table} DROP small, ADD small int2 GENERATED ALWAYS AS (big % 10) STORED"
FILL = """
    INSERT INTO testapp_everyfield (id, big, email, url, slug, made, changed)
    SELECT pk, big, '', '', '', now(), now() FROM (VALUES (1, 13), (2, 15), (3, 15)) AS given (pk, big)
"""


@only_postgres
def test_a_column_that_the_database_computes(schema: str) -> None:
    """It is not named by the statement that changes it."""
    twin(schema, "testapp_everyfield", GENERATED)
    run(schema, FILL)
    rows = EveryField.objects.using(schema)
    reads = [rows.filter(small=number).count for number in (3, 4, 5, 6)]
    for pk in (2, 3):
        for read in reads:
            read()
        rows.filter(pk=pk).update(big=16)
    assert [assert_fresh(read) for read in reads] == [1, 0, 0, 2]
    rows.filter(pk=1).update(big=24)
    assert [assert_fresh(read) for read in reads] == [0, 1, 0, 2]


# --- when the catalogue changes --------------------------------------------------------------------------------------


@only_postgres
@pytest.mark.parametrize("commits", [True, False])
def test_a_migration_changes_what_is_known(commits: bool, library: str) -> None:
    table = Country._meta.db_table
    change = f"ALTER TABLE {table} ALTER name TYPE char(20)"
    assert "name" in exact_columns(library, table)

    def elsewhere() -> bool:
        return "name" in exact_columns(library, table)

    try:
        with transaction.atomic(using=library):
            run(library, change)
            assert "name" not in exact_columns(library, table)
            assert not elsewhere()
            if not commits:
                transaction.set_rollback(True, using=library)
        assert elsewhere() is not commits
        assert Actor(elsewhere).result() is not commits
    finally:
        run(library, f"ALTER TABLE {table} ALTER name TYPE varchar(60)")
    assert "name" in exact_columns(library, table)


@pytest.mark.parametrize(
    ("sql", "changes"),
    [
        ("ALTER TABLE a ADD b int", True),
        ("SELECT 1; /* then */ DROP TABLE a", True),
        ("CREATE OR REPLACE TRIGGER a BEFORE UPDATE ON b EXECUTE FUNCTION c()", True),
        ("CREATE CONSTRAINT TRIGGER a AFTER UPDATE ON b EXECUTE FUNCTION c()", True),
        ("DO $$ BEGIN ALTER TABLE a ADD b int; END $$", True),
        ("CREATE TEMP TABLE a (b int)", False),
        ("CREATE INDEX a ON b (c)", False),
        ("SELECT a FROM alter_log WHERE b = 'DROP TABLE c'", False),
        ("UPDATE a SET b = 1", False),
    ],
)
def test_which_statements_change_it(sql: str, changes: bool) -> None:
    assert classify_sql(sql).alters is changes


def test_a_table_that_is_not_there_has_no_exact_column(library: str) -> None:
    assert columns_of(library, "no_such_table") == Columns()


@only_postgres
def test_within_a_transaction_that_has_failed_nothing_is_known(library: str) -> None:
    catalogue.schema_changed()
    with transaction.atomic(using=library):
        with pytest.raises(ProgrammingError):
            run(library, "SELECT no_such")
        assert exact_columns(library, Book._meta.db_table) == frozenset()
        transaction.set_rollback(True, using=library)
    assert "title" in exact_columns(library, Book._meta.db_table)
