"""Unmanaged models of database views: the catalogue tells which tables stand behind one."""

from collections.abc import Callable

import pytest
from django.db import connections

from cacheops.orm.catalogue import Behind, behind
from tests.cacheops.orm import test_catalogue
from tests.cacheops.orm.test_catalogue import Read, assert_fresh, only_postgres, run
from tests.testapp.cached import is_hit
from tests.testapp.models import Book, Tag, Translation

pytestmark = pytest.mark.django_db(databases="__all__")
schema = test_catalogue.schema

TITLES = "SELECT id, author_id AS story_id, 'en'::varchar AS language, title FROM {books} {more}"
FUNCTION = "CREATE FUNCTION odd.{name} LANGUAGE sql {kind} AS 'SELECT {value}'"
CREATE = "CREATE {kind} odd.testapp_translation AS {text}; SET search_path TO odd, public"


@pytest.fixture
def titles(schema: str, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Read]:
    """Return what makes a view of the model's name, and returns a read of it."""
    monkeypatch.setattr(Translation._meta, "managed", False)

    def made(*before: str, books: str = "public.testapp_book", more: str = "", kind: str = "VIEW") -> Read:
        for sql in before:
            run(schema, sql)
        run(schema, CREATE.format(kind=kind, text=TITLES.format(books=books, more=more)))
        return lambda: sorted(Translation.objects.using(schema).filter(language="en").values_list("title", flat=True))

    return made


@only_postgres
@pytest.mark.parametrize(
    ("before", "books", "more"),
    [
        ([], "public.testapp_book", ""),
        (["CREATE VIEW odd.shelved AS SELECT * FROM public.testapp_book WHERE shelf_id > 0"], "odd.shelved", ""),
        (
            [FUNCTION.format(name="least_shelf() RETURNS int", kind="IMMUTABLE", value="1")],
            "public.testapp_book",
            "WHERE shelf_id >= odd.least_shelf()",
        ),
    ],
)
def test_a_write_to_a_table_behind_a_view_invalidates_it(
    schema: str, titles: Callable[..., Read], before: list[str], books: str, more: str
) -> None:
    read = titles(*before, books=books, more=more)
    read()
    Tag.objects.using(schema).filter(pk=1).update(name="Other")
    assert is_hit(schema, read)
    Book.objects.using(schema).filter(pk=1).update(title="New")
    assert "New" in assert_fresh(read)
    assert is_hit(schema, read)


@only_postgres
@pytest.mark.parametrize(
    ("before", "options"),
    [
        ([], {"more": "WHERE now() > '2000-01-01'"}),
        ([], {"kind": "MATERIALIZED VIEW"}),
        ([], {"more": "WHERE EXISTS (SELECT FROM django_migrations)"}),
        (
            [FUNCTION.format(name="tags() RETURNS bigint", kind="STABLE", value="count(*) FROM testapp_tag")],
            {"more": "WHERE odd.tags() > 0"},
        ),
    ],
)
def test_a_view_that_may_read_more_is_not_cached(
    schema: str, titles: Callable[..., Read], before: list[str], options: dict[str, str]
) -> None:
    read = titles(*before, **options)
    assert read()
    assert not is_hit(schema, read)


@pytest.mark.usefixtures("_django_db_helper")
def test_a_view_of_sqlite_is_not_known() -> None:
    if connections["other"].vendor == "sqlite":
        run("other", "CREATE VIEW some_books AS SELECT * FROM testapp_book")
        assert not behind("other", "some_books").is_known
        run("other", "DROP VIEW some_books")
    assert behind("other", "testapp_book") == Behind()
