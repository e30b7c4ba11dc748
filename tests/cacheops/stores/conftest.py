"""Our own stores: a region's in memory, and those on the suite's servers."""

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from cacheops.redis import servers
from cacheops.redis.options import ServerOptions
from cacheops.regions import store_for
from cacheops.stores.base import Store
from cacheops.stores.memory import MemoryStore
from cacheops.stores.redis import RedisStore
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


@pytest.fixture(params=["memory", *on_servers("us-west-2", "us-east-1", "sentinels")])
def store(request: Any, clock: Clock) -> Iterator[Store]:
    """Return a store in memory, on a primary with a replica, on a cluster, and on a primary that sentinels name."""
    if request.param == "sentinels":
        options = ServerOptions(urls=(request.getfixturevalue("sentinels").url,))
        found: Store = RedisStore("sentinels", servers(options), wait_replicas=1, wait_seconds=1.0)
    else:
        found = MemoryStore(clock=clock) if request.param == "memory" else store_for(request.param)
    yield found
    found.close()


@pytest.fixture
def pass_time(store: Store, clock: Clock) -> Callable[[float], None]:
    def advance(seconds: float) -> None:
        clock.now += seconds

    return time.sleep if store.remote else advance
