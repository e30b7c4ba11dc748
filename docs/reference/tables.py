"""The tables of the reference, made of the engine's own declarations."""

import argparse
import ast
import datetime as dt
import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import pairwise

from django.core.management import get_commands, load_command_class
from django.core.management.base import BaseCommand
from django.dispatch import Signal

from cacheops import signals
from cacheops.checks import CHECKS
from cacheops.conf import SETTINGS
from cacheops.instrumentation.counters import LOAD, LOOK_UP
from cacheops.instrumentation.gauges import registered_gauges
from cacheops.instrumentation.histogram import Histogram
from cacheops.monitoring.cloudwatch import (
    CloudWatchCacheMetrics,
    Datum,
    Published,
    fault_counts,
    fleet_data,
    period_data,
    state_data,
)
from cacheops.monitoring.fleet import Fleet
from cacheops.monitoring.monitor import CacheMonitor
from cacheops.monitoring.nodes import NodeStats
from cacheops.monitoring.prometheus import RegionCollector
from cacheops.monitoring.stats import Usage


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table in Markdown."""
    lines = [f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |\n" for line in (head, *rows)]
    return "".join([lines[0], f"|{'---|' * len(head)}\n", *lines[1:]])


def sentence(text: str | None) -> str:
    """Return a help, or the first paragraph of a docstring, on one line and without the dot. Raise if there is none."""
    if not text:
        raise ValueError("Everything in the reference has a docstring or a help.")
    return " ".join(text.strip().split("\n\n")[0].split()).removesuffix(".")


# --- Settings and checks ----------------------------------------------------------------------------------------------


def setting_rows() -> Iterator[Sequence[str]]:
    for one in SETTINGS:
        yield f"`{one.name}`", f"`{one.default!r}`", one.kind.expects, one.meaning, f"`{one.kind.check}`"


def check_rows() -> Iterator[Sequence[str]]:
    for check, meaning in CHECKS.items():
        by_itself = ", ".join(f"`{one.name}`" for one in SETTINGS if one.kind.check == check)
        yield f"`cacheops.{check}`", meaning, by_itself


# --- Signals ----------------------------------------------------------------------------------------------------------


def signal_rows() -> Iterator[Sequence[str]]:
    """Yield each signal with the docstring below its assignment."""
    body = ast.parse(inspect.getsource(signals)).body
    below = {
        node.targets[0].id: after.value.value
        for node, after in pairwise(body)
        if isinstance(node, ast.Assign) and isinstance(after, ast.Expr)
    }
    for name, value in vars(signals).items():
        if isinstance(value, Signal):
            meaning, _, arguments = below[name].partition("\n\n")
            yield f"`{name}`", sentence(meaning), sentence(arguments).removeprefix("Arguments: ")


# --- Commands ---------------------------------------------------------------------------------------------------------


def commands() -> str:
    own = sorted(name for name, app in get_commands().items() if app == "cacheops")
    return "\n".join(command(name, load_command_class("cacheops", name)) for name in own)


def command(name: str, found: BaseCommand) -> str:
    common = {action.dest for action in BaseCommand().create_parser("manage.py", name)._actions}
    actions = [action for action in found.create_parser("manage.py", name)._actions if action.dest not in common]
    rows = [(f"`{usage(action)}`", sentence(action.help) % vars(action)) for action in actions]
    return f"## manage.py {name}\n\n{sentence(found.help)}.\n\n{table(('argument', 'meaning'), rows)}"


def usage(action: argparse.Action) -> str:
    """Return how an argument is written: "--rate N/s", "--watch [SECONDS]", "WHAT …"."""
    value = action.metavar or action.dest.upper()
    written = {0: "", "?": f"[{value}]", "*": f"[{value} …]", "+": f"{value} …"}.get(action.nargs, f"{value}")
    return " ".join(filter(None, (", ".join(action.option_strings), written)))


# --- Metrics ----------------------------------------------------------------------------------------------------------


def metric_rows() -> Iterator[Sequence[str]]:
    """Yield Prometheus' metrics, as a scrape of no region tells them."""
    of_gauges = tuple(f"cacheops_{name}_" for name in registered_gauges())
    for family in RegionCollector([]).collect():
        if not family.name.startswith(of_gauges):
            name = f"{family.name}_total" if family.type == "counter" else family.name
            labels = ", ".join(f"`{label}`" for label in vars(family)["_labelnames"])
            yield f"`{name}`", family.type, labels, family.documentation


def gauge_rows() -> Iterator[Sequence[str]]:
    """Yield the gauges of the engine's own parts, a row a part."""
    for name, read in registered_gauges().items():
        meaning = sentence(read.__doc__).split(". ")[0].removeprefix("Return ")
        yield ", ".join(f"`cacheops_{name}_{figure}`" for figure in read()), meaning


def cloudwatch_rows() -> Iterator[Sequence[str]]:
    seen: dict[str, str] = {}
    for datum in cloudwatch_data():
        seen.setdefault(datum.name, datum.unit)
    return ((f"`{name}`", unit) for name, unit in seen.items())


def cloudwatch_data() -> Iterator[Datum]:
    """Yield at least one datum of each metric: of a period with reads, of all kinds of nodes, of this process."""
    timed = Histogram()
    timed.add(0.001)
    reads = {"hits": 1, **timed.packed(LOOK_UP), **timed.packed(LOAD)}
    faults = fault_counts(Usage("", dt.datetime.now(dt.UTC), {}, {}, {}, {}))
    began, ended = (Published(at=0, reads=each, invalidations=0, nodes={}, faults=faults) for each in ({}, reads))
    yield from period_data(began, ended, set())
    yield from state_data([NodeStats("primary", maxmemory=1), NodeStats("replica", role="replica", lag_bytes=0)])
    yield from fleet_data([Fleet(pool_limit=1)])
    yield from CloudWatchCacheMetrics(CacheMonitor("default")).preview("any")


TABLES: Mapping[str, Callable[[], str]] = {
    "settings": lambda: table(("setting", "default", "may be", "meaning", "check"), setting_rows()),
    "checks": lambda: table(("check", "finds", "in the value of"), check_rows()),
    "signals": lambda: table(("signal", "sent when", "arguments"), signal_rows()),
    "commands": commands,
    "metrics": lambda: table(("metric", "type", "labels", "meaning"), metric_rows()),
    "gauges": lambda: table(("gauges", "of"), gauge_rows()),
    "cloudwatch": lambda: table(("metric", "unit"), cloudwatch_rows()),
}
