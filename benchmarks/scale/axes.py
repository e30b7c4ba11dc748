"""How the cost of reads and writes grows: with rows, entries, schemes, processes, shards and writes.

Each axis returns what it has measured as points: {axis, peer, x, and figures by name}. Peers take turns at each point.
"""

import random
import statistics
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from typing import Any

from benchmarks.environments import BY_NAME, HEADLINE, Peer
from benchmarks.processes import PeerProcess
from benchmarks.scale import clusters
from benchmarks.servers import Servers

Point = dict[str, Any]
PEERS = ("plain", "cachalot", HEADLINE)
ROWS = (1_000, 10_000, 100_000, 1_000_000)
MANY_ROWS = 10_000_000
ENTRIES = (1_000, 10_000, 100_000, 1_000_000)
SCHEMES = (1, 4, 16, 64)
PROCESSES = (1, 2, 4, 8)
SHARDS = (1, 2, 4)
WRITES = (0.0, 0.01, 0.1, 0.3)
THREADS, WAITING_PROCESSES = 250, 4  # a thousand readers wait
CALLS, ROUNDS = 100, 3


class Bench:
    """The servers, and the processes of the peers."""

    def __init__(self, servers: Servers, seconds: float) -> None:
        self.servers = servers
        self.seconds = seconds

    def start(self, peer: Peer, address: str = "") -> PeerProcess:
        address = address or f"redis://127.0.0.1:{self.servers.redis_port}/{peer.database}"
        return PeerProcess(peer, self.servers.database_url, address)

    @contextmanager
    def peers(self, names: Sequence[str] = PEERS) -> Iterator[dict[str, PeerProcess]]:
        """Start a process of each peer; their caches are empty."""
        with ExitStack() as stack:
            found = {}
            for name in names:
                found[name] = self.start(BY_NAME[name])
                stack.callback(found[name].end)
                self.servers.empty(BY_NAME[name].database)
            yield found

    @contextmanager
    def several(self, peer: Peer, count: int, address: str = "") -> Iterator[list[PeerProcess]]:
        with ExitStack() as stack:
            found = [self.start(peer, address) for _ in range(count)]
            for process in found:
                stack.callback(process.end)
            yield found


def costs(process: PeerProcess) -> dict[str, float]:
    """Return microseconds of an undisturbed call (10th percentile) by operation: of the processor, by the clock."""
    found = {}
    for operation in ("get", "list", "save"):
        asked = [process.ask("run", operation=operation, count=CALLS) for _ in range(ROUNDS)]
        for kind, name in (("worked", operation), ("taken", f"{operation}, clock")):
            found[name] = statistics.median(sorted(one[kind])[CALLS // 10] for one in asked) / 1000
    return found


def together(processes: Sequence[PeerProcess], seconds: float, writes: float) -> dict[str, float]:
    """Have processes read and write at the same time; return what all do a second, and the rest as it is for each."""
    with ThreadPoolExecutor(len(processes)) as threads:
        asked = [
            threads.submit(process.ask, "mix", seconds=seconds, writes=writes, seed=random.randrange(10**6))
            for process in processes
        ]
        found = [one.result() for one in asked]
    rates = {name: sum(one[name] for one in found) for name in ("a second", "of the processor")}
    return rates | {name: statistics.mean(one[name] for one in found) for name in found[0] if name not in rates}


def rows(bench: Bench, sizes: Sequence[int] = ROWS) -> Iterator[Point]:
    """Grow the table; the first size is there."""
    with bench.peers() as peers:
        for size in sizes:
            if size != sizes[0]:
                peers["plain"].ask("grow", rows=size)
            for name, process in peers.items():
                yield {"axis": "rows", "peer": name, "x": size, **costs(process)}


def entries(bench: Bench, sizes: Sequence[int] = ENTRIES) -> Iterator[Point]:
    """Fill the region with entries, each of which depends on a row of its own."""
    with bench.peers([HEADLINE]) as peers:
        redis, there = bench.servers.redis(BY_NAME[HEADLINE].database), 0
        empty = redis.info("memory")["used_memory"]
        for size in sizes:
            peers[HEADLINE].ask("fill", first=there, last=size, dependent=False)
            there = size
            taken = (redis.info("memory")["used_memory"] - empty) / size
            yield {"axis": "entries", "peer": HEADLINE, "x": size, "bytes": taken, **costs(peers[HEADLINE])}


def dependents(bench: Bench, sizes: Sequence[int] = ENTRIES) -> Iterator[Point]:
    """Have one row's write invalidate ever more entries. Milliseconds of the save, and of Redis' longest command."""
    with bench.peers([HEADLINE]) as peers:
        redis, there = bench.servers.redis(BY_NAME[HEADLINE].database), 0
        for size in sizes:
            peers[HEADLINE].ask("fill", first=there, last=size, dependent=True)
            there = 0  # they are all outdated after
            redis.config_set("slowlog-log-slower-than", 0)
            redis.slowlog_reset()
            saved = peers[HEADLINE].ask("save_dependent")["taken"] / 1e6
            longest = max((entry["duration"] for entry in redis.slowlog_get(100)), default=0) / 1000
            redis.config_set("slowlog-log-slower-than", -1)
            yield {"axis": "dependents", "peer": HEADLINE, "x": size, "save, ms": saved, "longest command, ms": longest}


def schemes(bench: Bench, sizes: Sequence[int] = SCHEMES) -> Iterator[Point]:
    with bench.peers([HEADLINE]) as peers:
        for size in sizes:
            peers[HEADLINE].ask("read_by_schemes", count=size)
            yield {"axis": "schemes", "peer": HEADLINE, "x": size, **costs(peers[HEADLINE])}


def processes(bench: Bench, sizes: Sequence[int] = PROCESSES) -> Iterator[Point]:
    for size in sizes:
        for name in PEERS:
            with bench.several(BY_NAME[name], size) as found:
                together(found, bench.seconds / 3, 0.0)  # connections, plans, entries
                yield {"axis": "processes", "peer": name, "x": size, **together(found, bench.seconds, 0.0)}


def writes(bench: Bench, sizes: Sequence[float] = WRITES) -> Iterator[Point]:
    for size in sizes:
        for name in PEERS:
            with bench.several(BY_NAME[name], 2) as found:
                together(found, bench.seconds / 3, size)
                yield {"axis": "writes", "peer": name, "x": size * 100, **together(found, bench.seconds, size)}


def shards(bench: Bench, sizes: Sequence[int] = SHARDS) -> Iterator[Point]:
    """Put the entries on a cluster of so many primaries without replicas."""
    for size in sizes:
        with clusters.running(size) as address, bench.several(BY_NAME["cluster"], 2, address) as found:
            together(found, bench.seconds / 3, 0.1)
            yield {"axis": "shards", "peer": "cluster", "x": size, **together(found, bench.seconds, 0.1)}


def waiting(bench: Bench) -> Iterator[Point]:
    """Have a thousand readers ask at once for what one of them loads."""
    with bench.several(BY_NAME[HEADLINE], WAITING_PROCESSES) as found, ThreadPoolExecutor(len(found)) as threads:
        redis = bench.servers.redis(BY_NAME[HEADLINE].database)
        before = commands(redis)
        done = [one.result() for one in [threads.submit(process.ask, "wait", threads=THREADS) for process in found]]
        loads = [moment for one in done for moment in one["loads"]]
        yield {
            "axis": "waiting", "peer": HEADLINE, "x": THREADS * WAITING_PROCESSES, "loads": len(loads),
            "last reader after the load, ms": (max(one["last"] for one in done) - max(loads)) * 1000,
            "commands a reader": (commands(redis) - before) / (THREADS * WAITING_PROCESSES),
        }  # fmt: skip


def commands(redis: Any) -> int:
    """Return how many commands a server has answered."""
    return redis.info("stats")["total_commands_processed"]


AXES: dict[str, Callable[[Bench], Iterator[Point]]] = {
    "rows": rows,
    "writes": writes,
    "processes": processes,
    "schemes": schemes,
    "shards": shards,
    "waiting": waiting,
    "entries": entries,
    "dependents": dependents,
}
