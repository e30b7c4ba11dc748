"""Queries that call functions of the database: those that may read tables are not cached."""

from collections.abc import Callable

import pytest
from django.db import connections
from django.db.models import CharField, F, Func

from tests.cacheops.orm import test_catalogue
from tests.cacheops.orm.test_catalogue import Read, assert_fresh, only_postgres, run
from tests.testapp.cached import is_hit
from tests.testapp.models import Book, Shelf

pytestmark = pytest.mark.django_db(databases="__all__")
schema = test_catalogue.schema

CREATE = "CREATE FUNCTION {name}(bigint) RETURNS text LANGUAGE sql {kind} AS '{body}'"
SHELF = "SELECT label FROM public.testapp_shelf WHERE id = $1"


def shelves_by(alias: str, name: str) -> Callable[[], list[str]]:
    shelf = Func(F("shelf_id"), function=name, output_field=CharField())
    return lambda: list(Book.objects.using(alias).filter(pk=1).annotate(place=shelf).values_list("place", flat=True))


@only_postgres
@pytest.mark.parametrize("kind", ["STABLE", "VOLATILE"])
@pytest.mark.parametrize(
    ("name", "called"),
    [
        ("odd.place", "odd.place"),
        ("odd.place", "odd.PLACE"),
        ('odd."Place of"', 'odd."Place of"'),
        ("odd.place", '"odd"."place"  '),
    ],
)
def test_what_a_function_reads_is_read_each_time(schema: str, kind: str, name: str, called: str) -> None:
    run(schema, CREATE.format(name=name, kind=kind, body=SHELF))
    read = shelves_by(schema, called)
    read()
    Shelf.objects.using(schema).update(label="Moved")
    assert assert_fresh(read) == ["Moved"]
    assert not is_hit(schema, read)


@only_postgres
@pytest.mark.parametrize(
    "make",
    [
        [CREATE.format(name="odd.place", kind="IMMUTABLE", body="SELECT upper($1::text)")],
        [  # as extensions' are: `unaccent` is no more than stable
            CREATE.format(name="odd.place", kind="STABLE", body="SELECT upper($1::text)"),
            "ALTER EXTENSION plpgsql ADD FUNCTION odd.place(bigint)",
        ],
        [
            CREATE.format(name="odd.place", kind="IMMUTABLE", body="SELECT upper($1::text)"),
            CREATE.format(name="odd.other_place", kind="STABLE", body=SHELF),
        ],
    ],
    ids=["immutable", "an extension's", "another"],
)
def test_functions_that_read_no_table_are_cached(schema: str, make: list[str]) -> None:
    for sql in make:
        run(schema, sql)
    try:
        read = shelves_by(schema, "odd.place")
        read()
        assert is_hit(schema, read)
    finally:
        if "EXTENSION" in make[-1]:
            run(schema, make[-1].replace("ADD", "DROP"))


@only_postgres
def test_a_function_that_comes_to_read_is_noticed(schema: str) -> None:
    run(schema, CREATE.format(name="odd.place", kind="IMMUTABLE", body="SELECT $1::text"))
    read = shelves_by(schema, "odd.place")
    read()
    assert is_hit(schema, read)
    run(schema, CREATE.format(name="odd.place", kind="STABLE", body=SHELF).replace("CREATE", "CREATE OR REPLACE"))
    assert assert_fresh(read) != ["1"]
    assert not is_hit(schema, read)


@only_postgres
def test_a_failed_transaction_decides_nothing(schema: str) -> None:
    read: Read = shelves_by(schema, "to_hex")  # of a shape that nobody has asked for yet
    connections[schema].needs_rollback = True
    try:
        with pytest.raises(Exception, match="can't execute queries until the end"):
            read()
    finally:
        connections[schema].needs_rollback = False
    read()
    assert is_hit(schema, read)
