"""Servers that a test kills and starts again from the snapshots that they have left."""

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import environ
import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from cacheops.instrumentation.counters import counters
from cacheops.redis.identity import begin
from tests.clients import FAILURES
from tests.waiting import until
from xyzsite.localregions import ports, processes
from xyzsite.localregions.programs import find_redis
from xyzsite.settings.regions import caches_from_environment

REGION = "us-west-2"


class Server:
    """A Redis server with a folder and a port of its own, and the client of an operator."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self.folder = folder
        self.port = ports.choose(["redis"], {})["redis"]
        self.operator = redis.Redis(port=self.port, retry=Retry(NoBackoff(), 0), decode_responses=True)
        self.process: Any = None

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def start(self, *options: Any) -> "Server":
        """Start it from the snapshot or the log that it has left; as a new server where there is none."""
        own = ["--port", self.port, "--dir", self.folder, "--bind", "127.0.0.1", "--save", "3600 1"]
        own += ["--repl-diskless-sync", "no", "--repl-ping-replica-period", "1"]
        self.process = processes.spawn([find_redis().path, *own, *options], self.folder / "log")
        until(self.answers, "the server answers")
        return self

    def answers(self) -> bool:
        try:
            return bool(self.operator.ping())
        except FAILURES:
            return False

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()
        self.operator.connection_pool.disconnect()

    def go_back(self, lose: Callable[[], Any], *options: Any) -> None:
        """Have the server lose what `lose` does: it is killed, and started from a snapshot of before."""
        self.operator.save()
        lose()
        self.kill()
        self.start(*options)

    def follow(self, primary: "Server") -> None:
        self.operator.replicaof("127.0.0.1", primary.port)
        until(lambda: self.is_linked_to(primary), "the replica is linked")

    def is_linked_to(self, primary: "Server") -> bool:
        own, theirs = self.operator.info("replication"), primary.operator.info("replication")
        return (
            own.get("master_link_status") == "up"
            and own["master_replid"] == theirs["master_replid"]
            and own["slave_repl_offset"] == theirs["master_repl_offset"]
        )

    def promote(self) -> None:
        self.operator.replicaof("NO", "ONE")

    def permit(self, *rules: str) -> None:
        self.operator.execute_command("ACL", "SETUSER", "default", *rules)


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
