"""A database that goes away under a cached read: the caller sees Django's errors, whichever statement met it."""

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from django.db import OperationalError, connection

from cacheops.regions import direct_sql, regions
from tests.testapp import world
from tests.testapp.models import Book


@pytest.fixture
def lost(_django_db_helper: None, cache: str) -> Iterator[None]:
    """Fill the library, have a read find it, and end the connection's server process."""
    world.empty("default")
    world.fill("default")
    Book.objects.get(pk=1)
    settings = connection.get_connection_params()
    names = {name: settings[name] for name in ("host", "port", "user", "password", "dbname") if name in settings}
    with psycopg.connect(**names) as other:
        other.execute("SELECT pg_terminate_backend(%s, 5000)", [connection.connection.info.backend_pid])
    yield
    connection.close()
    world.empty("default")


def read_when_the_queue_is_due() -> Any:
    regions.local.outbox.recheck()
    return Book.objects.get(pk=1)


def look_for_a_table() -> Any:
    return direct_sql.has_table("default", "nobodys_table")


@pytest.mark.django_db
@pytest.mark.usefixtures("lost")
@pytest.mark.parametrize("act", [read_when_the_queue_is_due, look_for_a_table])
def test_a_read_raises_djangos_error(act: Any) -> None:
    with pytest.raises(OperationalError):
        act()
