"""What cannot be cached rightly is not, silently: each read asks the database, and none leaves an entry."""

from collections.abc import Callable
from typing import Any

import pytest
from django.db import connections, transaction
from django.db.models import (
    Case,
    CharField,
    Count,
    DateTimeField,
    DurationField,
    Exists,
    F,
    FloatField,
    Func,
    OuterRef,
    Q,
    Transform,
    Value,
    When,
)
from django.db.models.expressions import RawSQL
from django.db.models.functions import Cast, Now, Random
from django.db.models.lookups import Exact

from tests.testapp.cached import is_hit, statements
from tests.testapp.models import Author, Book, Note
from tests.testapp.queries import Readers

pytestmark = pytest.mark.django_db(databases="__all__")


class Own(Func):
    """Makes SQL by code of its own: who knows what of?"""

    function = "LOWER"

    def as_sql(self, compiler: Any, connection: Any, **extra: Any) -> Any:
        return super().as_sql(compiler, connection, **extra)


class OwnExact(Exact):
    def as_sql(self, compiler: Any, connection: Any) -> Any:
        return super().as_sql(compiler, connection)


class Named(Func):
    """Only names a function of the database."""

    function = "UPPER"


class Shout(Transform):
    function = "UPPER"
    lookup_name = "shout"


NEVER: dict[str, Callable[[Readers], Any]] = {
    "raw": lambda db: list(Book.objects.using(db.alias).raw("SELECT * FROM testapp_book")),
    "extra_where": lambda db: list(db.Book.extra(where=["pages > 1"])),
    "extra_select": lambda db: list(db.Book.extra(select={"more": "pages + 1"})),
    "extra_tables": lambda db: list(db.Book.extra(tables=["testapp_tag"])),
    "extra_order": lambda db: list(db.Book.extra(order_by=["title"])),
    "order_random": lambda db: list(db.Book.order_by("?")),
    "random": lambda db: list(db.Book.annotate(r=Random())),
    "now_after_a_value_out_of_range": lambda db: [
        list(db.Book.annotate(t=Case(When(pages=n, then=Now()), default=None)).filter(pages=100)) for n in (2**70, 100)
    ],
    "now_beside_a_value_out_of_range": lambda db: [
        list(db.Book.filter(Q(pages=n, published__lt=Now()) | Q(pk=1)).order_by("pk")) for n in (2**40, 2**70, 100)
    ],
    "now_by_a_text": lambda db: list(db.Book.annotate(n=Cast(Value("now"), DateTimeField()))),
    "now": lambda db: list(db.Book.annotate(n=Now())),
    "now_in_a_condition": lambda db: list(db.Book.filter(published__lt=Now())),
    "now_in_a_subquery": lambda db: list(
        db.Author.filter(Exists(db.Book.filter(author=OuterRef("pk"), published__lt=Now())))
    ),
    "raw_sql": lambda db: list(db.Book.annotate(r=RawSQL("SELECT count(*) FROM testapp_note", ()))),
    "raw_sql_in_a_condition": lambda db: list(db.Book.filter(pk__in=RawSQL("SELECT object_id FROM testapp_note", ()))),
    "own_expression": lambda db: list(db.Book.annotate(low=Own("title"))),
    "own_expression_inside": lambda db: list(db.Book.filter(title=Own(Value("TITLE 1")))),
    "own_lookup": lambda db: list(db.Book.filter(OwnExact(F("pages"), 100))),
    "nocache_by_union": lambda db: list(db.Book.order_by().union(db.Book.extra(where=["1 = 1"]).order_by())),
}


# Each a function of the moment, in one kind of database.
CLOCKS = {
    "postgresql": [Func("published", function="age", output_field=DurationField())],
    "sqlite": [
        Func(function="julianday", output_field=FloatField()),
        Func(Value("%Y %f"), function="strftime", output_field=CharField()),
        Func(Value("%Y %f"), Value("now"), function="strftime", output_field=CharField()),
    ],
}


def test_a_databases_own_clocks_are_never_cached(library: str) -> None:
    for clock in CLOCKS[connections[library].vendor]:
        for _ in range(2):
            assert not is_hit(library, lambda: list(Book.objects.using(library).annotate(n=clock)))  # noqa: B023


@pytest.mark.parametrize("name", sorted(NEVER))
def test_is_never_cached(name: str, library: str) -> None:
    read = NEVER[name]
    for _ in range(2):
        assert not is_hit(library, lambda: read(Readers(library)))


def test_expressions_that_only_name_a_function_are_cached(library: str) -> None:
    books = Book.objects.using(library)
    for read in (
        lambda: list(books.annotate(up=Named("title")).order_by("pk")),
        lambda: list(books.annotate(up=Shout("title")).filter(up="TITLE 1")),
    ):
        read()
        assert is_hit(library, read)


def test_select_for_update_always_reads_the_database(library: str) -> None:
    for _ in range(2):
        with transaction.atomic(using=library), statements(library) as ran:
            list(Book.objects.using(library).select_for_update().filter(pk=1))
        assert any("testapp_book" in sql for sql in ran)


def test_a_transaction_reads_the_tables_that_it_has_written_from_the_database(library: str) -> None:
    def books() -> Any:
        return list(Book.objects.using(library).filter(author__name="Ada").order_by("pk"))

    books()
    with transaction.atomic(using=library):
        Author.objects.using(library).filter(name="Cyd").update(name="Dan")
        assert not is_hit(library, books)
        assert not is_hit(library, books)
    assert is_hit(library, books)  # it has changed no author whose name stands in the condition


def test_other_tables_are_read_from_the_cache_under_read_committed(cache: str, library: str) -> None:
    def notes() -> int:
        return Note.objects.using(library).count()

    notes()
    with transaction.atomic(using=library):
        Author.objects.using(library).update(born=None)
        hit = is_hit(library, notes)
    assert hit == (connections[library].vendor == "postgresql")  # every transaction of SQLite sees one snapshot


@pytest.mark.parametrize("database", ["default"])
@pytest.mark.parametrize("level", ["REPEATABLE READ", "SERIALIZABLE"])
def test_a_snapshot_neither_reads_nor_fills(level: str, library: str) -> None:
    def count() -> Any:
        return Book.objects.using(library).aggregate(n=Count("pk"))

    if connections[library].vendor != "postgresql":
        pytest.skip("PostgreSQL's isolation levels")
    for _ in range(2):
        with transaction.atomic(using=library):
            with connections[library].cursor() as cursor:
                cursor.execute(f"SET TRANSACTION ISOLATION LEVEL {level}")
            assert not is_hit(library, count)
            assert not is_hit(library, count)
    assert not is_hit(library, count)
    assert is_hit(library, count)


SESSIONS = {
    "characteristics": ("SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL {}", False),
    "default": ("SET default_transaction_isolation TO '{}'", False),
    "of the role": ("ALTER ROLE CURRENT_USER SET default_transaction_isolation TO '{}'", True),
}


@pytest.mark.parametrize("database", ["default"])
@pytest.mark.parametrize("name", SESSIONS)
def test_a_session_of_snapshots_neither_reads_nor_fills(name: str, library: str) -> None:
    connection = connections[library]
    if connection.vendor != "postgresql":
        pytest.skip("PostgreSQL's isolation levels")
    statement, connects = SESSIONS[name]

    def count() -> Any:
        return Book.objects.using(library).aggregate(n=Count("pk"))

    def isolate(level: str) -> None:
        with connection.cursor() as cursor:
            cursor.execute(statement.format(level))
        if connects:
            connection.close()

    try:
        isolate("repeatable read")
        for _ in range(2):
            with transaction.atomic(using=library):
                assert not is_hit(library, count)
                assert not is_hit(library, count)
    finally:
        isolate("read committed")
    with transaction.atomic(using=library):
        assert not is_hit(library, count)
        assert is_hit(library, count)
