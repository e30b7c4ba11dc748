"""Figures as lines that a person reads, and as values that a program reads."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from django.db import DatabaseError

from cacheops.exceptions import CacheopsError
from cacheops.instrumentation.gauges import registered_sources
from cacheops.instrumentation.histogram import Histogram
from cacheops.monitoring.fleet import Processes
from cacheops.monitoring.monitor import RegionState, human_bytes
from cacheops.monitoring.nodes import NodeFigures
from cacheops.monitoring.stats import Reads, Usage

NONE = "–"
MOST_MODELS = 20

REGION_HEAD = ("region", "health", "breaker", "hits 5 min", "hits 24 h", "reads/s", "p50", "p95", "p99", "memory")
NODE_HEAD = ("node", "role", "memory", "of limit", "peak", "frag.", "clients", "ops/s", "evicted/s", "expired/s", "lag")
MODEL_HEAD = ("model", "reads", "hits", "misses", "bypassed", "hit rate", "look-up p95", "load p95",
              "filled", "refused", "stale fills", "unused")  # fmt: skip
PROCESS_HEAD = ("towards", "processes", "breaker", "pools in use", "idle", "of at most", "engine's connections")
WRITE_HEAD = ("model", "source", "writes", "tags", "whole table", "pending p95")


def text_report(states: Sequence[RegionState], *, width: int = 0) -> list[str]:
    """Return the lines of a report: regions, then for each its nodes, models and invalidations of 24 hours."""
    lines = table(REGION_HEAD, [region_row(state) for state in states])
    for state in states:
        lines += ["", f"{state.region}" + (" (this process's region)" if state.local else "")]
        if state.error:
            lines.append(f"  does not answer: {state.error}")
            continue
        if state.embedded:
            lines.append("  embedded: entries and figures are in the memory of this process alone")
        lines += indented(table(NODE_HEAD, [node_row(node) for node in state.nodes]))
        if state.processes:
            rows = [process_row(target, told) for target, told in sorted(state.processes.items())]
            lines += ["", *indented(table(PROCESS_HEAD, rows))]
        if state.day is not None:
            lines += usage_lines(state.day)
    return [line[:width] if width else line for line in lines]


def usage_lines(usage: Usage) -> list[str]:
    if not usage.reads and not usage.writes:
        return ["", "  Nothing was counted in the last 24 hours."]
    lines: list[str] = []
    models = sorted(usage.by_model().items(), key=lambda pair: -pair[1].total)
    if models:
        lines += ["", *indented(table(MODEL_HEAD, [model_row(name, reads) for name, reads in models[:MOST_MODELS]]))]
    if len(models) > MOST_MODELS:
        lines.append(f"  and {len(models) - MOST_MODELS} more")
    writes = sorted(usage.writes.items(), key=lambda pair: -pair[1].writes)
    rows = [
        (model, source, str(one.writes), str(one.tags), str(one.whole), duration(one.pending.p95))
        for (model, source), one in writes[:MOST_MODELS]
    ]
    if rows:
        lines += ["", *indented(table(WRITE_HEAD, rows))]
    return lines


def region_row(state: RegionState) -> tuple[str, ...]:
    now = state.now.total if state.now else Reads()
    day = state.day.total if state.day else Reads()
    memory = human_bytes(state.memory) + (f" of {human_bytes(state.memory_limit)}" if state.memory_limit else "")
    return (
        state.region,
        state.health,
        state.breaker.value.replace("_", " "),
        share(now.hit_rate),
        share(day.hit_rate),
        f"{now.total / 300:.1f}" if state.reachable else NONE,
        *(duration(now.look_up.quantile(part)) for part in (0.5, 0.95, 0.99)),
        memory if state.reachable else NONE,
    )


def node_row(node: NodeFigures) -> tuple[str, ...]:
    if node.error:
        return (node.server or "–", "no answer", *[NONE] * (len(NODE_HEAD) - 2))
    rates = node.rates
    return (
        node.server,
        node.role,
        human_bytes(node.used_memory),
        share(node.memory_share),
        human_bytes(node.peak_memory),
        f"{node.fragmentation:.2f}" if node.fragmentation is not None else NONE,
        str(node.connected_clients),
        *([f"{rates.operations:.1f}", f"{rates.evicted:.1f}", f"{rates.expired:.1f}"] if rates else [NONE] * 3),
        lag_of(node),
    )


def process_row(target: str, told: Processes) -> tuple[str, ...]:
    counts = (told.pool_in_use, told.pool_idle, told.pool_limit, told.lines)
    return (target, str(told.processes), told.state, *map(str, counts))


def lag_of(node: NodeFigures) -> str:
    if node.role != "replica":
        return NONE
    if not node.link_up:
        return "link down"
    return human_bytes(node.lag_bytes) if node.lag_bytes is not None else f"{node.lag_seconds} s"


def model_row(name: str, reads: Reads) -> tuple[str, ...]:
    return (
        name,
        str(reads.total),
        str(reads.hits + reads.stale),
        str(reads.misses),
        str(reads.bypasses),
        share(reads.hit_rate),
        duration(reads.look_up.p95),
        duration(reads.load.p95),
        human_bytes(reads.bytes),
        str(reads.refused_fills),
        str(reads.stale_fills),
        share(reads.unused_share),
    )


def share(value: float | None) -> str:
    return NONE if value is None else f"{100 * value:.1f} %"


def duration(seconds: float | None) -> str:
    """Return a duration in the unit that suits it: 85 µs, 1.2 ms, 3.4 s."""
    if seconds is None:
        return NONE
    if seconds < 1e-3:
        return f"{seconds * 1e6:.0f} µs"
    return f"{seconds * 1e3:.1f} ms" if seconds < 1 else f"{seconds:.1f} s"


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Return aligned lines: the first column to the left, the others to the right where they are numbers."""
    widths = [max(len(row[at]) for row in [head, *rows]) for at in range(len(head))]
    numeric = [at > 0 and all(row[at][:1].isdigit() or row[at] == NONE for row in rows) for at in range(len(head))]
    return [
        "  ".join(
            cell.rjust(width) if right else cell.ljust(width)
            for cell, width, right in zip(row, widths, numeric, strict=True)
        ).rstrip()
        for row in [head, *rows]
    ]


def indented(lines: Sequence[str]) -> list[str]:
    return [f"  {line}" for line in lines]


# --- for programs ---------------------------------------------------------------------------------------------------


def as_values(states: Sequence[RegionState]) -> dict[str, Any]:
    """Return the report as values that JSON knows. Durations are in seconds, sizes in bytes, shares from 0 to 1."""
    return {"regions": [state_values(state) for state in states], "sources": source_values()}


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
        "processes": {target: asdict(told) for target, told in (state.processes or {}).items()},
    }
    for name, usage in (("last_5_minutes", state.now), ("last_24_hours", state.day)):
        found[name] = usage_values(usage) if usage else None
    return found


def node_values(node: NodeFigures) -> dict[str, Any]:
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
        "told": {
            region: {
                "marks": told.marks,
                "errors": told.errors,
                "queued": told.queued,
                "replayed": told.replayed,
                "late_marks": told.late_marks,
                "lag": histogram_values(told.lag),
            }
            for region, told in usage.told.items()
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


def source_values() -> dict[str, dict[str, float] | str]:
    """Return the figures of other parts; a message where one could not tell."""
    found: dict[str, dict[str, float] | str] = {}
    for name, source in registered_sources().items():
        try:
            found[name] = dict(source())
        except (CacheopsError, DatabaseError) as error:
            found[name] = str(error)
    return found
