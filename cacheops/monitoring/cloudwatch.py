"""A region's metrics for CloudWatch: namespace XYZCorp/Cache, dimension CacheCluster (specification, appendix B).

Counts are what happened since the last publication, not since some start: what was published last is noted in the
region, so periods follow each other without a gap over restarts, and whatever could not be published is in the next
period's counts. boto3 is needed (requirements-aws.txt).
"""

import datetime as dt
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Any

import msgspec
from django.db import DatabaseError
from django.utils.module_loading import import_string

from cacheops.conf import conf
from cacheops.exceptions import CacheopsError, InvalidOption, PublishFailed
from cacheops.instrumentation.gauges import registered_gauges
from cacheops.monitoring.fleet import Fleet, fleet_state
from cacheops.monitoring.monitor import CacheMonitor
from cacheops.monitoring.nodes import NodeStats
from cacheops.monitoring.stats import Reads, Usage
from cacheops.monitoring.timeseries import TOTAL, TOTAL_LIVES, time_series_of

NAMESPACE = "XYZCorp/Cache"
DIMENSION = "CacheCluster"
MAX_METRICS = 500  # a request: PutMetricData takes 1,000 metrics and 1 MB; these are at most 200 kB

COUNTS = (  # metric, count of Reads
    ("CacheHits", "hits"),
    ("CacheStaleHits", "stale"),
    ("CacheMisses", "misses"),
    ("CacheBypasses", "bypasses"),
    ("CacheFills", "fills"),
    ("CacheErrors", "errors"),
    ("CacheRefusedFills", "refused_fills"),
    ("CacheStaleFills", "stale_fills"),
)


class Published(msgspec.Struct):
    """What was known at the last publication."""

    at: float  # seconds since the epoch
    reads: dict[str, int]
    invalidations: int
    nodes: dict[str, tuple[int, int]]  # evicted and expired keys of each node, since it started
    faults: dict[str, int] | None = None  # by metric; None: noted by an earlier release


@dataclass(frozen=True, slots=True)
class Datum:
    """One metric of a cluster at one moment."""

    name: str
    value: float
    unit: str  # of CloudWatch: Percent, Milliseconds, Bytes, Count


class CloudWatchCacheMetrics:
    """Publishes one region's metrics. `client` is a boto3 client of CloudWatch, made on first use."""

    def __init__(self, cache_monitor: CacheMonitor, client: Any = None, clock: Callable[[], float] = time.time) -> None:
        self.cache_monitor = cache_monitor
        self._client = client
        self._clock = clock

    @property
    def client(self) -> Any:
        if self._client is None:
            self._client = from_aws("make_client")()
        return self._client

    def publish_metrics(self, cluster_name: str) -> list[Datum]:
        """Publish what happened since the last time, and how things are; return it.

        Raise PublishFailed where CloudWatch did not take it, StoreUnavailable where the region does not answer,
        InvalidOption where boto3 is not installed.
        """
        now = self._known()
        data = list(self._data(self._last(cluster_name), now))
        self._put(cluster_name, data, now.at)
        note = self._note_key(cluster_name)
        time_series_of(self.cache_monitor.region.store).note(note, msgspec.msgpack.encode(now), TOTAL_LIVES)
        return data

    def preview(self, cluster_name: str) -> list[Datum]:
        """Return what `publish_metrics` would publish now."""
        return list(self._data(self._last(cluster_name), self._known()))

    # --- what is sent -----------------------------------------------------------------------------------------------

    def _known(self) -> Published:
        usage = self.cache_monitor.usage()
        self._nodes = self.cache_monitor.get_nodes()
        return Published(
            at=self._clock(),
            reads=usage.total_counts(),
            invalidations=sum(one.writes for one in usage.writes.values()),
            nodes={node.server: (node.evicted_keys, node.expired_keys) for node in self._nodes if not node.error},
            faults=fault_counts(usage),
        )

    def _note_key(self, cluster_name: str) -> str:
        return f"{TOTAL.base}n:cloudwatch-{cluster_name}"

    def _last(self, cluster_name: str) -> Published | None:
        noted = time_series_of(self.cache_monitor.region.store).noted(self._note_key(cluster_name))
        return msgspec.msgpack.decode(noted, type=Published) if noted is not None else None

    def _data(self, last: Published | None, now: Published) -> Iterator[Datum]:
        if last is not None:
            yield from period_data(last, now, {node.server for node in self._nodes if node.role != "replica"})
        yield from state_data(self._nodes)
        try:
            fleets = fleet_state(self.cache_monitor.region.name)
        except CacheopsError:
            fleets = {}
        yield from fleet_data(fleets.values())
        yield from gauge_data()

    def _put(self, cluster_name: str, data: Sequence[Datum], moment: float) -> None:
        client, errors = self.client, from_aws("ERRORS")
        stamp = dt.datetime.fromtimestamp(moment, dt.UTC)
        metrics = [
            {
                "MetricName": datum.name,
                "Value": datum.value,
                "Unit": datum.unit,
                "Timestamp": stamp,
                "Dimensions": [{"Name": DIMENSION, "Value": cluster_name}],
            }
            for datum in data
        ]
        for start in range(0, len(metrics), MAX_METRICS):
            try:
                client.put_metric_data(Namespace=NAMESPACE, MetricData=metrics[start : start + MAX_METRICS])
            except errors as error:
                raise PublishFailed(f"CloudWatch did not take the figures of {cluster_name}: {error}") from error


def fault_counts(usage: Usage) -> dict[str, int]:
    """Return how often what should never be was seen in all time, by metric."""
    return {
        "CacheLateMarks": sum(one.late_marks for one in usage.deliveries.values()),
        "CacheLostMarks": sum(one.lost_marks for one in usage.deliveries.values()),
        "CacheVerifyFaults": usage.events.get("verify", {}).get("faults", 0),
    }


def period_data(last: Published, now: Published, primaries: set[str]) -> Iterator[Datum]:
    """Yield what happened between two looks. A rate of nothing is left out."""
    reads = Reads.of(grown(last.reads, now.reads))
    if reads.hit_rate is not None:
        yield Datum("CacheHitRate", 100 * reads.hit_rate, "Percent")
    if reads.look_up.mean is not None:
        yield Datum("CacheResponseTime", 1000 * reads.look_up.mean, "Milliseconds")
    for name, histogram in (("CacheLookUp", reads.look_up), ("CacheLoad", reads.load)):
        for part, value in (("P95", histogram.p95), ("P99", histogram.p99)):
            if value is not None:
                yield Datum(name + part, 1000 * value, "Milliseconds")
    for name, count in COUNTS:
        yield Datum(name, getattr(reads, count), "Count")
    yield Datum("CacheFilledBytes", reads.bytes, "Bytes")
    yield Datum("CacheInvalidations", since(last.invalidations, now.invalidations), "Count")
    for name, place in (("CacheEvictedKeys", 0), ("CacheExpiredKeys", 1)):
        held = {server: counts for server, counts in now.nodes.items() if server in primaries}
        grew = (since(last.nodes.get(server, counts)[place], counts[place]) for server, counts in held.items())
        yield Datum(name, sum(grew), "Count")
    if last.faults is not None:
        for name, value in (now.faults or {}).items():
            yield Datum(name, since(last.faults.get(name, 0), value), "Count")


def state_data(nodes: Sequence[NodeStats]) -> Iterator[Datum]:
    """Yield how the nodes are now."""
    primaries = [node for node in nodes if node.role != "replica" and not node.error]
    yield Datum("CacheMemoryUsage", sum(node.used_memory for node in primaries), "Bytes")
    shares = [node.memory_share for node in primaries if node.memory_share is not None]
    if shares:
        yield Datum("CacheMemoryShare", 100 * max(shares), "Percent")  # of the fullest
    lags = [node.lag_bytes for node in nodes if node.lag_bytes is not None]
    if lags:
        yield Datum("CacheReplicaLag", max(lags), "Bytes")
    yield Datum("CacheNodesDown", sum(bool(node.error) for node in nodes), "Count")


def fleet_data(fleets: Collection[Fleet]) -> Iterator[Datum]:
    """Yield what the region's processes report."""
    yield Datum("CacheOpenBreakers", sum(one.open for one in fleets), "Count")
    shares = [one.pool_in_use / one.pool_limit for one in fleets if one.pool_limit]
    if shares:
        yield Datum("CachePoolShare", 100 * max(shares), "Percent")  # of the fullest


def gauge_data() -> Iterator[Datum]:
    """Yield the registered gauges: write_behind's depth is CacheWriteBehindDepth."""
    for name, read in registered_gauges().items():
        try:
            found = read()
        except (CacheopsError, DatabaseError):
            continue
        for figure, value in found.items():
            if not isfinite(value):  # which CloudWatch refuses, with all the rest
                continue
            title = "".join(word.title() for word in f"{name}_{figure}".split("_"))
            yield Datum(f"Cache{title}", value, "Seconds" if figure.endswith("seconds") else "Count")


def grown(last: Mapping[str, int], now: Mapping[str, int]) -> dict[str, int]:
    """Return by how much each count has grown; what the region has forgotten began again at 0."""
    forgotten = any(now.get(name, 0) < count for name, count in last.items())
    return dict(now) if forgotten else {name: count - last.get(name, 0) for name, count in now.items()}


def since(last: int, now: int) -> int:
    return now - last if now >= last else now


def cluster_of(region: str) -> str:
    """Return the name of a region's cluster in CloudWatch."""
    return conf.cloudwatch_clusters.get(region, region)


def from_aws(name: str) -> Any:
    """Return a name of the module that imports boto3. Raise InvalidOption where that is not installed."""
    try:
        return import_string(f"cacheops.monitoring.aws.{name}")
    except ImportError as error:
        raise InvalidOption("CloudWatch needs boto3: pip install -r requirements-aws.txt.") from error
