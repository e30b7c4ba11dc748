"""The library in two databases, read through an empty cache of one region."""

import uuid
from collections.abc import Iterator
from typing import Any

import pytest

from tests.servers import on_servers
from tests.testapp import world

DATABASES = ("default", "other")


@pytest.fixture
def _django_db_helper(django_db_setup: None, django_db_blocker: Any) -> Iterator[None]:
    """Let marked tests use the databases as they are (it replaces pytest-django's).

    A transaction around the test would keep every commit from happening, and flushing every table of the project takes
    longer than most of these tests.
    """
    with django_db_blocker.unblock():
        yield


@pytest.fixture(params=[*on_servers("default"), "other"])  # without servers, both are SQLite's
def database(request: Any) -> str:
    return request.param


@pytest.fixture
def cache(settings: Any) -> str:
    """Give the test a cache of its own; return its prefix."""
    settings.CACHEOPS_PREFIX = f"t-{uuid.uuid4().hex[:8]}"
    return settings.CACHEOPS_PREFIX


@pytest.fixture
def library(_django_db_helper: None, database: str, cache: str) -> Iterator[str]:
    """Fill a database and empty it again; return its alias."""
    world.empty(database)
    world.fill(database)
    yield database
    world.empty(database)
