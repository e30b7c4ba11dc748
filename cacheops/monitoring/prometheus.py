"""A region's metrics for Prometheus, in its text format (prometheus.io/docs/instrumenting/exposition_formats).

They are read from the region's sums, not from this process, so it does not matter which of many workers answers, and
only one process of each region need be scraped. Counters are of all time, as far as the region has kept it; when it
forgets, they begin again at 0, which `rate()` takes for a restart.
"""

from collections.abc import Iterator, Mapping, Sequence

from django.db import DatabaseError
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from cacheops.exceptions import CacheopsError, StoreError
from cacheops.instrumentation.gauges import registered_gauges
from cacheops.instrumentation.histogram import Histogram
from cacheops.monitoring import stats
from cacheops.monitoring.fleet import fleet_state, own_breakers
from cacheops.monitoring.monitor import CacheMonitor
from cacheops.monitoring.nodes import NodeStats
from cacheops.monitoring.stats import Reads, Usage
from cacheops.regions import regions
from cacheops.stores.circuit_breaker import CircuitState

OUTCOMES = ("hits", "stale", "misses", "bypasses")
REASONS = ("absent", "outdated", "early", "corrupt")
FAILURES = ("errors", "refused_fills", "stale_fills", "unencodable", "too_large")

READ_LABELS = ("region", "model", "operation")
NODE_LABELS = ("region", "node", "role")

# Name, help, attribute of NodeStats.
NODE_GAUGES = (
    ("memory_bytes", "Memory used", "used_memory"),
    ("memory_peak_bytes", "Most memory used since the node started", "peak_memory"),
    ("memory_limit_bytes", "maxmemory; 0 without a limit", "maxmemory"),
    ("memory_fragmentation_ratio", "Resident memory for each byte used", "fragmentation"),
    ("clients", "Connected clients", "connected_clients"),
    ("keys", "Keys", "keys"),
    ("replica_lag_bytes", "Written by the primary and not yet by this replica", "lag_bytes"),
    ("replica_link_up", "Whether the replica hears its primary", "link_up"),
    ("pool_limit", "Connections to it that the pool of the process that answers may open", "pool_limit"),
    ("pool_in_use", "Of these, in use", "pool_in_use"),
)
# The sums over a region's processes. Name, help, attribute of Fleet.
PROCESS_GAUGES = (
    ("processes", "Processes of a region that reported in the last minute", "processes"),
    ("open_breakers", "Of them, those whose breaker of the target is open", "open"),
    ("pool_limit", "Connections to the target that the pools of all processes may open", "pool_limit"),
    ("pool_idle", "Of these, open and idle", "pool_idle"),
    ("pool_in_use", "Of these, in use when their process told", "pool_in_use"),
    ("engine_connections", "Open connections of the engine beside the pools, in all processes", "lines"),
)
NODE_COUNTERS = (
    ("evicted_keys", "Keys dropped for want of memory", "evicted_keys"),
    ("expired_keys", "Keys whose time was over", "expired_keys"),
    ("operations", "Commands processed", "total_commands_processed"),
)


class RegionCollector(Collector):
    """Collects the metrics of regions when it is scraped."""

    def __init__(self, names: Sequence[str]) -> None:
        self.names = names

    def describe(self) -> list[Metric]:
        """Return nothing: registering must not ask any region."""
        return []

    def collect(self) -> Iterator[Metric]:
        up = GaugeMetricFamily("cacheops_region_up", "Whether the region answers", labels=("region",))
        usages: list[Usage] = []
        for name in self.names:
            try:
                usages.append(stats.usage(name))
                up.add_metric((name,), 1)
            except StoreError:
                up.add_metric((name,), 0)
        yield up
        yield from read_metrics(usages)
        yield from write_metrics(usages)
        yield from process_metrics([usage.region for usage in usages])
        yield from node_metrics({name: CacheMonitor(name).get_nodes() for name in self.names})
        yield from gauge_metrics()


def read_metrics(usages: Sequence[Usage]) -> Iterator[Metric]:
    reads = CounterMetricFamily(
        "cacheops_reads", "Reads by outcome: hits, stale, misses, bypasses", labels=(*READ_LABELS, "outcome")
    )
    missed = CounterMetricFamily(
        "cacheops_missed_look_ups", "Look-ups that found no valid entry, by reason", labels=(*READ_LABELS, "reason")
    )
    failures = CounterMetricFamily("cacheops_failures", "What went wrong, by kind", labels=(*READ_LABELS, "kind"))
    fills = CounterMetricFamily("cacheops_fills", "Entries stored", labels=READ_LABELS)
    filled = CounterMetricFamily("cacheops_filled_bytes", "Bytes of entries stored", labels=READ_LABELS)
    for usage in usages:
        for (model, operation), one in usage.reads.items():
            labels = (usage.region, model, operation)
            for family, names in ((reads, OUTCOMES), (missed, REASONS), (failures, FAILURES)):
                for name in names:
                    family.add_metric((*labels, name), getattr(one, name))
            fills.add_metric(labels, one.fills)
            filled.add_metric(labels, one.bytes)
    yield from (reads, missed, failures, fills, filled)
    yield from duration_metrics([(usage.region, usage.total) for usage in usages])


def duration_metrics(totals: Sequence[tuple[str, Reads]]) -> Iterator[Metric]:
    for name, said in (
        ("look_up", "Look-ups, in seconds"),
        ("load", "Loads from the database after a miss, in seconds"),
        ("fill", "Encoding and sending of entries, in seconds; the answer is not waited for"),
    ):
        family = HistogramMetricFamily(f"cacheops_{name}_seconds", said, labels=("region",))
        for region, reads in totals:
            add_histogram(family, (region,), getattr(reads, name))
        yield family


def write_metrics(usages: Sequence[Usage]) -> Iterator[Metric]:
    labels = ("region", "model", "source")
    writes = CounterMetricFamily(
        "cacheops_invalidations", "Transactions that changed a table, by source", labels=labels
    )
    tags = CounterMetricFamily("cacheops_invalidated_tags", "Tags marked by them", labels=labels)
    deliveries = {
        name: CounterMetricFamily(f"cacheops_{metric}", said, labels=("region", "target"))
        for name, metric, said in (
            ("marks", "marks", "Rounds of marks that a region acknowledged"),
            ("errors", "mark_errors", "Rounds of marks that a region did not acknowledge"),
            ("queued", "queued_invalidations", "Tables whose invalidation went into the queue"),
            ("replayed", "replayed_invalidations", "Tables invalidated from the queue"),
            ("late_marks", "late_marks", "Marks that ran out before their write was done"),
            ("lost_marks", "lost_marks", "Marks that a region had lost before their write was done"),
        )
    }
    lag = HistogramMetricFamily(
        "cacheops_mark_seconds", "From sending marks to hearing that they stand", labels=("region", "target")
    )
    for usage in usages:
        for (model, source), one in usage.writes.items():
            writes.add_metric((usage.region, model, source), one.writes)
            tags.add_metric((usage.region, model, source), one.tags)
        for target, delivery in usage.deliveries.items():
            for name, family in deliveries.items():
                family.add_metric((usage.region, target), getattr(delivery, name))
            add_histogram(lag, (usage.region, target), delivery.lag)
    yield from (writes, tags, *deliveries.values(), lag)
    yield from event_metrics(usages)


def event_metrics(usages: Sequence[Usage]) -> Iterator[Metric]:
    """Yield what other parts have counted: warming runs, dropped minutes."""
    events = CounterMetricFamily("cacheops_events", "Counts of other parts", labels=("region", "part", "what"))
    stale = HistogramMetricFamily(
        "cacheops_verified_stale_seconds", "Ages of entries that verify_cache found to differ", labels=("region",)
    )
    for usage in usages:
        add_histogram(stale, (usage.region,), Histogram.unpacked("stale", usage.events.get("verify", {})))
        for part, counts in usage.events.items():
            for what, count in counts.items():
                if ":" not in what:
                    events.add_metric((usage.region, part, what), count)
    yield from (events, stale)


def process_metrics(names: Sequence[str]) -> Iterator[Metric]:
    """Yield the state of each region's fleet, and of this process's breakers."""
    families = [
        (GaugeMetricFamily(f"cacheops_{name}", said, labels=("region", "target")), attribute)
        for name, said, attribute in PROCESS_GAUGES
    ]
    own = GaugeMetricFamily("cacheops_own_breaker_open", "Whether this process's breaker is open", labels=("target",))
    for name in names:
        try:
            found = fleet_state(name)
        except StoreError:  # it was there a moment ago
            continue
        for target, fleet in found.items():
            for family, attribute in families:
                family.add_metric((name, target), getattr(fleet, attribute))
    for target, state in own_breakers().items():
        own.add_metric((target,), state is not CircuitState.CLOSED)
    yield from (*(family for family, _ in families), own)


def node_metrics(by_region: Mapping[str, Sequence[NodeStats]]) -> Iterator[Metric]:
    up = GaugeMetricFamily("cacheops_node_up", "Whether a node answers", labels=("region", "node"))
    rows = [(region, node) for region, nodes in by_region.items() for node in nodes]
    for region, node in rows:
        up.add_metric((region, node.server), not node.error)
    yield up
    for kind, listed in ((GaugeMetricFamily, NODE_GAUGES), (CounterMetricFamily, NODE_COUNTERS)):
        for name, said, attribute in listed:
            family = kind(f"cacheops_node_{name}", said, labels=NODE_LABELS)
            for region, node in rows:
                value = getattr(node, attribute)
                if value is not None and not node.error:
                    family.add_metric((region, node.server, node.role), value)
            yield family


def gauge_metrics() -> Iterator[Metric]:
    """Yield the registered gauges, named cacheops_NAME_FIGURE."""
    for name, read in registered_gauges().items():
        try:
            found = read()
        except (CacheopsError, DatabaseError):
            found = {}
        for figure, value in found.items():
            yield GaugeMetricFamily(f"cacheops_{name}_{figure}", f"Told by {name}", value=value)


def add_histogram(family: HistogramMetricFamily, labels: Sequence[str], histogram: Histogram) -> None:
    """Add one histogram, with a bucket for each doubling. (A duration that equals a bound counts as above it.)"""
    buckets = [(repr(bound), float(passed)) for bound, passed in histogram.cumulative()]
    family.add_metric(labels, [*buckets, ("+Inf", histogram.count)], histogram.seconds)


def exposition(names: Sequence[str] = ()) -> bytes:
    """Return the metrics of regions, by default of the local one, as Prometheus reads them."""
    registry = CollectorRegistry()
    registry.register(RegionCollector(names or [regions.local.name]))
    return generate_latest(registry)
