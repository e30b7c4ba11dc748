"""What `psql` changes in the schema: whatever gives a table other rows makes its entries misses."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from django.core.management.base import CommandError
from django.db import connection

from cacheops.checks import check_relays
from cacheops.relay.schema_changes import name_of
from devices.models import Device, Kind, Reading
from locations.models import Location
from tests.cacheops.relay.conftest import Run, relay
from tests.testapp.cached import from_database, is_hit
from tests.testapp.compare import plain
from tests.testapp.models import Book, Tag

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("installed")]

DETACH = "ALTER TABLE devices_reading DETACH PARTITION old_rows"
# A partition that is attached with the row of a device.
ATTACH = """
    CREATE TABLE old_rows (LIKE devices_reading);
    INSERT INTO old_rows (id, device_id, metric, value, unit, taken_at)
    SELECT -1, max(id), 'm', 1, 'u', '1999-05-05' FROM devices_device;
    ALTER TABLE devices_reading ATTACH PARTITION old_rows FOR VALUES FROM ('1999-01-01') TO ('2000-01-01')
"""
MADE = """
    CREATE FUNCTION told() RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT 1';
    CREATE VIEW told_view AS SELECT 1 AS one;
    CREATE TYPE told_kind AS ENUM ('a');
    CREATE TABLE told_table (kind told_kind)
"""


def pages() -> int | None:
    return Book.objects.values_list("pages", flat=True).get(pk=1)


def readings() -> int:
    return Reading.objects.filter(metric="m").count()


def tags() -> int:
    return Tag.objects.count()


def assert_told(outside: Run, sql: str, read: Callable[[], Any]) -> None:
    """Have a change by another session make a table's entries misses, and no other table's."""
    before = read()
    tags()
    outside(sql)
    assert is_hit("default", read)
    relay("--once")
    assert is_hit("default", tags)
    assert read() != before
    assert plain(read()) == from_database(read)


def test_a_column_that_is_written_anew(outside: Run) -> None:
    assert_told(outside, "ALTER TABLE testapp_book ALTER pages TYPE integer USING coalesce(pages, 0) + 1", pages)
    assert_told(
        outside, "SET session_replication_role = replica; ALTER TABLE testapp_book ALTER pages TYPE int USING 7", pages
    )


@pytest.fixture
def device() -> Iterator[Device]:
    place = Location.objects.create(name="Harbor", code="harbor")
    device = Device.objects.create(location=place, serial="H-1", name="Quay", kind=Kind.THERMOMETER, metric="rain")
    yield device
    device.delete()
    place.delete()


def test_partitions_that_come_and_go(outside: Run, device: Device) -> None:
    assert_told(outside, ATTACH, readings)
    tags()
    outside("ALTER TABLE old_rows SET (fillfactor = 70)")
    relay("--once")
    assert is_hit("default", tags)  # a partition goes by its table's name, as long as it is there
    assert_told(outside, DETACH, readings)
    outside(f"DROP TABLE old_rows; {ATTACH}; ALTER TABLE old_rows RENAME TO devices_reading_old")
    relay("--once")
    assert_told(outside, "DROP TABLE devices_reading_old", readings)
    assert_told(outside, ATTACH, readings)
    outside("DROP TABLE old_rows")
    relay("--once")
    assert readings() == 0


def test_a_table_that_another_takes_the_place_of(outside: Run) -> None:
    outside("CREATE TABLE books_anew AS SELECT * FROM testapp_book; UPDATE books_anew SET pages = 4711")
    swap = "ALTER TABLE testapp_book RENAME TO books_before; ALTER TABLE books_anew RENAME TO testapp_book"
    try:
        pages()
        outside(swap)
        assert is_hit("default", pages)
        relay("--once")
        assert pages() == 4711
    finally:
        outside("DROP TABLE testapp_book; ALTER TABLE books_before RENAME TO testapp_book")


def test_what_nobody_knows_the_rows_behind_makes_all_entries_misses(outside: Run) -> None:
    outside(MADE)
    relay("--once")
    for sql in (
        "CREATE OR REPLACE FUNCTION told() RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT 2'",
        "CREATE OR REPLACE VIEW told_view AS SELECT 2 AS one",
        "ALTER TYPE told_kind RENAME VALUE 'a' TO 'b'",
        "DROP TYPE told_kind CASCADE",
        "CREATE POLICY told ON told_table USING (true)",
        "DROP POLICY told ON told_table",
        "DROP VIEW told_view",
        "DROP TABLE told_table",
    ):
        tags()
        outside(sql)
        relay("--once")
        assert not is_hit("default", tags), sql
    outside("DROP FUNCTION told")


def test_what_changes_no_row_of_a_table_makes_no_misses(outside: Run) -> None:
    tags(), readings()
    for sql in (
        "CREATE TABLE untold AS SELECT 1 AS one",
        "CREATE INDEX untold_index ON testapp_tag (name, id)",
        "DROP INDEX untold_index",
        "CREATE MATERIALIZED VIEW untold_view AS SELECT 1 AS one",
        "REFRESH MATERIALIZED VIEW untold_view",
        "DROP MATERIALIZED VIEW untold_view",
        "CREATE TEMP TABLE untold_too (one int); ALTER TABLE untold_too ADD two int; DROP TABLE untold_too",
        "CREATE TABLE devices_reading_new PARTITION OF devices_reading FOR VALUES FROM ('1990-1-1') TO ('1991-1-1')",
        "CREATE FUNCTION untold() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'",
        "VACUUM FULL testapp_tag",
    ):
        outside(sql)
    relay("--once")
    assert is_hit("default", tags)
    assert is_hit("default", readings)
    outside("DROP TABLE untold, devices_reading_new; DROP FUNCTION untold")


@contextmanager
def as_role(outside: Run, rights: str) -> Iterator[None]:
    outside(f"CREATE ROLE plain {rights}")
    with connection.cursor() as cursor:
        cursor.execute("SET ROLE plain")
    try:
        yield
    finally:
        connection.close()
        outside("DROP ROLE plain")


def test_a_role_that_may_make_no_event_triggers(outside: Run) -> None:
    """What it can't have is said; what a superuser has made stays, and is another's to take back."""
    superuser = connection.settings_dict["USER"]
    with as_role(outside, f"REPLICATION IN ROLE {superuser}"):
        assert "ALTER TABLE" not in relay("--install")
        outside(f"DROP EVENT TRIGGER {name_of('sql_drop')}")
        assert "ALTER TABLE … USING" in relay("--install")
        assert [each.id for each in check_relays(None, ["default"])] == ["cacheops.W010"]
        assert "ALTER TABLE … USING" in relay("--status")
    relay("--install")
    assert check_relays(None, ["default"]) == []
    assert "ALTER TABLE" not in relay("--status")
    with as_role(outside, "REPLICATION"), pytest.raises(CommandError, match="belong to a superuser"):
        relay("--uninstall")
