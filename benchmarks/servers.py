"""The servers that all peers share: one PostgreSQL and one Redis without replicas, on loopback."""

import contextlib
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psycopg
import redis
from psycopg import sql

from benchmarks.awake import kept_awake
from cacheops.redis import identity
from xyzsite.localregions import ports, postgres, processes
from xyzsite.localregions.manager import LocalRegions
from xyzsite.localregions.plan import HOME, Options
from xyzsite.localregions.programs import find_postgres, find_redis

REDIS_DATABASES = 16  # as installed
REDIS_SETTINGS = ("--save", "", "--appendonly", "no", "--bind", "127.0.0.1", "--hz", "10")


@dataclass(frozen=True)
class Servers:
    """What runs. `described` goes into the report."""

    database_url: str
    redis_port: int
    described: dict[str, str]

    def redis(self, database: int) -> redis.Redis:
        """Return a client of one of the databases of the Redis server."""
        return redis.Redis(port=self.redis_port, db=database)

    def create_database(self, name: str) -> None:
        """Make another database beside the first; its URL differs in the name alone."""
        with psycopg.connect(self.database_url, autocommit=True) as connection:
            connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))

    def empty(self, database: int) -> None:
        """Empty a database, and say so: it need not be told from one that has lost its data."""
        client = self.redis(database)
        client.flushdb()
        identity.begin(client)


@contextlib.contextmanager
def running(*, fsync: bool, awake: bool = True) -> Iterator[Servers]:
    """Start both servers; end them, and remove their data, when the block ends."""
    with kept_awake() if awake else contextlib.nullcontext("may sleep") as processors, _started(fsync) as found:
        found.described["processors"] = processors
        yield found


@contextlib.contextmanager
def _started(fsync: bool) -> Iterator[Servers]:
    folder = Path(tempfile.mkdtemp(prefix="benchmarks-"))
    folder.chmod(0o711)  # PostgreSQL's user enters it
    started: list[subprocess.Popen[bytes]] = []
    try:
        chosen = ports.choose(["postgres", "redis"], {})
        store = find_redis()
        command = [store.path, *REDIS_SETTINGS, "--port", str(chosen["redis"]), "--dir", str(folder)]
        started.append(processes.spawn(command, folder / "redis.log"))
        program = postgres.runnable(find_postgres(), folder)
        data, log = folder / "postgres", folder / "postgres.log"
        postgres.initialise(program, data, volatile=not fsync)
        command = postgres.command(program, data, chosen["postgres"], volatile=not fsync)
        started.append(processes.spawn(command, log, user=program.user))
        postgres.wait_ready(started[-1], data, log)
        postgres.create_database(chosen["postgres"])
        described = {
            "PostgreSQL": f"{program}, TCP on loopback, fsync {'on (as installed)' if fsync else 'off'}",
            "Redis": f"{store}, one server, TCP on loopback",
        }
        found = Servers(postgres.url(chosen["postgres"]), chosen["redis"], described)
        for database in range(REDIS_DATABASES):
            found.empty(database)
        yield found
    finally:
        for process in started:
            processes.end(process.pid, processes.started_at(process.pid))
            process.wait()
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def cluster() -> Iterator[str]:
    """Start the local regions; yield the addresses of the cluster of two shards, each a primary and a replica."""
    folder = Path(tempfile.mkdtemp(prefix="benchmarks-cluster-"))
    regions = LocalRegions(folder)
    try:
        regions.up(Options(volatile=True))
        yield regions.environment(HOME)["REDIS_URL_US_EAST_1"]
    finally:
        regions.down()
        shutil.rmtree(folder, ignore_errors=True)
