"""Figures of one test: counted from nothing, in keys of its own, on a store of each kind."""

import uuid
from collections.abc import Iterator
from typing import Any

import pytest

from cacheops.instrumentation.counters import counters
from cacheops.monitoring.recorder import flusher
from tests.servers import on_servers


@pytest.fixture(autouse=True)
def figures_of_its_own(settings: Any) -> Iterator[None]:
    settings.CACHEOPS_PREFIX = f"t-{uuid.uuid4().hex[:8]}"
    settings.CACHEOPS_METRICS_SECONDS = 0
    forget()
    yield
    forget()


def forget() -> None:
    counters.reset()
    flusher.reset()


STORES = ["memory", *on_servers("us-west-2", "us-east-1")]


@pytest.fixture(params=STORES)
def region(request: Any, settings: Any) -> str:
    """Return the process's only region: in memory, a primary with a replica, or a cluster."""
    name = request.param if request.param != "memory" else "us-east-2"
    if request.param == "memory":
        backend = {"BACKEND": "cacheops.backends.MemoryCache", "LOCATION": uuid.uuid4().hex}
        settings.CACHES = {**settings.CACHES, name: backend}
    settings.CACHEOPS_REGIONS = (name,)
    settings.CACHEOPS_LOCAL_REGION = name
    return str(name)
