"""The library on PostgreSQL, empty caches in all regions, and a make_fanout to warm them with."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from typing import Any

import pytest

from cacheops.warming.fanout import RegionFanout
from cacheops.warming.replica import Source
from tests.cacheops.orm import conftest as orm
from tests.testapp import world

_django_db_helper, cache = orm._django_db_helper, orm.cache  # the fixtures of the ORM's tests

HOME = "us-east-1"


@pytest.fixture
def books(_django_db_helper: None, cache: str) -> Iterator[None]:
    """Fill the library. Book 1 stands on shelf 1, book 2 on shelf 2."""
    world.empty("default")
    world.fill("default")
    yield
    world.empty("default")


@pytest.fixture
def make_fanout() -> Iterator[Callable[..., RegionFanout]]:
    """Return a maker of fan-outs to regions: the process's own where none is named."""
    with ExitStack() as stack:

        def made(*regions: str, kind: type[RegionFanout] = RegionFanout, **options: Any) -> RegionFanout:
            source = options.pop("source", Source("default", None))
            return stack.enter_context(closing(kind(regions or (HOME,), source, **options)))

        yield made
