"""What the home page shows."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, TypeVar

from cacheops.conf import conf
from cacheops.engine import Component, register_component
from cacheops.exceptions import StoreError
from cacheops.instrumentation.histogram import Histogram
from cacheops.models import QueuedInvalidation
from cacheops.monitoring.fleet import Fleet
from cacheops.monitoring.monitor import CacheMonitor, RegionState, states
from cacheops.monitoring.nodes import NodeStats, rates_between, samples_of
from cacheops.monitoring.stats import Point, Reads
from cacheops.panel.charts import Chart, rate_chart, rate_severity
from cacheops.panel.polling import PATIENCE, Unavailable, answers
from cacheops.panel.switches import databases
from cacheops.patterns.write_behind.cache import WriteBehindState, registered
from cacheops.reading.options import bypassed
from cacheops.regions import regions
from cacheops.regions.lag import Lag, lag_meter
from cacheops.relay.lag import relay_lag_meter
from cacheops.relay.state import RelayState, regions_told, state_of
from cacheops.stores.circuit_breaker import CircuitState
from cacheops.warming import WarmingRun, recent_runs

V = TypeVar("V")

NOW_SECONDS = 300  # RegionState.now is of the last five minutes
MAX_QUEUED = 1000  # counted, of a region's queue
MAX_RUNS = 5
BETWEEN_LOOKS = 4.0  # seconds, at least: pages ask every five


@dataclass(frozen=True, slots=True)
class Card:
    """One region at a glance. `error` says why there is nothing to show."""

    state: RegionState
    fleet: Fleet | None  # the processes of all regions that answer, towards this one
    chart: Chart | None  # of 24 hours
    queued: int  # invalidations that wait for the region
    error: str = ""

    @property
    def name(self) -> str:
        return self.state.region

    @property
    def health(self) -> str:
        return "down" if self.error else self.state.health

    @property
    def now(self) -> Reads:
        return self.state.now.total if self.state.now else Reads()

    @property
    def day(self) -> Reads:
        return self.state.day.total if self.state.day else Reads()

    @property
    def recoveries(self) -> int:
        """How many servers have come back and were purged, in the last 24 hours."""
        return self.state.day.recoveries if self.state.day else 0

    @property
    def verified(self) -> Mapping[str, int]:
        """What `verify_cache` has counted in the last 24 hours; nothing where it did not run."""
        return self.state.day.events.get("verify", {}) if self.state.day else {}

    @property
    def rate_severity(self) -> str:
        return rate_severity(self.now.hit_rate)

    @property
    def reads_per_second(self) -> float:
        return self.now.total / NOW_SECONDS

    @property
    def primaries(self) -> list[NodeStats]:
        return [node for node in self.state.nodes if node.role != "replica" and not node.error]

    @property
    def operations(self) -> float | None:
        """Commands a second on the primaries; None until two looks were made."""
        return total([node.rates.operations for node in self.primaries if node.rates])

    @property
    def evicted(self) -> float | None:
        return total([node.rates.evicted for node in self.primaries if node.rates])

    @property
    def memory_share(self) -> float | None:
        return self.state.memory / self.state.memory_limit if self.state.memory_limit else None

    @property
    def lag_bytes(self) -> int | None:
        """The replicas' largest lag; None where there is no replica, or none tells."""
        return max((node.lag_bytes for node in self.state.nodes if node.lag_bytes is not None), default=None)

    @property
    def broken_links(self) -> int:
        return sum(node.link_up is False for node in self.state.nodes)

    @property
    def delivery(self) -> Histogram:
        """How long writers of this region waited for all regions' marks, in the last five minutes."""
        found = Histogram()
        for one in (self.state.now.deliveries if self.state.now else {}).values():
            found.merge(one.lag)
        return found

    @property
    def is_open(self) -> bool:
        return self.state.breaker is not CircuitState.CLOSED or bool(self.fleet and self.fleet.open)


@dataclass(frozen=True, slots=True)
class Home:
    """The home page."""

    cards: list[Card]
    write_behind: list[WriteBehindState | Unavailable]
    runs: list[WarmingRun]
    replicas: Mapping[str, Lag]  # of databases, by alias: as this process has last measured them
    followers: Mapping[str, Lag]  # the relays of those that the region follows
    relays: list[RelayState]  # of all regions, by what their slots say


def home() -> Home:
    """Return what the home page shows. All regions are asked at once, and waited for together."""
    until = time.monotonic() + PATIENCE
    answers.start(asked_runs())
    found = cards(until)
    return Home(found, write_behind(), runs(until), lag_meter.last(), relay_lag_meter.last(), relays())


def cards(until: float | None = None) -> list[Card]:
    """Return all regions, asked at once."""
    names = conf.regions
    looks: Mapping[Any, Any] = answers.ask(
        {
            **{("state", name): partial(one_state, name) for name in names},
            **{("day", name): partial(points, name, hours=24) for name in names},
        },
        until=until,
    )
    known: dict[str, RegionState] = {
        name: looks["state", name] for name in names if isinstance(looks["state", name], RegionState)
    }
    errors = {name: why(looks["state", name]) for name in names}
    return [
        Card(
            state=known.get(name) or away(name),
            fleet=fleet_of(name, known),
            chart=chart_of(looks["day", name], rate_chart),
            queued=queued(name) if error else drained(name),
            error=error,
        )
        for name, error in errors.items()
    ]


def one_state(name: str) -> RegionState:
    """Return a region's state; where none of its processes notes its nodes, with rates since our own last look."""
    found = states([name])[0]
    return replace(found, nodes=tuple(own_looks.with_rates(node) for node in found.nodes))


class OwnLooks(Component):
    """What this process saw of nodes, some seconds apart: regions without processes of their own have no other."""

    def __init__(self) -> None:
        self._seen: dict[str, list[Mapping[str, int]]] = {}  # by server: an older look, and a newer one

    def with_rates(self, node: NodeStats) -> NodeStats:
        if node.error or node.rates is not None:
            return node
        now = samples_of([node], time.time())[f"n|{node.server}"]
        seen = self._seen.setdefault(node.server, [now])
        if now["at"] - seen[-1]["at"] >= BETWEEN_LOOKS * 1000:
            seen[:] = [seen[-1], now]
        if now["at"] - seen[0]["at"] < BETWEEN_LOOKS * 1000:
            return node
        return replace(node, rates=rates_between(seen[0], now))


own_looks = register_component(OwnLooks())


def points(name: str, *, minutes: int = 0, hours: int = 0) -> list[Point]:
    return CacheMonitor(name).history(minutes=minutes, hours=hours)


def why(found: object) -> str:
    """Return why a region's state is not known, "" where it is."""
    if isinstance(found, Unavailable):
        return found.why
    return found.error if isinstance(found, RegionState) else ""


def away(name: str) -> RegionState:
    return RegionState(name, name == conf.local_region, False, CircuitState.OPEN, "no answer")


def chart_of(found: object, draw: Any) -> Chart | None:
    return draw(found) if isinstance(found, list) else None


def fleet_of(name: str, known: Mapping[str, RegionState]) -> Fleet | None:
    """Return the processes of all regions that answer, towards one region; None without a report."""
    fleets = [state.processes[name] for state in known.values() if state.processes and name in state.processes]
    return sum(fleets, Fleet()) if fleets else None


def queued(name: str) -> int:
    """Return how many invalidations wait for a region, counted up to MAX_QUEUED."""
    found = 0
    with bypassed():
        for database in databases():
            found += QueuedInvalidation.objects.using(database).filter(region=name)[:MAX_QUEUED].count()
    return found


def drained(name: str) -> int:
    """Tell a region that answers what it has missed, as nobody may read there; return how many still wait."""
    waiting = queued(name)
    if waiting:
        regions.drain_queue(name, databases())
        waiting = queued(name)
    return waiting


def relays() -> list[RelayState]:
    """Return the relays that have been installed."""
    found = [state_of(database, name) for database in databases() for name in regions_told(database)]
    return [state for state in found if state.is_published]


def total(values: Sequence[float]) -> float | None:
    return sum(values) if values else None


def write_behind() -> list[WriteBehindState | Unavailable]:
    """Return what waits in the buffers of this process's region."""
    found: list[WriteBehindState | Unavailable] = []
    for cache in registered.values():
        try:
            found.append(cache.state())
        except StoreError as error:
            found.append(Unavailable(f"{cache.name}: {error}"))
    return found


def asked_runs() -> dict[tuple[str, str], Callable[[], list[WarmingRun]]]:
    return {("runs", name): partial(recent_runs, name) for name in conf.regions}


def runs(until: float | None = None) -> list[WarmingRun]:
    """Return the latest warming runs that any region remembers, the latest first."""
    looks = answers.ask(asked_runs(), until=until)
    by_start = {run.started_at: run for found in looks.values() if isinstance(found, list) for run in found}
    return [by_start[moment] for moment in sorted(by_start, reverse=True)][:MAX_RUNS]
