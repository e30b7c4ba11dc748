"""The library on PostgreSQL, its tables published, read through a region on servers, whose relay a test runs."""

import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest
from django.core.management import call_command
from django.db import connection

from tests.cacheops.orm import conftest as orm
from tests.testapp import world
from tests.testapp.models import Book

_django_db_helper, cache = orm._django_db_helper, orm.cache
REGION = "us-east-1"
Run = Callable[..., Any]


def relay(*arguments: str) -> str:
    """Run `manage.py relay`; return what it says."""
    said = io.StringIO()
    call_command("relay", *arguments, stdout=said)
    return said.getvalue()


@pytest.fixture(scope="module")
def published(django_db_setup: None, django_db_blocker: Any) -> Iterator[None]:
    """Have the tables published; take it back, and all slots, afterwards."""
    with django_db_blocker.unblock():
        relay("--install")
        yield
        relay("--uninstall")
        connection.close()  # the next one knows that there is no slot


@pytest.fixture
def installed(published: None, _django_db_helper: None, cache: str, settings: Any) -> Iterator[None]:
    """Fill the library, and have a relay follow it from now on, for the test's own keys."""
    settings.CACHEOPS_REGIONS = (REGION,)
    settings.CACHEOPS_LOCAL_REGION = REGION
    world.empty("default")
    world.fill("default")
    relay("--once")
    connection.close()  # the next one knows of the slot
    yield
    world.empty("default")


@contextmanager
def other_session() -> Iterator[psycopg.Connection]:
    """Connect to the same database as somebody who knows nothing of us."""
    settings = connection.get_connection_params()
    names = {name: settings[name] for name in ("host", "port", "user", "dbname") if name in settings}
    with psycopg.connect(**names, autocommit=True) as other:
        yield other


@pytest.fixture
def outside(installed: None) -> Iterator[Run]:
    """Return what runs a statement in another session, and commits it."""
    with other_session() as other:
        yield other.execute


def title() -> str:
    """Read a book's title by the ORM."""
    return Book.objects.values_list("title", flat=True).get(pk=1)


def write(outside: Run, text: str) -> None:
    """Write it by another session."""
    outside("UPDATE testapp_book SET title = %s WHERE id = 1", [text])
