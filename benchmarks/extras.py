"""What is not a time of one operation: dependents of a write, bytes of an entry, reads lost to an unrelated write."""

import statistics
from collections.abc import Mapping
from typing import Any

from benchmarks.comparison import empty
from benchmarks.processes import PeerProcess
from benchmarks.servers import Servers

DEPENDENTS = 10_000
ENTRIES = 1000
SAVES = 3


def bytes_an_entry(process: PeerProcess, servers: Servers) -> float:
    """Return the bytes of Redis that one cached get() takes, all keys counted, on the average of a thousand."""
    client = servers.redis(process.peer.database)
    if process.peer.name == "floor":
        keys = list(client.scan_iter("get:*"))
        return statistics.mean(client.memory_usage(key, samples=0) or 0 for key in keys)
    empty(process, servers)
    process.ask("fill_gets", count=ENTRIES)
    return sum(client.memory_usage(key, samples=0) or 0 for key in client.scan_iter(count=1000)) / ENTRIES


def reads_lost(process: PeerProcess, servers: Servers) -> int:
    """Return how many of 1,195 cached reads ask the database again after the save of a row that none of them reads."""
    empty(process, servers)
    process.ask("read_different")
    process.ask("read_different")
    process.ask("save_unrelated")
    return process.ask("read_different")["asked"]


def save_with_dependents(process: PeerProcess, servers: Servers, count: int) -> dict[str, float]:
    """Return milliseconds of a save() on which `count` entries depend, and of the longest command of Redis in it."""
    client = servers.redis(process.peer.database)
    taken, stopped = [], []
    for _ in range(SAVES):
        empty(process, servers)
        process.ask("fill_dependents", count=count)
        client.config_set("slowlog-log-slower-than", 0)
        client.slowlog_reset()
        taken.append(process.ask("save_dependent")["taken"] / 1e6)
        stopped.append(max((entry["duration"] for entry in client.slowlog_get(100)), default=0) / 1000)
        client.config_set("slowlog-log-slower-than", -1)
    return {"save": statistics.median(taken), "longest command": statistics.median(stopped)}


def measure(peers: Mapping[str, PeerProcess], servers: Servers) -> dict[str, dict[str, Any]]:
    """Return these figures by peer; plain Django and the floor have but some."""
    found: dict[str, dict[str, Any]] = {}
    for name, process in peers.items():
        if name == "plain":
            continue
        print(f"bytes, dependents, reads lost: {name}", flush=True)
        found[name] = {"bytes": bytes_an_entry(process, servers)}
        if name == "floor":
            continue
        found[name]["lost"] = reads_lost(process, servers)
        found[name]["one dependent"] = save_with_dependents(process, servers, 1)
        found[name]["dependents"] = save_with_dependents(process, servers, DEPENDENTS)
        empty(process, servers)
    return found
