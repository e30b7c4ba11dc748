"""Fail-over of the primary database: a replica takes its place at its address, and the others follow it."""

from collections.abc import Iterator

import psycopg
import pytest
from django.core.management import CommandError, call_command

from tests.waiting import until
from xyzsite.localregions.exceptions import LocalRegionsError
from xyzsite.localregions.manager import LocalRegions
from xyzsite.localregions.plan import HOME, REGIONS


def write(regions: LocalRegions, region: str, number: int) -> None:
    """Write a row as a process of a region does, which is told that its connection is lost and makes another."""
    until(lambda: try_write(regions.environment(region)["DATABASE_URL"], number), "a write at the primary's address")


def try_write(url: str, number: int) -> bool:
    try:
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute("INSERT INTO failed_over VALUES (%s) ON CONFLICT DO NOTHING", [number])
    except psycopg.OperationalError:
        return False
    return True


def rows_of(address: str) -> list[int]:
    """Return what a server shows, whatever its role."""
    with psycopg.connect(f"postgres://postgres@{address}/xyz") as connection:
        return [row[0] for row in connection.execute("SELECT number FROM failed_over ORDER BY number")]


def see_all(regions: LocalRegions, primary: str, numbers: list[int]) -> None:
    """See one primary, and these rows on all three."""
    rows = [row for row in regions.status() if row["kind"] == "postgres"]
    assert {row["node"]: row["role"] for row in rows} == {
        f"{region}-db": "primary" if region == primary else "replica" for region in REGIONS
    }
    for row in rows:
        until(lambda at=row["address"]: rows_of(at) == numbers, "each has all rows")


@pytest.fixture
def databases(breakable_regions: LocalRegions) -> Iterator[LocalRegions]:
    """Return regions with an empty table; the primary is at home again afterwards."""
    url = breakable_regions.environment(HOME)["DATABASE_URL"]
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("CREATE TABLE failed_over (number int PRIMARY KEY)")
    yield breakable_regions
    breakable_regions.heal()
    if primary_of(breakable_regions) != f"{HOME}-db":
        breakable_regions.failover_database(HOME)
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("DROP TABLE failed_over")


def primary_of(regions: LocalRegions) -> str:
    return next(row["node"] for row in regions.status() if row["kind"] == "postgres" and row["role"] == "primary")


def test_nothing_is_lost_by_a_fail_over_and_back(databases: LocalRegions) -> None:
    write(databases, HOME, 1)
    assert databases.failover_database("us-west-2") == "us-west-2-db"
    for number, region in enumerate(REGIONS):
        write(databases, region, 2 + number)
    see_all(databases, "us-west-2", [1, 2, 3, 4])
    with pytest.raises(LocalRegionsError, match="in us-west-2 already"):
        databases.failover_database("us-west-2")
    assert databases.failover_database(HOME) == "us-east-1-db"
    write(databases, "us-west-2", 5)
    see_all(databases, HOME, [1, 2, 3, 4, 5])


def test_what_a_parted_primary_alone_had_is_nowhere_afterwards(
    databases: LocalRegions, capsys: pytest.CaptureFixture[str]
) -> None:
    databases.partition(HOME)
    write(databases, HOME, 1)
    call_command("regions", "failover", "--database", "us-east-2", "--dir", str(databases.directory))
    assert capsys.readouterr().out == "us-east-2-db is the primary database now, and the others follow it.\n"
    write(databases, "us-west-2", 2)
    databases.heal()
    write(databases, HOME, 3)
    see_all(databases, "us-east-2", [2, 3])


def test_a_frozen_primary_is_ended(databases: LocalRegions) -> None:
    databases.pause(f"{HOME}-db")
    promoted = databases.failover_database()
    write(databases, HOME, 1)
    see_all(databases, promoted.removesuffix("-db"), [1])


def test_a_fail_over_needs_a_region_or_the_database(databases: LocalRegions) -> None:
    with pytest.raises(CommandError, match="Name a region"):
        call_command("regions", "failover", "--dir", str(databases.directory))
