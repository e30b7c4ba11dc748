"""The library on PostgreSQL, read through one region: the suite's cluster, or this process's memory."""

from collections.abc import Iterator
from typing import Any

import pytest

from cacheops.instrumentation.counters import counters
from tests.cacheops.orm import conftest as orm
from tests.testapp import world

_django_db_helper, cache = orm._django_db_helper, orm.cache  # the fixtures of the ORM's tests


@pytest.fixture(params=["memory", "redis"])
def one_region(request: Any, settings: Any) -> str:
    """Let the process know one region, with a store of each kind."""
    if request.param == "memory":
        backend = {"BACKEND": "cacheops.backends.MemoryCache", "LOCATION": "races"}
        settings.CACHES = {**settings.CACHES, "us-east-1": backend}
    settings.CACHEOPS_REGIONS = ("us-east-1",)
    settings.CACHEOPS_LOCAL_REGION = "us-east-1"
    return request.param


@pytest.fixture
def books(_django_db_helper: None, cache: str, one_region: str) -> Iterator[None]:
    """Fill the library. Book 1 stands on shelf 1, book 2 on shelf 2."""
    counters.reset()
    world.empty("default")
    world.fill("default")
    yield
    world.empty("default")
