"""What SQLite's catalogue says of columns: collations stand in a table's text alone, and types are affinities."""

import pytest
from django.db import connections

from cacheops.orm.catalogue import affinity, collated_columns
from tests.cacheops.orm.test_catalogue import assert_fresh
from tests.testapp.models import Tag

pytestmark = pytest.mark.django_db(databases="__all__")

COLLATED = """
    CREATE TABLE "odd one" ( -- name COLLATE NOCASE, says the comment
        id integer PRIMARY KEY, "name" varchar(20) NOT NULL COLLATE NOCASE, 'code, too' text,
        [b]]x] text, plain text COLLATE "binary", size numeric(5, 2) DEFAULT (1 + 2), `last` text collate rtrim,
        CHECK (plain COLLATE NOCASE <> 'x'), UNIQUE (plain COLLATE NOCASE)
    )
"""


def test_collations_are_read_from_a_tables_text() -> None:
    assert collated_columns(COLLATED.replace("[b]]x] text,", "")) == {"name", "last"}


@pytest.mark.parametrize(
    ("declared", "affine"),
    [
        ("integer", "integer"),
        ("varchar(20)", "text"),
        ("datetime", "numeric"),
        ("bool", "numeric"),
        ("REAL", "real"),
        ("BLOB", "blob"),
        ("", "blob"),
        ("charint", "integer"),
    ],
)
def test_affinities_are_those_of_sqlite(declared: str, affine: str) -> None:
    assert affinity(declared) == affine


@pytest.mark.parametrize("database", ["other"])
@pytest.mark.parametrize(
    ("declared", "other"), [("varchar(50) COLLATE NOCASE", "ABC"), ("text collate RTRIM", "abc  "), ("decimal", "7.0")]
)
def test_what_sqlite_finds_equal(declared: str, other: str, library: str) -> None:
    with connections[library].cursor() as cursor:
        cursor.executescript(
            "ALTER TABLE testapp_tag RENAME TO kept;"
            f"CREATE TABLE testapp_tag (id integer PRIMARY KEY AUTOINCREMENT, name {declared} NOT NULL)"
        )
    try:
        stored = "7" if declared == "decimal" else "abc"
        Tag.objects.using(library).create(name=stored)
        read = Tag.objects.using(library).filter(name=other).count
        for name in ("x", "y"):
            assert read() == 1
            Tag.objects.using(library).filter(name=stored).update(name=name)
            assert assert_fresh(read) == 0
            Tag.objects.using(library).filter(name=name).update(name=stored)
            assert assert_fresh(read) == 1
    finally:
        with connections[library].cursor() as cursor:
            cursor.executescript("DROP TABLE testapp_tag; ALTER TABLE kept RENAME TO testapp_tag")
