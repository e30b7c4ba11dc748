"""Statistics of a region's servers (INFO), node by node, and rates between two polls, not totals since their start.

Once a minute one process of a region notes its nodes' statistics in its time series, so any process can show
the rates of the last minutes, and a chart of a day.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from django.core.cache import caches

from cacheops.exceptions import StoreError
from cacheops.instrumentation.counters import Sums, add_counts
from cacheops.monitoring.timeseries import HOUR, MINUTE, Increment, last_periods, period_at, time_series_of
from cacheops.protocol.keys import parse
from cacheops.regions import Region
from cacheops.stores.circuit_breaker import CircuitState

LOOK_BACK = 10  # minutes among which an earlier poll is searched for
MIN_SECONDS = 10.0  # between two polls: a shorter time says little
SAMPLED = ("used_memory", "used_memory_rss", "maxmemory", "connected_clients", "evicted_keys", "expired_keys",
           "total_commands_processed", "keyspace_hits", "keyspace_misses", "lag_bytes")  # fmt: skip


@dataclass(frozen=True, slots=True)
class SlowCommand:
    """One entry of a node's slow log. The arguments are not shown: they hold keys and values."""

    server: str
    at: int  # seconds since the epoch
    microseconds: int
    command: str
    key: str


@dataclass(frozen=True, slots=True)
class NodeRates:
    """What happened on a node between two polls, for a second."""

    seconds: float  # between the polls
    operations: float
    evicted: float
    expired: float
    hits: float
    misses: float


@dataclass(frozen=True, slots=True)
class NodeStats:
    """One node now. Sizes are in bytes. A node that does not answer has an `error` and nothing else."""

    server: str  # host:port, or "memory"
    error: str = ""
    role: str = ""  # primary, replica or memory
    used_memory: int = 0
    used_memory_rss: int = 0
    peak_memory: int = 0
    maxmemory: int = 0  # 0: no limit
    policy: str = ""
    fragmentation: float | None = None
    connected_clients: int = 0
    lag_bytes: int | None = None  # of a replica: written by its primary, not yet here
    lag_seconds: int | None = None  # of a replica: since it last heard from its primary
    link_up: bool | None = None
    uptime_seconds: int = 0
    keys: int | None = None
    evicted_keys: int = 0  # these are totals since the node started: show `rates`
    expired_keys: int = 0
    total_commands_processed: int = 0
    keyspace_hits: int = 0
    keyspace_misses: int = 0
    pool_limit: int | None = None  # connections of this process's cache to it; the engine's own are beside them
    pool_idle: int | None = None
    pool_in_use: int | None = None
    rates: NodeRates | None = None  # None until there were two polls

    @property
    def memory_share(self) -> float | None:
        """The share of its limit that is used, 0 to 1; None without a limit."""
        return self.used_memory / self.maxmemory if self.maxmemory else None


def read_nodes(region: Region, *, with_rates: bool = True) -> list[NodeStats]:
    """Return the statistics of a region's nodes now; a node that does not answer has an `error`."""
    try:
        answers = region.store.inspection.nodes()
    except StoreError as error:
        return [NodeStats(server="", error=str(error))]
    offsets = [int(info.get("master_repl_offset", 0)) for info in answers if info.get("role") == "master"]
    by_primary = {info["server"]: int(info.get("master_repl_offset", 0)) for info in answers if "server" in info}
    pools = pools_of(region)
    found = [
        node_stats_of({**info, **pools.get(str(info.get("server")), {})}, primary_offset(info, by_primary, offsets))
        for info in answers
    ]
    return with_rates_of(region, found) if with_rates else found


def pools_of(region: Region) -> Mapping[str, Mapping[str, int]]:
    """Return by server what this process's pools of a region's cache hold, under the names of NodeStats's fields.

    Asks no server: a cluster whose nodes this process's cache has not asked for has no pools yet.
    """
    known_pools = getattr(caches[region.name], "known_pools", list)
    return {
        one.server: {"pool_limit": one.limit, "pool_idle": one.idle, "pool_in_use": one.in_use} for one in known_pools()
    }


def own_counts(region: Region) -> dict[str, int]:
    """Return this process's state towards a region, as counts that add up to a `Fleet`.

    Asks no server, so a region that is away costs nothing.
    """
    counts = {"processes": 1, "open": int(region.breaker.state is not CircuitState.CLOSED)}
    connections = region.store.inspection.connections()
    if connections is not None:
        counts["lines"] = connections
        for pool in pools_of(region).values():
            add_counts(counts, pool)
    return counts


def primary_offset(info: Mapping[str, Any], by_server: Mapping[str, int], offsets: list[int]) -> int | None:
    """Return how far a replica's primary has written."""
    if info.get("role") != "slave":
        return None
    named = by_server.get(f"{info.get('master_host')}:{info.get('master_port')}")
    if named is not None:
        return named
    return offsets[0] if len(offsets) == 1 else None


def node_stats_of(info: Mapping[str, Any], offset: int | None = None) -> NodeStats:
    """Return the statistics in one node's answer to INFO, as the driver parses it."""
    if info.get("error"):
        return NodeStats(server=str(info.get("server", "")), error=str(info["error"]))
    replica = info.get("role") == "slave"
    own = int(info.get("slave_repl_offset", 0))
    return NodeStats(
        server=str(info["server"]),
        role={"master": "primary", "slave": "replica"}.get(str(info.get("role", "")), "memory"),
        used_memory=int(info.get("used_memory", 0)),
        used_memory_rss=int(info.get("used_memory_rss", 0)),
        peak_memory=int(info.get("used_memory_peak", info.get("used_memory", 0))),
        maxmemory=int(info.get("maxmemory", 0)),
        policy=str(info.get("maxmemory_policy", "")),
        fragmentation=float(info["mem_fragmentation_ratio"]) if "mem_fragmentation_ratio" in info else None,
        connected_clients=int(info.get("connected_clients", 0)),
        lag_bytes=max(0, offset - own) if replica and offset is not None else None,
        lag_seconds=int(info.get("master_last_io_seconds_ago", -1)) if replica else None,
        link_up=info.get("master_link_status") == "up" if replica else None,
        uptime_seconds=int(info.get("uptime_in_seconds", 0)),
        keys=sum(int(held["keys"]) for name, held in info.items() if name.startswith("db") and isinstance(held, dict)),
        evicted_keys=int(info.get("evicted_keys", 0)),
        expired_keys=int(info.get("expired_keys", 0)),
        total_commands_processed=int(info.get("total_commands_processed", 0)),
        keyspace_hits=int(info.get("keyspace_hits", 0)),
        keyspace_misses=int(info.get("keyspace_misses", 0)),
        pool_limit=info.get("pool_limit"),
        pool_idle=info.get("pool_idle"),
        pool_in_use=info.get("pool_in_use"),
    )


# --- polls of the past ----------------------------------------------------------------------------------------------


def poll_nodes(region: Region, now: float) -> bool:
    """Poll the nodes for this minute and hour, if no other process has; return whether this one did."""
    time_series = time_series_of(region.store)
    periods = [period_at(now, MINUTE), period_at(now, HOUR)]
    claimed = time_series.add([Increment(period.base, "looking", period.lives, {}) for period in periods])
    if not any(claimed):
        return False
    sums = samples_of(read_nodes(region, with_rates=False), now)
    mine = [period for period, is_new in zip(periods, claimed, strict=True) if is_new]
    time_series.add([Increment(period.base, "looked", period.lives, sums) for period in mine])
    return True


def samples_of(nodes: list[NodeStats], now: float) -> Sums:
    """Return the statistics as series of a time series; each has one writer a period, so nothing is added up."""
    return {
        f"n|{node.server}": {
            "at": round(now * 1000),
            **{name: value for name in SAMPLED if isinstance(value := getattr(node, name), int)},
        }
        for node in nodes
        if not node.error
    }


def with_rates_of(region: Region, nodes: list[NodeStats], clock: Any = time.time) -> list[NodeStats]:
    """Return the nodes with their rates since the last poll that the time series holds."""
    now = clock()
    try:
        past = time_series_of(region.store).read([period.base for period in last_periods(now, MINUTE, LOOK_BACK)])
    except StoreError:
        return nodes
    last: dict[str, Mapping[str, int]] = {
        series[2:]: counts
        for sums in past
        for series, counts in sums.items()
        if series.startswith("n|") and counts["at"] <= (now - MIN_SECONDS) * 1000
    }
    return [_with_rates(node, last.get(node.server), now) for node in nodes]


def _with_rates(node: NodeStats, before: Mapping[str, int] | None, now: float) -> NodeStats:
    if before is None or node.error:
        return node
    return replace(node, rates=rates_between(before, samples_of([node], now)[f"n|{node.server}"]))


def rates_between(before: Mapping[str, int], after: Mapping[str, int]) -> NodeRates | None:
    """Return the rates between two polls; None where no time has passed. A node that was restarted began at 0."""
    seconds = (after["at"] - before["at"]) / 1000
    if seconds <= 0:
        return None

    def rate(name: str) -> float:
        grown = after.get(name, 0) - before.get(name, 0)
        return (grown if grown >= 0 else after.get(name, 0)) / seconds

    return NodeRates(
        seconds=seconds,
        operations=rate("total_commands_processed"),
        evicted=rate("evicted_keys"),
        expired=rate("expired_keys"),
        hits=rate("keyspace_hits"),
        misses=rate("keyspace_misses"),
    )


def slow_command(server: str, logged: Mapping[str, Any]) -> SlowCommand:
    """Return an entry of a slow log (SLOWLOG GET) as the driver parses it, without the arguments behind its key."""
    said: Any = logged.get("command", b"")
    text = said.decode(errors="replace") if isinstance(said, bytes) else str(said)
    words = text.split(" ")
    keyed = next(filter(parse, words[1:]), words[1] if len(words) > 1 else "")
    return SlowCommand(server, int(logged["start_time"]), int(logged["duration"]), words[0], keyed)
