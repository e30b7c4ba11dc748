"""Statistics as values for programs."""

from collections.abc import Sequence
from dataclasses import asdict
from math import isfinite
from typing import Any

from django.db import DatabaseError

from cacheops.exceptions import CacheopsError
from cacheops.instrumentation.gauges import registered_gauges
from cacheops.instrumentation.histogram import Histogram
from cacheops.monitoring.monitor import RegionState
from cacheops.monitoring.nodes import NodeStats
from cacheops.monitoring.stats import Reads, Usage


def as_values(states: Sequence[RegionState]) -> dict[str, Any]:
    """Return the report as values that JSON knows. Durations are in seconds, sizes in bytes, shares from 0 to 1."""
    return {"regions": [state_values(state) for state in states], "sources": gauge_values()}


def state_values(state: RegionState) -> dict[str, Any]:
    found: dict[str, Any] = {
        "region": state.region,
        "local": state.local,
        "embedded": state.embedded,
        "health": state.health,
        "breaker": state.breaker.value,
        "error": state.error,
        "memory": state.memory,
        "memory_limit": state.memory_limit,
        "nodes": [node_values(node) for node in state.nodes],
        "processes": {target: asdict(fleet) for target, fleet in (state.processes or {}).items()},
    }
    for name, usage in (("last_5_minutes", state.now), ("last_24_hours", state.day)):
        found[name] = usage_values(usage) if usage else None
    return found


def node_values(node: NodeStats) -> dict[str, Any]:
    names = [name for name in node.__slots__ if name != "rates"]
    rates = node.rates
    return {
        **{name: getattr(node, name) for name in names},
        "rates": {name: getattr(rates, name) for name in rates.__slots__} if rates else None,
    }


def usage_values(usage: Usage) -> dict[str, Any]:
    return {
        "since": usage.since.isoformat(),
        "total": reads_values(usage.total),
        "reads": [
            {"model": model, "operation": operation, **reads_values(reads)}
            for (model, operation), reads in sorted(usage.reads.items())
        ],
        "writes": [
            {
                "model": model,
                "source": source,
                "writes": one.writes,
                "tags": one.tags,
                "whole": one.whole,
                "pending": histogram_values(one.pending),
            }
            for (model, source), one in sorted(usage.writes.items())
        ],
        "not_cached": [one._asdict() for one in usage.not_cached],
        "told": {
            region: {
                "marks": one.marks,
                "errors": one.errors,
                "queued": one.queued,
                "replayed": one.replayed,
                "late_marks": one.late_marks,
                "lost_marks": one.lost_marks,
                "lag": histogram_values(one.lag),
            }
            for region, one in usage.deliveries.items()
        },
        "events": usage.events,
    }


def reads_values(reads: Reads) -> dict[str, Any]:
    counts = {name: value for name in reads.__slots__ if isinstance(value := getattr(reads, name), int)}
    times = {name: histogram_values(getattr(reads, name)) for name in ("look_up", "load", "fill")}
    return {**counts, "hit_rate": reads.hit_rate, "unused_share": reads.unused_share, **times}


def histogram_values(histogram: Histogram) -> dict[str, Any]:
    return {
        "count": histogram.count,
        "mean": histogram.mean,
        "p50": histogram.p50,
        "p95": histogram.p95,
        "p99": histogram.p99,
    }


def gauge_values() -> dict[str, dict[str, float] | str]:
    """Return the gauges of other parts; a message where one could not be read."""
    found: dict[str, dict[str, float] | str] = {}
    for name, read in registered_gauges().items():
        try:
            found[name] = {figure: value for figure, value in read().items() if isfinite(value)}  # JSON has no others
        except (CacheopsError, DatabaseError) as error:
            found[name] = str(error)
    return found
