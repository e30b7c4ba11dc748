"""What is done to the servers while readers and writers run."""

import contextlib
import random
import time
from collections.abc import Callable
from typing import Any

import redis

from cacheops.redis import identity
from xyzsite.localregions.exceptions import LocalRegionsError
from xyzsite.localregions.manager import LocalRegions

FAULTS = ("kill", "failover", "snapshot-restart", "evict", "snapshot", "locks")
ROOM = 2_000_000  # bytes above what a server uses at the beginning
BACKLOG = 65_536  # bytes; as it grows to its size, it takes memory from the entries
BALLAST = 20_000  # bytes of a value that the harness writes itself, so that memory is always short
MAX_LOST = 1.0  # seconds of writes that a snapshot lacks
LOOK = 0.5  # seconds between two looks at the servers' memory
BALLAST_STEP = 20  # of them at each look


def nodes(regions: LocalRegions, names: tuple[str, ...]) -> list[dict[str, Any]]:
    """Return the rows of the Redis servers of some regions."""
    return [row for row in regions.status() if row["region"] in names and row["kind"] != "postgres"]


def client(row: dict[str, Any]) -> redis.Redis:
    host, _, port = row["address"].rpartition(":")
    return redis.Redis(host, int(port), socket_timeout=1)


def begin(rows: list[dict[str, Any]]) -> None:
    """Empty servers, and tell them that they are new: otherwise nothing would be cached on them for some time."""
    for row in rows:
        if row["role"] == "primary":
            with client(row) as server:
                server.flushall()
                identity.begin(server, row["kind"] == "cluster")
    note_replicas(rows)


def note_replicas(rows: list[dict[str, Any]]) -> None:
    """Name the replicas to their primaries, as a process does every ten seconds: here servers fail more often."""
    infos = []
    for row in rows:
        with client(row) as server:
            infos.append(server.info())
    for row in rows:
        if row["role"] == "primary":
            with client(row) as server:
                identity.note_replicas(server, row["kind"] == "cluster", infos)


class Faults:
    """Fails servers by turns, with random pauses. `regions` are the names of those whose servers may fail."""

    def __init__(self, regions: LocalRegions, names: tuple[str, ...], wanted: set[str], seed: int, every: float):
        self.regions = regions
        self.names = names
        self.wanted = wanted
        self.random = random.Random(seed)
        self.every = every  # seconds between two failures, on average
        self.killed = 0
        self.handed_over = 0
        self.crashed = 0
        self.evicted: dict[str, int] = {}  # by the server and its process
        self._limited: set[tuple[str, int]] = set()
        self._next = time.monotonic() + every
        self._next_look = 0.0

    def step(self) -> None:
        """Do what is due."""
        if "evict" in self.wanted and time.monotonic() >= self._next_look:
            self._next_look = time.monotonic() + LOOK
            self._keep_small()
        if {"failover", "snapshot-restart"} & self.wanted and time.monotonic() >= self._next:
            self._next = time.monotonic() + self.random.uniform(0.5, 1.5) * self.every
            self._fail()

    def _fail(self) -> None:
        primaries = [
            row for row in nodes(self.regions, self.names) if row["role"] == "primary" and row["state"] == "up"
        ]
        if not primaries:
            return
        row = self.random.choice(primaries)
        plan: list[Callable[[], None]] = []
        if "failover" in self.wanted:
            plan += [lambda: self._kill(row["node"])] * 2 + [lambda: self._hand_over(row["region"])]
        if "snapshot-restart" in self.wanted:
            plan += [lambda: self._crash(row["region"], row["shard"])] * 2
        self.regions.wait_linked()  # one failure at a time: two lost servers lose the marks, and no cache survives that
        with contextlib.suppress(redis.RedisError):  # a cluster that has just come back is down for two seconds more
            note_replicas(nodes(self.regions, self.names))
        self.random.choice(plan)()

    def _kill(self, node: str) -> None:
        self.regions.kill(node)
        self.killed += 1

    def _crash(self, region: str, shard: int) -> None:
        """Have a shard save snapshots, then lose what was written since."""
        for row in nodes(self.regions, (region,)):
            if row["shard"] == shard:
                with client(row) as server:
                    server.save()
        time.sleep(self.random.uniform(0, MAX_LOST))
        self.regions.crash(region, shard)
        self.crashed += 1

    def _hand_over(self, region: str) -> None:
        try:
            self.regions.failover(region)
        except LocalRegionsError:
            return  # no replica in sync at this moment
        self.handed_over += 1

    def _keep_small(self) -> None:
        """Give each server, also one that came back, little memory; and note what it has evicted."""
        for row in nodes(self.regions, self.names):
            if row["state"] != "up":
                continue
            server = client(row)
            try:
                if (row["node"], row["pid"]) not in self._limited:
                    server.config_set("repl-backlog-size", BACKLOG)
                    server.config_set("maxmemory", server.info("memory")["used_memory"] + ROOM)
                    self._limited.add((row["node"], row["pid"]))
                with server.pipeline(transaction=False) as pipeline:
                    for _ in range(BALLAST_STEP):
                        pipeline.set(f"ballast:{self.random.randrange(10_000)}", bytes(BALLAST), ex=60)
                    pipeline.execute(raise_on_error=False)  # a cluster's node takes those of its own slots
                self.evicted[f"{row['node']} {row['pid']}"] = server.info("stats")["evicted_keys"]
            except redis.RedisError:
                continue  # it is failing over
            finally:
                server.close()
