"""The harness's own database: made, filled, and asked what was committed."""

import io
import time
from collections.abc import Callable

import psycopg
from psycopg import sql

from tests.consistency.board import ROWS
from tests.consistency.rules import AMOUNT, IMMORTAL, ITEMS, SHELVES, look_of

NAME = "consistency"
TEMPLATE = "consistency_filled"
GONE_SECONDS = 20.0
AWAY_SECONDS = 60.0


def connected(url: str) -> psycopg.Connection:
    """Connect, waiting for a server that is killed or frozen. Raise psycopg.OperationalError after a long time."""
    deadline = time.monotonic() + AWAY_SECONDS
    while True:
        try:
            return psycopg.connect(url, autocommit=True, connect_timeout=5)
        except psycopg.OperationalError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)


def drop_slots(url: str) -> None:
    """Let the server keep no log for relays of an earlier run, which have ended."""
    with connected(url) as connection:
        connection.execute(
            "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE database = %s", [NAME]
        )


def create(url: str, fill_at: Callable[[str], None]) -> str:
    """Make the database on a server, and return its address. `fill_at` fills the one that it is copied from, once."""
    with psycopg.connect(url, autocommit=True) as connection:
        if not connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [TEMPLATE]).fetchone():
            connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(TEMPLATE)))
            fill_at(named(url, TEMPLATE))
        connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(NAME)))
        copy = sql.SQL("CREATE DATABASE {} TEMPLATE {}")
        connection.execute(copy.format(sql.Identifier(NAME), sql.Identifier(TEMPLATE)))
        # Writers lock several rows in no order: let a deadlock end soon.
        connection.execute(sql.SQL("ALTER DATABASE {} SET deadlock_timeout = '50ms'").format(sql.Identifier(NAME)))
    return named(url)


def named(url: str, name: str = NAME) -> str:
    """Return the address of a database on the same server."""
    return f"{url.rpartition('/')[0]}/{name}"


def fill() -> None:
    """Make the tables and their rows, and publish them to relays (called in a process whose Django is set up)."""
    from django.core.management import call_command
    from django.db import connection

    from tests.consistency.models import Item, Ledger, Shelf

    call_command("migrate", verbosity=0, run_syncdb=True)
    call_command("relay", install=True, stdout=io.StringIO())
    connection.close()
    Shelf.objects.bulk_create([Shelf(pk=number) for number in range(1, SHELVES + 1)])
    Ledger.objects.bulk_create([Ledger(pk=number) for number in range(IMMORTAL + 1, ITEMS + 1)])
    for number in range(1, ITEMS + 1):
        look = look_of(number, 0)
        assert look is not None
        Item.objects.create(
            pk=number,
            code=f"item-{number}",
            shelf_id=look.shelf,
            parity=look.parity,
            amount=AMOUNT if number <= IMMORTAL else 0,
        )


def wait_gone(url: str, backend: int) -> None:
    """Wait until the database has done with a client that was killed: its last COMMIT may still be on the way."""
    deadline = time.monotonic() + GONE_SECONDS
    with connected(url) as connection:
        while connection.execute("SELECT 1 FROM pg_stat_activity WHERE pid = %s", [backend]).fetchone():
            if time.monotonic() > deadline:
                connection.execute("SELECT pg_terminate_backend(%s)", [backend])
            time.sleep(0.005)


def counters(url: str) -> list[int]:
    """Return the committed counter of each row of the board."""
    found = [0] * ROWS
    with connected(url) as connection:
        statement = (
            "SELECT id - 1, counter FROM consistency_item WHERE id <= %(immortal)s"
            " UNION ALL SELECT id - 1, counter FROM consistency_ledger"
            " UNION ALL SELECT %(items)s + id - 1, counter FROM consistency_shelf"
        )
        for row, counter in connection.execute(statement, {"immortal": IMMORTAL, "items": ITEMS}):
            found[row] = counter
    return found
