"""The faults: what is broken, for how long, and what that may cost according to docs/reliability.md."""

import os
import signal
import socket
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from cacheops.regions.outbox import CHECK_SECONDS
from tests import clients
from tests.faults.platform import Platform
from tests.waiting import until
from xyzsite.localregions.plan import HOME, REGIONS
from xyzsite.localregions.serving import served_urls

Step = AbstractContextManager[object]  # breaks one thing; at its end that is over
DATABASE = f"{HOME}-db"
AWAY = frozenset({"503"})
QUEUED = CHECK_SECONDS  # what a server that answers reads has refused to mark, others learn from the queue


@dataclass(frozen=True)
class Fault:
    """One row: the steps, each held for `seconds`, and the figures that may be above zero."""

    name: str
    steps: Callable[[Platform], Iterable[Step]]
    allows: frozenset[str] = frozenset()
    seconds: float = 3.0
    late: float = 0.0  # seconds for which anybody at home may see what was replaced
    mends_itself: bool = False  # recovery counts from the beginning of a step, else from its end


@contextmanager
def killed(pid: int, number: signal.Signals = signal.SIGKILL) -> Iterator[None]:
    os.kill(pid, number)
    yield


@contextmanager
def frozen(pid: int) -> Iterator[None]:
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


@contextmanager
def node_killed(site: Platform, node: str) -> Iterator[None]:
    site.regions.kill(node)
    yield


@contextmanager
def node_frozen(site: Platform, node: str) -> Iterator[None]:
    site.regions.pause(node)
    try:
        yield
    finally:
        site.regions.resume(node)


@contextmanager
def configured(site: Platform, node: str, **settings: str) -> Iterator[None]:
    """Set what a server refuses for, or evicts by."""
    with clients.node(clients.row(site.regions, node)) as client:
        names = {name.replace("_", "-"): value for name, value in settings.items()}
        before = {name: client.config_get(name)[name] for name in names}
        for name, value in names.items():
            client.config_set(name, value)
        try:
            yield
        finally:
            for name, value in before.items():
                client.config_set(name, value)


@contextmanager
def disk_full(site: Platform, node: str) -> Iterator[None]:
    """Have snapshots fail: a folder stands where the file would be moved to."""
    with clients.node(clients.row(site.regions, node)) as client:
        file = Path(client.config_get("dir")["dir"], client.config_get("dbfilename")["dbfilename"])
        file.unlink(missing_ok=True)
        file.mkdir()
        try:
            with configured(site, node, stop_writes_on_bgsave_error="yes"):
                client.bgsave()
                until(lambda: client.info("persistence")["rdb_last_bgsave_status"] == "err", "the snapshot fails")
                yield
        finally:
            file.rmdir()


@contextmanager
def forbidden(site: Platform, node: str) -> Iterator[None]:
    with clients.node(clients.row(site.regions, node)) as client:
        client.execute_command("ACL", "SETUSER", "default", "-@write", "+replicaof")
        try:
            yield
        finally:
            client.execute_command("ACL", "SETUSER", "default", "+@all")


@contextmanager
def handed_over(site: Platform, region: str) -> Iterator[None]:
    site.regions.failover(region)
    yield


@contextmanager
def gone_back(site: Platform, region: str) -> Iterator[None]:
    """Have all servers of a region come back with snapshots that are a second old."""
    for row in site.regions.status():
        if row["region"] == region and row["kind"] != "postgres":
            with clients.node(row) as client:
                client.save()
    time.sleep(1)
    site.regions.crash(region)
    yield


@contextmanager
def parted(site: Platform, region: str) -> Iterator[None]:
    site.regions.partition(region)
    try:
        yield
    finally:
        site.regions.heal()


@contextmanager
def database_moved(site: Platform, region: str) -> Iterator[None]:
    site.regions.failover_database(region)
    yield


@contextmanager
def crowded(url: str) -> Iterator[None]:
    """Hold open what takes nothing but places: 40 connections that send nothing, 17 with half a head."""
    address = urlsplit(url)
    with ExitStack() as stack:
        for number in range(57):
            client = stack.enter_context(socket.create_connection((address.hostname, address.port)))
            if number >= 40:
                client.sendall(b"GET / HTTP/1.1\r\nHost: half")
        yield


def each(step: Callable[..., Step], role: str = "", **settings: str) -> Callable[[Platform], Iterable[Step]]:
    """Return the steps that break each Redis server, or each of a role at that moment."""
    return lambda site: (step(site, node, **settings) for node in site.nodes(role=role))


FAULTS = [
    Fault("none", lambda site: [nullcontext()], seconds=10),
    Fault("each Redis server is killed", each(node_killed), mends_itself=True),
    Fault("each Redis server is frozen for 10 s", each(node_frozen), seconds=10),
    Fault("each Redis primary is full (OOM)", each(configured, "primary", maxmemory="1"), late=QUEUED),
    Fault("each Redis primary's disk is full (MISCONF)", each(disk_full, "primary"), late=QUEUED),
    Fault(
        "each Redis primary lacks replicas (NOREPLICAS)",
        each(configured, "primary", min_replicas_to_write="3"),
        late=QUEUED,
    ),
    Fault("each Redis primary forbids writes (NOPERM)", each(forbidden, "primary"), late=QUEUED),
    Fault(
        "each region's Redis fails over (READONLY, MOVED)",
        lambda site: (handed_over(site, region) for region in REGIONS),
        mends_itself=True,
    ),
    Fault(
        "all Redis servers of a region are killed, and come back with a snapshot",
        lambda site: (gone_back(site, region) for region in REGIONS),
        frozenset({"lost"}),
        mends_itself=True,
    ),
    Fault("`maxmemory-policy` becomes `allkeys-lru`", each(configured, "primary", maxmemory_policy="allkeys-lru")),
    Fault(
        "each region is parted from the others",
        lambda site: (parted(site, region) for region in REGIONS),
        AWAY,
        seconds=8,
    ),
    Fault(
        "PostgreSQL is restarted",
        lambda site: [killed(site.pid(DATABASE), signal.SIGINT)],
        AWAY,
        mends_itself=True,
    ),
    Fault("PostgreSQL is killed", lambda site: [node_killed(site, DATABASE)], AWAY, mends_itself=True),
    Fault("PostgreSQL is frozen for 10 s", lambda site: [node_frozen(site, DATABASE)], AWAY, seconds=10),
    Fault(
        "each replica of PostgreSQL is killed",
        lambda site: (node_killed(site, node) for node in site.nodes("postgres", "replica")),
        mends_itself=True,
    ),
    Fault(
        "each replica of PostgreSQL is frozen for 10 s",
        lambda site: (node_frozen(site, node) for node in site.nodes("postgres", "replica")),
        seconds=10,
    ),
    Fault("each relay is killed", lambda site: map(killed, site.relays()), mends_itself=True),
    Fault("each relay is frozen for 10 s", lambda site: map(frozen, site.relays()), seconds=10),
    Fault(
        "each web process is killed",
        lambda site: map(killed, site.web_processes()),
        frozenset({"no answer"}),
        mends_itself=True,
    ),
    Fault("each `flush_writes` is killed", lambda site: map(killed, site.flushers()), mends_itself=True),
    Fault(
        "40 idle connections and 17 half heads at each site",
        lambda site: map(crowded, served_urls(site.regions.directory).values()),
    ),
    Fault(
        "the primary database fails over, and back",
        lambda site: (database_moved(site, region) for region in ("us-west-2", HOME)),
        AWAY,
        mends_itself=True,
    ),
]
