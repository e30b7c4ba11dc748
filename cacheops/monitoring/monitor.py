"""CacheMonitor: a region's statistics, from its processes and from its servers, for pages and commands."""

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from cacheops.conf import conf
from cacheops.exceptions import StoreError, StoreUnavailable
from cacheops.monitoring import keyspace, nodes, stats
from cacheops.monitoring.fleet import Fleet, fleet_state
from cacheops.monitoring.formats import human_bytes
from cacheops.monitoring.keyspace import KeyDistribution
from cacheops.monitoring.nodes import NodeStats, SlowCommand
from cacheops.monitoring.stats import Point, Usage
from cacheops.regions import Region, regions
from cacheops.stores.circuit_breaker import CircuitState


@dataclass
class CacheMetrics:
    """A region's statistics of the last minutes: counts are of that time, not since some start (specification, B)."""

    hits: int = 0
    misses: int = 0  # reads that the cache did not answer, bypasses included
    total_operations: int = 0
    avg_response_time: float = 0.0  # of look-ups, in milliseconds
    memory_usage: int = 0  # bytes, of the primaries
    evicted_keys: int = 0  # of the primaries, in that time

    @property
    def hit_rate(self) -> float:
        """The share of hits, 0 to 1; 0 for no operations."""
        return self.hits / self.total_operations if self.total_operations else 0.0


@dataclass(frozen=True, slots=True)
class RegionState:
    """One region at a glance. Where it does not answer, `error` says why, and there is nothing else."""

    region: str
    local: bool
    embedded: bool  # in this process's memory: no servers
    breaker: CircuitState  # of this process
    error: str = ""
    now: Usage | None = None  # of the last five minutes
    day: Usage | None = None  # of the last 24 hours
    processes: Mapping[str, Fleet] | None = None  # the region's, towards each region
    nodes: tuple[NodeStats, ...] = ()

    @property
    def reachable(self) -> bool:
        return not self.error

    @property
    def health(self) -> str:
        """healthy, degraded (a node is missing, or a replica has lost its primary), or down."""
        if self.error or all(node.error for node in self.nodes):
            return "down"
        return "degraded" if any(node.error or node.link_up is False for node in self.nodes) else "healthy"

    @property
    def memory(self) -> int:
        """Bytes that the primaries hold: replicas hold the same."""
        return sum(node.used_memory for node in self.nodes if node.role != "replica")

    @property
    def memory_limit(self) -> int:
        """Bytes that the primaries may hold; 0 where one has no limit."""
        limits = [node.maxmemory for node in self.nodes if node.role != "replica" and not node.error]
        return sum(limits) if all(limits) else 0


class CacheMonitor:
    """Looks at one region: the local one if none is named."""

    def __init__(self, region: str | None = None) -> None:
        self._name = region

    @property
    def region(self) -> Region:
        return regions[self._name] if self._name else regions.local

    def get_cache_metrics(self, minutes: int = 5) -> CacheMetrics:
        """Return what was counted in the last minutes. Raise StoreUnavailable where the region does not answer."""
        reads = stats.usage(self.region.name, minutes=minutes).total
        held = [node for node in self.get_nodes() if node.role != "replica"]
        mean = reads.look_up.mean
        return CacheMetrics(
            hits=reads.hits + reads.stale,
            misses=reads.misses + reads.bypasses,
            total_operations=reads.total,
            avg_response_time=1000 * mean if mean is not None else 0.0,
            memory_usage=sum(node.used_memory for node in held),
            evicted_keys=round(sum(node.rates.evicted * 60 * minutes for node in held if node.rates)),
        )

    def get_key_distribution(self, most: int = keyspace.MAX_KEYS) -> dict[str, int]:
        """Return how many keys there are, by "model:kind" (specification, B). `distribution` has their bytes too."""
        return {f"{group.model}:{group.kind}": group.keys for group in self.distribution(most).groups}

    def distribution(self, most: int = keyspace.MAX_KEYS) -> KeyDistribution:
        """Return keys and bytes by model and kind, and the largest; it looks at `most` keys at most."""
        return keyspace.key_distribution(self.region, most=most)

    def get_memory_analysis(self) -> dict[str, Any]:
        """Return the region's memory under the specification's names, and each node's in bytes under `nodes`."""
        held = self.get_nodes()
        used = [node for node in held if node.role != "replica" and not node.error]
        memory, rss = sum(node.used_memory for node in used), sum(node.used_memory_rss for node in used)
        return {
            "used_memory_human": human_bytes(memory),
            "used_memory_peak_human": human_bytes(sum(node.peak_memory for node in used)),
            "memory_fragmentation_ratio": round(rss / memory, 2) if memory and rss else None,
            "memory_efficiency": round(100 * rss / memory, 1) if memory and rss else None,
            "nodes": {
                node.server: {
                    "role": node.role,
                    "used_memory": node.used_memory,
                    "used_memory_peak": node.peak_memory,
                    "maxmemory": node.maxmemory,
                    "fragmentation": node.fragmentation,
                    "error": node.error,
                }
                for node in held
            },
        }

    def get_nodes(self) -> list[NodeStats]:
        """Return each node's statistics, with rates since an earlier poll. Raise nothing for a node that is away."""
        return nodes.read_nodes(self.region)

    def slow_log(self, most: int = 20) -> list[SlowCommand]:
        """Return the slowest commands of the region's nodes, newest first; none on the embedded store.

        Raise CommandRefused where a node may not tell.
        """
        logs = self.region.store.inspection.slow_log(most)
        found = [nodes.slow_command(server, logged) for server, logs_of_one in logs for logged in logs_of_one]
        return sorted(found, key=lambda slow: -slow.at)[:most]

    def usage(self, *, minutes: int = 0, hours: int = 0) -> Usage:
        return stats.usage(self.region.name, minutes=minutes, hours=hours)

    def first_reads(self) -> dict[str, dt.datetime]:
        return stats.first_reads(self.region.name)

    def history(self, *, minutes: int = 0, hours: int = 24) -> list[Point]:
        return stats.history(self.region.name, minutes=minutes, hours=hours)

    def state(self) -> RegionState:
        """Return the region at a glance. Raises nothing for a region that does not answer."""
        region = self.region
        known = RegionState(
            region=region.name,
            local=region is regions.local,
            embedded=not region.store.remote,
            breaker=region.breaker.state,
        )
        try:
            return replace(
                known,
                now=self.usage(minutes=5),
                day=self.usage(hours=24),
                processes=fleet_state(region.name),
                nodes=tuple(self.get_nodes()),
            )
        except StoreError as error:
            return replace(known, breaker=region.breaker.state, error=str(error))


def states(names: Sequence[str] = ()) -> list[RegionState]:
    """Return regions at a glance, all of them if none is named. Raises nothing for regions that are away."""
    found = []
    for name in names or conf.regions:
        try:
            found.append(CacheMonitor(name).state())
        except StoreUnavailable as error:  # a cluster whose layout was never known
            found.append(RegionState(name, name == conf.local_region, False, CircuitState.OPEN, str(error)))
    return found
