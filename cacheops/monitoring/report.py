"""The report of `manage.py cache_stats`: tables for a terminal."""

from collections.abc import Callable, Iterable, Iterator
from operator import itemgetter
from typing import Any

from rich.console import Console, ConsoleOptions, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from cacheops.monitoring.formats import NONE, duration, human_bytes, share
from cacheops.monitoring.monitor import RegionState
from cacheops.monitoring.nodes import NodeStats
from cacheops.monitoring.serialize import gauge_values
from cacheops.monitoring.stats import Reads, Usage

MAX_MODELS = 20
MAX_NOT_CACHED = 10
STYLES = {"healthy": "green", "degraded": "yellow", "down": "red", "no answer": "red", "open": "red"}
# Columns aligned to the left.
WORDS = {
    "region",
    "health",
    "breaker",
    "node",
    "role",
    "model",
    "towards",
    "source",
    "gauge",
    "not cached",
    "why",
    "in",
}

Columns = tuple[tuple[str, Callable[[Any], str]], ...]  # heads and cells, the important ones first


def now(state: RegionState) -> Reads:
    return state.now.total if state.now else Reads()


def rate_of(name: str) -> Callable[[NodeStats], str]:
    return lambda node: f"{getattr(node.rates, name):.1f}" if node.rates else NONE


def lag_of(node: NodeStats) -> str:
    if node.role != "replica":
        return NONE
    if not node.link_up:
        return "link down"
    return human_bytes(node.lag_bytes) if node.lag_bytes is not None else f"{node.lag_seconds} s"


def unless_away(text: Callable[[Any], str]) -> Callable[[Any], str]:
    """Return what a node or region tells, nothing where it does not answer."""
    return lambda one: NONE if one.error else text(one)


REGION_COLUMNS: Columns = (
    ("region", lambda state: state.region),
    ("health", lambda state: state.health),
    ("breaker", lambda state: state.breaker.value.replace("_", " ")),
    ("hits 5 min", lambda state: share(now(state).hit_rate)),
    ("hits 24 h", lambda state: share(state.day.total.hit_rate if state.day else None)),
    ("reads/s", unless_away(lambda state: f"{now(state).total / 300:.1f}")),
    ("p95", lambda state: duration(now(state).look_up.p95)),
    ("memory", unless_away(lambda state: human_bytes(state.memory))),
    ("of limit", lambda state: human_bytes(state.memory_limit) if state.memory_limit else NONE),
    ("p50", lambda state: duration(now(state).look_up.p50)),
    ("p99", lambda state: duration(now(state).look_up.p99)),
    ("purged 24 h", lambda state: str(state.day.recoveries) if state.day else NONE),  # servers, after a restart
)
NODE_COLUMNS: Columns = (
    ("node", lambda node: node.server or NONE),
    ("role", lambda node: "no answer" if node.error else node.role),
    ("memory", unless_away(lambda node: human_bytes(node.used_memory))),
    ("of limit", unless_away(lambda node: share(node.memory_share))),
    ("lag", unless_away(lag_of)),
    ("ops/s", rate_of("operations")),
    ("evicted/s", rate_of("evicted")),
    ("clients", unless_away(lambda node: str(node.connected_clients))),
    ("expired/s", rate_of("expired")),
    ("peak", unless_away(lambda node: human_bytes(node.peak_memory))),
    ("fragmentation", lambda node: f"{node.fragmentation:.2f}" if node.fragmentation is not None else NONE),
)
PROCESS_COLUMNS: Columns = (  # of a target, and the fleet towards it
    ("towards", lambda pair: pair[0]),
    ("processes", lambda pair: str(pair[1].processes)),
    ("breaker", lambda pair: pair[1].state),
    ("pools in use", lambda pair: str(pair[1].pool_in_use)),
    ("idle", lambda pair: str(pair[1].pool_idle)),
    ("of at most", lambda pair: str(pair[1].pool_limit)),
    ("engine's connections", lambda pair: str(pair[1].lines)),
)
MODEL_COLUMNS: Columns = (  # of a model, and its reads
    ("model", lambda pair: pair[0]),
    ("reads", lambda pair: str(pair[1].total)),
    ("hit rate", lambda pair: share(pair[1].hit_rate)),
    ("look-up p95", lambda pair: duration(pair[1].look_up.p95)),
    ("load p95", lambda pair: duration(pair[1].load.p95)),
    ("misses", lambda pair: str(pair[1].misses)),
    ("bypassed", lambda pair: str(pair[1].bypasses)),
    ("stale fills", lambda pair: str(pair[1].stale_fills)),
    ("unused", lambda pair: share(pair[1].unused_share)),
    ("hits", lambda pair: str(pair[1].hits + pair[1].stale)),
    ("filled", lambda pair: human_bytes(pair[1].bytes)),
    ("refused", lambda pair: str(pair[1].refused_fills)),
)
NOT_CACHED_COLUMNS: Columns = (
    ("not cached", lambda one: f"{one.model}, {one.operation}"),
    ("reads", lambda one: str(one.reads)),
    ("why", lambda one: one.reason.lower().replace("_", " ")),
    ("in", lambda one: one.place or NONE),
)
WRITE_COLUMNS: Columns = (  # of a model and source, and their writes
    ("model", lambda pair: pair[0][0]),
    ("source", lambda pair: pair[0][1]),
    ("writes", lambda pair: str(pair[1].writes)),
    ("tags", lambda pair: str(pair[1].tags)),
    ("whole table", lambda pair: str(pair[1].whole)),
    ("pending p95", lambda pair: duration(pair[1].pending.p95)),
)


GAUGE_COLUMNS: Columns = (("gauge", itemgetter(0)), ("now", itemgetter(1)))


def report(states: Iterable[RegionState]) -> Iterator[RenderableType]:
    """Yield the regions, then for each its nodes, processes, models and invalidations of 24 hours."""
    states = list(states)
    yield StatsTable(REGION_COLUMNS, states)
    for state in states:
        yield ""
        yield Text(state.region + (" (this process's region)" if state.local else ""), style="bold")
        if state.error:
            yield Text(f"  does not answer: {state.error}", style="red")
            continue
        if state.embedded:
            yield "  embedded: entries and figures are in the memory of this process alone"
        yield from indented(NODE_COLUMNS, state.nodes)
        yield from indented(PROCESS_COLUMNS, sorted((state.processes or {}).items()))
        if state.day is not None:
            yield from usage_tables(state.day)
    yield from indented(GAUGE_COLUMNS, gauge_rows())


def gauge_rows() -> Iterator[tuple[str, str]]:
    """Yield the gauges of other parts: their names, and what they are now."""
    for part, found in gauge_values().items():
        figures = found.items() if isinstance(found, dict) else [("", found)]
        yield from ((f"{part} {figure}".replace("_", " ").strip(), f"{value}") for figure, value in figures)


def usage_tables(usage: Usage) -> Iterator[RenderableType]:
    if not usage.reads and not usage.writes:
        yield "\n  Nothing was counted in the last 24 hours."
    models = sorted(usage.by_model().items(), key=lambda pair: -pair[1].total)
    yield from indented(MODEL_COLUMNS, models[:MAX_MODELS])
    if len(models) > MAX_MODELS:
        yield f"  and {len(models) - MAX_MODELS} more"
    shown = usage.not_cached[:MAX_NOT_CACHED]
    yield from indented(NOT_CACHED_COLUMNS, shown)
    for reason, why in sorted({(one.reason.lower().replace("_", " "), one.why) for one in shown}):
        yield Padding.indent(Text(f"{reason}: {why}", style="dim"), 2)
    yield from indented(WRITE_COLUMNS, sorted(usage.writes.items(), key=lambda pair: -pair[1].writes)[:MAX_MODELS])


def indented(columns: Columns, rows: Iterable[Any]) -> Iterator[RenderableType]:
    rows = list(rows)
    if rows:
        yield ""
        yield StatsTable(columns, rows, indent=2)


class StatsTable:
    """A table of as many columns as the terminal is wide; the others are named below it."""

    def __init__(self, columns: Columns, rows: Iterable[Any], indent: int = 0) -> None:
        self._indent = indent
        self._heads = [head for head, _ in columns]
        self._rows = [[get(row) for _, get in columns] for row in rows]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[RenderableType]:
        count, room, unbound = len(self._heads), options.max_width - self._indent, options.update(max_width=10_000)
        while count > 1 and console.measure(self._table(count), options=unbound).maximum > room:
            count -= 1
        yield Padding.indent(self._table(count), self._indent)
        if count < len(self._heads):
            left_out = Text(f"In a wider window: {', '.join(self._heads[count:])}.", style="dim")
            yield Padding.indent(left_out, self._indent)

    def _table(self, count: int) -> Table:
        made = Table(box=None, pad_edge=False, header_style="dim")
        for head in self._heads[:count]:
            made.add_column(head.replace(" ", "\n", 1), justify="left" if head in WORDS else "right", no_wrap=True)
        for row in self._rows:
            made.add_row(*(Text(cell, style=STYLES.get(cell, "")) for cell in row[:count]))
        return made
