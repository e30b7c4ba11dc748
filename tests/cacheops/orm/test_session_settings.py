"""Settings of a session that change what a query answers are part of the key, or nothing is cached."""

import datetime as dt
import sys
from collections.abc import Callable, Iterator
from typing import Any, Self

import pytest
from django.db import connections, transaction
from django.db.models import CharField, Func, TextField
from django.db.models.functions import Cast
from psycopg._compat import Interpolation, Template
from psycopg.sql import SQL, Composed, Identifier, Literal

from cacheops import cached_as
from tests.races.actors import Actor
from tests.servers import on_servers
from tests.testapp.cached import from_database, is_hit
from tests.testapp.compare import plain
from tests.testapp.models import Book, EveryField

pytestmark = pytest.mark.django_db(databases="__all__")

only_postgres = pytest.mark.parametrize("database", on_servers("default"))
only_sqlite = pytest.mark.parametrize("database", ["other"])
NOON = dt.datetime(2026, 1, 1, 12, tzinfo=dt.UTC)

Read = Callable[[], Any]


def run(alias: str, *texts: str | Composed) -> None:
    with connections[alias].cursor() as cursor:
        for sql in texts:
            cursor.execute(sql)


@pytest.fixture
def row(library: str) -> Iterator[str]:
    EveryField.objects.using(library).create(
        pk=11, moment=NOON, span=dt.timedelta(days=1, hours=2), number=0.1 + 0.2, binary=b"\x01\xff"
    )
    yield library
    connections[library].close()


def shown(alias: str, expression: str) -> Read:
    """Return a read of a column as the session writes it."""
    rows = EveryField.objects.using(alias).filter(pk=11)
    made = {
        "moment": Cast("moment", TextField()),
        "span": Cast("span", TextField()),
        "number": Cast("number", TextField()),
        "binary": Cast("binary", TextField()),
        "month": Func(
            "moment", function="to_char", template="to_char(%(expressions)s, 'TMMonth')", output_field=CharField()
        ),
        "tenant": Func(
            function="coalesce", template="(SELECT coalesce(current_schema, '-'))", output_field=CharField()
        ),
    }[expression]
    return lambda: rows.annotate(shown=made).values_list("shown", flat=True).get()


def agrees(read: Read) -> Any:
    found = read()
    assert plain(found) == from_database(read)
    return found


SETTINGS = [
    ("moment", "TIME ZONE 'Asia/Tokyo'"),
    ("moment", "TIMEZONE TO 'Asia/Tokyo'"),
    ("moment", "DateStyle = 'German'"),
    ("span", "IntervalStyle = 'iso_8601'"),
    ("number", "extra_float_digits = 0"),
    ("binary", "bytea_output = 'escape'"),
]


@only_postgres
@pytest.mark.parametrize(("column", "setting"), SETTINGS)
def test_a_setting_of_one_transaction_is_in_its_keys_alone(column: str, setting: str, row: str) -> None:
    read = shown(row, column)
    usual = agrees(read)
    with transaction.atomic(using=row):
        run(row, f"SET LOCAL {setting}")
        other = agrees(read)
        assert other != usual
        assert Actor(read).result() == usual
        assert is_hit(row, read)
    assert agrees(read) == usual
    assert is_hit(row, read)


@only_postgres
@pytest.mark.parametrize(("column", "setting"), SETTINGS)
def test_a_setting_of_the_session_lasts_until_it_is_reset(column: str, setting: str, row: str) -> None:
    read = shown(row, column)
    usual = agrees(read)
    run(row, f"/* mine */ SET {setting}")
    other = agrees(read)
    assert other != usual
    run(row, "RESET ALL", f"SET TIME ZONE '{connections[row].timezone_name}'")
    assert agrees(read) == usual
    assert is_hit(row, read)


def template(*parts: Any) -> Template:
    """Return what Python 3.14 makes of a t-string; before, what the driver takes for one."""
    if sys.version_info >= (3, 14):
        return Template(*parts)

    class Given(Template):
        def __new__(cls) -> Self:
            return object.__new__(cls)

        def __iter__(self) -> Iterator[Any]:
            return iter(parts)

    return Given()


BY_OTHER_WAYS: dict[str, Callable[[Any], Any]] = {
    "function": lambda cursor: cursor.execute("SELECT set_config('bytea_output', 'escape', false)"),
    "parameters": lambda cursor: cursor.execute("SELECT set_config(%s, %s, false)", ["bytea_output", "escape"]),
    "named_parameters": lambda cursor: cursor.execute(
        "SELECT set_config(%(name)s, %(value)s, false)", {"name": "bytea_output", "value": "escape"}
    ),
    "many": lambda cursor: cursor.executemany(
        "SELECT set_config(%s, %s, false)", (pair for pair in [["bytea_output", "escape"]])
    ),
    "procedure": lambda cursor: cursor.callproc("set_config", ["bytea_output", "escape", False]),
    "stream": lambda cursor: list(cursor.stream("SELECT set_config(%s, %s, false)", ["bytea_output", "escape"])),
    "composed": lambda cursor: cursor.execute(
        SQL("SET {} TO {}").format(Identifier("bytea_output"), Literal("escape"))
    ),
    "composed_many": lambda cursor: cursor.executemany(
        SQL("SET {} TO %s").format(Identifier("bytea_output")), [["escape"]]
    ),
    "sql": lambda cursor: cursor.execute(SQL("SET bytea_output = 'escape'")),
    "bytes": lambda cursor: cursor.execute(b"SET bytea_output = 'escape'"),
    "template": lambda cursor: cursor.execute(
        template("SET bytea_output = ", Interpolation("escape", "value", None, ""))
    ),
    "second_statement": lambda cursor: cursor.execute("SELECT 1; SET bytea_output = 'escape'"),
    "block": lambda cursor: cursor.execute("DO $$ BEGIN SET bytea_output = 'escape'; END $$"),
    "driver": lambda cursor: cursor.connection.execute("SET DateStyle = 'German'"),
}


@only_postgres
@pytest.mark.parametrize("way", BY_OTHER_WAYS)
def test_whatever_sets_it(way: str, row: str) -> None:
    read = shown(row, "moment" if way == "driver" else "binary")
    usual = agrees(read)
    with connections[row].cursor() as cursor:
        BY_OTHER_WAYS[way](cursor)
    assert agrees(read) != usual


@only_postgres
@pytest.mark.parametrize("ends", ["rollback", "savepoint", "raw", "driver"])
def test_a_setting_that_is_taken_back(ends: str, row: str) -> None:
    """With its transaction, or its savepoint: the next read goes by what the session has then."""
    read = shown(row, "binary")
    usual = agrees(read)

    def changed() -> None:
        run(row, "SET bytea_output = 'escape'")
        assert agrees(read) != usual

    if ends == "raw":
        run(row, "BEGIN")
        changed()
        run(row, "ROLLBACK")
    elif ends == "driver":
        driver = connections[row].connection
        driver.execute("BEGIN")
        changed()
        driver.execute("ROLLBACK")
    else:
        with transaction.atomic(using=row):
            if ends == "savepoint":
                with transaction.atomic(using=row):
                    changed()
                    transaction.set_rollback(True, using=row)
                assert agrees(read) == usual
            else:
                changed()
                transaction.set_rollback(True, using=row)
    assert agrees(read) == usual


POLICY = """
    ALTER TABLE testapp_everyfield ENABLE ROW LEVEL SECURITY;
    CREATE POLICY of_a_tenant ON testapp_everyfield
    USING (small = nullif(current_setting('app.tenant', true), '')::int);
    CREATE ROLE reader_of_tests; GRANT SELECT ON testapp_everyfield TO reader_of_tests
"""
NO_POLICY = """
    RESET ROLE; DROP POLICY of_a_tenant ON testapp_everyfield;
    ALTER TABLE testapp_everyfield DISABLE ROW LEVEL SECURITY;
    REVOKE ALL ON testapp_everyfield FROM reader_of_tests; DROP ROLE reader_of_tests
"""


@only_postgres
def test_rows_that_a_role_or_a_programs_own_setting_lets_one_see(row: str) -> None:
    rows = EveryField.objects.using(row)
    rows.create(pk=12, small=1)
    rows.create(pk=13, small=2)
    read = lambda: list(rows.filter(pk__gt=10).order_by("pk").values_list("pk", flat=True))  # noqa: E731
    run(row, POLICY)
    try:
        assert agrees(read) == [11, 12, 13]
        run(row, "SET ROLE reader_of_tests")
        assert agrees(read) == []
        for tenant, seen in ((1, [12]), (2, [13]), (1, [12])):
            with connections[row].cursor() as cursor:
                cursor.executemany("SELECT set_config(%s, %s, false)", iter([["app.tenant", str(tenant)]]))
            assert agrees(read) == seen
        assert is_hit(row, read)
        run(row, "SET app.tenant = 2")
        assert agrees(read) == [13]
        run(row, SQL("SET {} = 1").format(Identifier("app", "tenant")))
        assert agrees(read) == [12]
        run(row, "RESET app.tenant")
        assert agrees(read) == []
        with connections[row].cursor() as cursor:
            cursor.execute("SELECT set_config(%(name)s, %(to)s, false)", {"name": "app.tenant", "to": "2"})
        assert agrees(read) == [13]
        run(row, SQL("RESET {}").format(Identifier("role")))
        assert agrees(read) == [11, 12, 13]
        assert is_hit(row, read)
    finally:
        run(row, NO_POLICY)


@only_postgres
@pytest.mark.parametrize(
    "setting",
    ["SET search_path TO aside, public", SQL("SET search_path TO {}, public").format(Identifier("aside"))],
    ids=["text", "composed"],
)
def test_tables_of_another_search_path(setting: str | Composed, library: str) -> None:
    read = Book.objects.using(library).filter(pk=1).count
    assert agrees(read) == 1
    run(library, "CREATE SCHEMA aside; CREATE TABLE aside.testapp_book (LIKE public.testapp_book INCLUDING ALL)")
    try:
        run(library, setting)
        assert agrees(read) == 0
        run(library, "RESET search_path")
        assert agrees(read) == 1
    finally:
        run(library, "DROP SCHEMA aside CASCADE")


def run_script(alias: str, *texts: str) -> None:
    cursor: Any = connections[alias].cursor()
    cursor.executescript(";".join(texts))


@pytest.mark.parametrize(
    ("database", "run"),
    [
        pytest.param("default", run, marks=pytest.mark.servers, id="default"),
        pytest.param("other", run, id="other"),
        pytest.param("other", run_script, id="script"),
    ],
)
def test_a_temporary_table_stands_before_another_of_its_name(run: Callable[..., None], library: str) -> None:
    read = Book.objects.using(library).filter(pk=1).count
    assert agrees(read) == 1
    run(library, "CREATE TEMPORARY TABLE testapp_book AS SELECT * FROM testapp_book WHERE 1 = 0")
    assert agrees(read) == 0
    assert not is_hit(library, read)
    run(library, "DROP TABLE testapp_book")
    assert agrees(read) == 1
    connections[library].cacheops.session.is_private = False  # for the tests that come


@only_sqlite
@pytest.mark.parametrize("run", [run, run_script])
def test_letters_that_like_minds(run: Callable[..., None], library: str) -> None:
    read = Book.objects.using(library).filter(title__contains="ADA").count
    before = agrees(read)
    run(library, "PRAGMA case_sensitive_like = ON")
    try:
        agrees(read)
        assert not is_hit(library, read)
    finally:
        run(library, "PRAGMA case_sensitive_like = OFF")
        connections[library].cacheops.session.is_private = False
    assert agrees(read) == before


@only_postgres
def test_entries_that_name_no_setting_are_not_cached_under_another(row: str) -> None:
    read = shown(row, "moment")
    function = cached_as(EveryField.objects.using(row), timeout=60, key="shown")(lambda: read())
    usual = function()
    run(row, "SET TIME ZONE 'Asia/Tokyo'")
    assert function() != usual
    assert Actor(function).result() == usual


@only_postgres
def test_sessions_that_begin_with_the_same_settings_share_entries(row: str) -> None:
    read = shown(row, "moment")
    read()
    assert Actor(lambda: is_hit(row, read)).result()
    connections[row].close()
    assert is_hit(row, read)  # without a connection
