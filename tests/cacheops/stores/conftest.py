"""Our own stores: a region's in memory, and those on the suite's servers."""

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from cacheops.regions import store_for
from cacheops.stores.base import Store
from cacheops.stores.memory import MemoryStore
from tests.servers import on_servers


class Clock:
    """Seconds that pass when a test says so."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(params=["memory", *on_servers("us-west-2", "us-east-1")])
def store(request: Any, clock: Clock) -> Iterator[Store]:
    """Return a store in memory, on a primary with a replica, and on a cluster."""
    found = MemoryStore(clock=clock) if request.param == "memory" else store_for(request.param)
    yield found
    found.close()


@pytest.fixture
def pass_time(store: Store, clock: Clock) -> Callable[[float], None]:
    def advance(seconds: float) -> None:
        clock.now += seconds

    return time.sleep if store.remote else advance
