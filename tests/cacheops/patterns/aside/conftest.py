"""A region of each kind, alone, and books that tests may commit."""

import uuid
from collections.abc import Iterator
from typing import Any

import pytest

from tests.servers import on_servers
from tests.testapp import world


@pytest.fixture
def _django_db_helper(django_db_setup: None, django_db_blocker: Any) -> Iterator[None]:
    """Let marked tests commit (it replaces pytest-django's, which keeps every commit from happening)."""
    with django_db_blocker.unblock():
        yield


@pytest.fixture(params=["memory", *on_servers("us-east-1", "us-west-2")])
def region(request: Any, settings: Any) -> str:
    """Make one kind of region the only one, with keys of its own; return its name."""
    if request.param == "memory":
        settings.CACHES = {**settings.CACHES, "memory": {"BACKEND": "cacheops.backends.MemoryCache"}}
    settings.CACHEOPS_REGIONS = (request.param,)
    settings.CACHEOPS_LOCAL_REGION = request.param
    settings.CACHEOPS_PREFIX = f"t-{uuid.uuid4().hex[:8]}"
    return request.param


@pytest.fixture
def books(_django_db_helper: None, region: str) -> Iterator[None]:
    world.empty("default")
    world.fill("default")
    yield
    world.empty("default")
