"""Redis clusters of any number of primaries, without replicas."""

import contextlib
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import redis

from benchmarks.servers import REDIS_SETTINGS
from cacheops.redis import identity
from xyzsite.localregions import ports, processes
from xyzsite.localregions.programs import find_redis

SLOTS = 16_384
PATIENCE = 30.0  # seconds for the nodes to know each other


@contextlib.contextmanager
def running(shards: int) -> Iterator[str]:
    """Start a cluster; yield its address. Its data goes when the block ends."""
    folder = Path(tempfile.mkdtemp(prefix="benchmarks-shards-"))
    started: list[subprocess.Popen[bytes]] = []
    try:
        names = [name for number in range(shards) for name in (f"node {number}", f"bus {number}")]
        chosen = ports.choose(names, {})
        for number in range(shards):
            port = chosen[f"node {number}"]
            command = [find_redis().path, *REDIS_SETTINGS, "--port", str(port), "--dir", str(folder)]
            command += ["--cluster-enabled", "yes", "--cluster-port", str(chosen[f"bus {number}"])]
            command += ["--cluster-config-file", f"nodes-{number}.conf"]
            started.append(processes.spawn(command, folder / f"redis-{number}.log"))
        join([(chosen[f"node {number}"], chosen[f"bus {number}"]) for number in range(shards)])
        yield f"redis://127.0.0.1:{chosen['node 0']}/0"
    finally:
        for process in started:
            processes.end(process.pid, processes.started_at(process.pid))
            process.wait()
        shutil.rmtree(folder, ignore_errors=True)


def join(nodes: list[tuple[int, int]]) -> None:
    """Give each node its share of the slots, and have all know all. `nodes` are ports: of clients, and of the bus."""
    clients = [redis.Redis(port=port, retry_on_error=[redis.ConnectionError]) for port, _ in nodes]
    deadline = time.monotonic() + PATIENCE
    for number, client in enumerate(clients):
        until(deadline, partial(answers, client))
        share = range(SLOTS * number // len(nodes), SLOTS * (number + 1) // len(nodes))
        client.execute_command("CLUSTER", "ADDSLOTSRANGE", share[0], share[-1])
        client.execute_command("CLUSTER", "SET-CONFIG-EPOCH", number + 1)
        if number:
            client.execute_command("CLUSTER", "MEET", "127.0.0.1", *nodes[0])
    for client in clients:
        until(deadline, partial(is_whole, client))
        identity.begin(client)  # it need not be told from one that has lost its data
        client.close()


def is_whole(client: redis.Redis) -> bool:
    told = client.execute_command("CLUSTER", "INFO")
    return "ok" in str(told["cluster_state"] if isinstance(told, dict) else told).partition("cluster_slots")[0]


def answers(client: redis.Redis) -> bool:
    try:
        return bool(client.ping())
    except redis.ConnectionError:
        return False


def until(deadline: float, is_so: Callable[[], bool]) -> None:
    while not is_so():
        if time.monotonic() > deadline:
            raise RuntimeError("The nodes of a cluster do not find each other: see their logs.")
        time.sleep(0.05)
