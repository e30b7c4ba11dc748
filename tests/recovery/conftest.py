"""Servers that a test kills and starts again from the snapshots that they have left."""

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import environ
import pytest

from cacheops.instrumentation.counters import counters
from cacheops.redis.identity import begin
from tests.redis_server import Server
from xyzsite.settings.regions import caches_from_environment

REGION = "us-west-2"


@pytest.fixture
def new_server(tmp_path: Path) -> Iterator[Callable[..., Server]]:
    """Return a call that starts an empty server."""
    with contextlib.ExitStack() as stack:
        names = iter("abcd")

        def made(*options: Any) -> Server:
            server = Server(tmp_path / next(names)).start(*options)
            stack.callback(server.operator.close)
            stack.callback(server.kill)
            return server

        yield made


@pytest.fixture
def server(new_server: Callable[..., Server]) -> Server:
    """Return a server of which this process knows that it began empty."""
    found = new_server()
    assert begin(found.operator)
    return found


@pytest.fixture
def use(settings: Any, _django_db_helper: None) -> Iterator[Callable[..., None]]:
    """Return a call that lets this process run in a region of these servers alone."""

    def run_on(server: Server, *readers: Server, **more: str) -> None:
        env = environ.Env()
        env.ENVIRON = {
            "REDIS_URL_US_WEST_2": server.url,
            "REDIS_READER_URL_US_WEST_2": ",".join(reader.url for reader in readers),
            "REDIS_PAUSE_AFTER_FAILURE": "0",
            "REDIS_SOCKET_TIMEOUT": "2",
            "REDIS_RETRY_BUDGET": "2",
            **more,
        }
        settings.CACHES = caches_from_environment(env, REGION)
        settings.CACHEOPS_LOCAL_REGION = REGION
        settings.CACHEOPS_REGIONS = (REGION,)
        settings.CACHEOPS_WAIT_REPLICAS = len(readers)
        settings.CACHEOPS_WAIT_SECONDS = 2
        settings.CACHEOPS_TIMEOUT = 5
        settings.CACHEOPS_BREAKER_RECOVERY = 0
        settings.CACHEOPS_METRICS_SECONDS = 0
        counters.reset()

    yield run_on
    settings.CACHEOPS_REGIONS = ()  # the regions close what this thread holds open


@pytest.fixture
def region(server: Server, use: Callable[..., None]) -> Server:
    """Let this process run in a region of one server without a replica; return the server."""
    use(server)
    return server


def recoveries() -> int:
    """Return how many servers this process has purged and accepted."""
    return counters.totals().get("e|recovery", {}).get("servers", 0)
