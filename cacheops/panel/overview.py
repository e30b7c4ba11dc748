"""What the home page and a region's page show."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

from cacheops.conf import conf
from cacheops.exceptions import StoreError
from cacheops.models import QueuedInvalidation
from cacheops.monitoring.figures import Breakers, Point, Reads
from cacheops.monitoring.histogram import Histogram
from cacheops.monitoring.keyspace import KeyDistribution
from cacheops.monitoring.monitor import CacheMonitor, RegionState, states
from cacheops.monitoring.nodes import NodeFigures, SlowCommand
from cacheops.orm.options import bypassed
from cacheops.panel.answers import NoAnswer, answers
from cacheops.panel.charts import Chart, rate_chart, rate_look, reads_chart
from cacheops.panel.seeing import shown_key
from cacheops.panel.steering import databases
from cacheops.patterns.write_behind import WriteBehindState, registered
from cacheops.stores.breaker import CircuitState
from cacheops.warming import WarmingRun, recent_runs

V = TypeVar("V")

NOW_SECONDS = 300  # RegionState.now is of the last five minutes
MOST_QUEUED = 1000  # counted, of a region's queue
MOST_RUNS = 5
MOST_LARGEST = 15
SLOWEST = 15
KEYS_KEPT = 15.0  # seconds: looking at 50,000 keys takes some hundred milliseconds


@dataclass(frozen=True, slots=True)
class Card:
    """One region at a glance. `error` says why there is nothing to show."""

    state: RegionState
    fleet: Breakers | None  # what the processes of all regions that answer think of this one
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
    def rate_look(self) -> str:
        return rate_look(self.now.hit_rate)

    @property
    def reads_per_second(self) -> float:
        return self.now.total / NOW_SECONDS

    @property
    def primaries(self) -> list[NodeFigures]:
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
    def told(self) -> Histogram:
        """How long writers of this region waited for all regions' marks, in the last five minutes."""
        found = Histogram()
        for one in (self.state.now.told if self.state.now else {}).values():
            found.merge(one.lag)
        return found

    @property
    def is_open(self) -> bool:
        return self.state.breaker is not CircuitState.CLOSED or bool(self.fleet and self.fleet.open)


def cards() -> list[Card]:
    """Return all regions, asked at once."""
    names = conf.regions
    looks: Mapping[Any, Any] = answers.ask(
        {
            **{("state", name): partial(one_state, name) for name in names},
            **{("day", name): partial(points, name, hours=24) for name in names},
        }
    )
    known: dict[str, RegionState] = {
        name: looks["state", name] for name in names if isinstance(looks["state", name], RegionState)
    }
    return [
        Card(
            state=known.get(name) or away(name),
            fleet=fleet_of(name, known),
            chart=chart_of(looks["day", name], rate_chart),
            queued=queued(name),
            error=why(looks["state", name]),
        )
        for name in names
    ]


def one_state(name: str) -> RegionState:
    return states([name])[0]


def points(name: str, *, minutes: int = 0, hours: int = 0) -> list[Point]:
    return CacheMonitor(name).history(minutes=minutes, hours=hours)


def why(found: object) -> str:
    """Return why a region's state is not known, "" where it is."""
    if isinstance(found, NoAnswer):
        return found.why
    return found.error if isinstance(found, RegionState) else ""


def away(name: str) -> RegionState:
    return RegionState(name, name == conf.local_region, False, CircuitState.OPEN, "no answer")


def chart_of(found: object, draw: Any) -> Chart | None:
    return draw(found) if isinstance(found, list) else None


def fleet_of(name: str, known: Mapping[str, RegionState]) -> Breakers | None:
    """Return what the processes of all regions that answer say of one region; None where none has told."""
    told = [state.breakers[name] for state in known.values() if state.breakers and name in state.breakers]
    return Breakers(sum(one.processes for one in told), sum(one.open for one in told)) if told else None


def queued(name: str) -> int:
    """Return how many invalidations wait for a region, counted up to MOST_QUEUED."""
    found = 0
    with bypassed():
        for database in databases():
            found += QueuedInvalidation.objects.using(database).filter(region=name)[:MOST_QUEUED].count()
    return found


def total(values: Sequence[float]) -> float | None:
    return sum(values) if values else None


def write_behind() -> list[WriteBehindState | NoAnswer]:
    """Return what waits in the buffers of this process's region."""
    found: list[WriteBehindState | NoAnswer] = []
    for cache in registered.values():
        try:
            found.append(cache.state())
        except StoreError as error:
            found.append(NoAnswer(f"{cache.name}: {error}"))
    return found


def runs() -> list[WarmingRun]:
    """Return the latest warming runs that any region remembers, the latest first."""
    looks = answers.ask({("runs", name): partial(recent_runs, name) for name in conf.regions})
    by_start = {run.started_at: run for found in looks.values() if isinstance(found, list) for run in found}
    return [by_start[moment] for moment in sorted(by_start, reverse=True)][:MOST_RUNS]


# --- one region -----------------------------------------------------------------------------------------------------

SPANS = {"1h": ("The last hour, by minute", {"minutes": 60}), "24h": ("24 hours, by hour", {"hours": 24})}


@dataclass(frozen=True, slots=True)
class Share:
    """One group of keys, and its part of all bytes, in per cent."""

    model: str
    kind: str
    keys: int
    bytes: int
    percent: float


@dataclass(frozen=True, slots=True)
class RegionPage:
    """A region's page. What the region did not tell is None."""

    card: Card
    rates: Chart | None
    reads: Chart | None
    distribution: KeyDistribution | None
    shares: tuple[Share, ...]
    largest: tuple[tuple[str, int, str], ...]  # keys as the person may see them, bytes, model
    slow: tuple[SlowCommand, ...]


def region_page(name: str, span: str, user: Any) -> RegionPage:
    """Return all about one region, as a person may see it."""
    monitor = CacheMonitor(name)
    charted = SPANS[span][1]
    looks: Mapping[Any, Any] = answers.ask(
        {
            ("history", name, span): partial(points, name, **charted),
            ("slow", name): partial(monitor.slow_log, SLOWEST),
        }
    )
    keys: Mapping[Any, Any] = answers.ask({("keys", name): monitor.distribution}, kept=KEYS_KEPT)
    found = keys["keys", name]
    distribution = found if isinstance(found, KeyDistribution) else None
    slow = looks["slow", name]
    return RegionPage(
        card=next(card for card in cards() if card.name == name),
        rates=chart_of(looks["history", name, span], rate_chart),
        reads=chart_of(looks["history", name, span], reads_chart),
        distribution=distribution,
        shares=shares(distribution),
        largest=largest(distribution, user),
        slow=tuple(shown(one, user) for one in slow) if isinstance(slow, list) else (),
    )


def shares(distribution: KeyDistribution | None) -> tuple[Share, ...]:
    if distribution is None:
        return ()
    whole = sum(group.bytes for group in distribution.groups) or 1
    return tuple(
        Share(group.model, group.kind, group.keys, group.bytes, round(100 * group.bytes / whole, 1))
        for group in distribution.groups[:MOST_LARGEST]
    )


def largest(distribution: KeyDistribution | None, user: Any) -> tuple[tuple[str, int, str], ...]:
    """Return the largest keys of the sample."""
    if distribution is None:
        return ()
    found = [(key, size, group.model) for group in distribution.groups for key, size in group.largest]
    found.sort(key=lambda one: -one[1])
    return tuple((shown_key(key, user), size, model) for key, size, model in found[:MOST_LARGEST])


def shown(slow: SlowCommand, user: Any) -> SlowCommand:
    return SlowCommand(slow.server, slow.at, slow.microseconds, slow.command, shown_key(slow.key, user))
