"""What a region's page shows."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from cacheops.monitoring.keyspace import KeyDistribution
from cacheops.monitoring.monitor import CacheMonitor
from cacheops.monitoring.nodes import SlowCommand
from cacheops.panel.charts import Chart, rate_chart, reads_chart
from cacheops.panel.overview import Card, cards, chart_of, points
from cacheops.panel.permissions import shown_key
from cacheops.panel.polling import KEPT, PATIENCE, Unavailable, answers
from cacheops.protocol.keys import ENTRY, parse

MAX_LARGEST = 15
SLOWEST = 15
KEYS_KEPT = 15.0  # seconds: looking at 50,000 keys takes some hundred milliseconds

SPANS = {
    "1h": ("The last hour, by minute", {"minutes": 60}),
    "24h": ("24 hours, by hour", {"hours": 24}),
    "7d": ("7 days, by hour", {"hours": 168}),
    "30d": ("30 days, by hour", {"hours": 720}),
}
LONG = frozenset({"7d", "30d"})  # of so many hours that they are not read every five seconds


@dataclass(frozen=True, slots=True)
class Share:
    """One group of keys, and its part of all bytes, in per cent."""

    model: str
    kind: str
    keys: int
    bytes: int
    percent: float


@dataclass(frozen=True, slots=True)
class LargeKey:
    """A key of the sample, as the person may see it; `is_entry`: the look-up page can show its entry."""

    key: str
    bytes: int
    is_entry: bool


@dataclass(frozen=True, slots=True)
class RegionPage:
    """A region's page. What the region did not answer is None."""

    card: Card
    rates: Chart | None
    reads: Chart | None
    distribution: KeyDistribution | None
    shares: tuple[Share, ...]
    largest: tuple[LargeKey, ...]
    slow: tuple[SlowCommand, ...]
    keys_error: str  # why there is no distribution
    slow_error: str  # why there is no slow log


def region_page(name: str, span: str, user: Any) -> RegionPage:
    """Return all about one region, as a person may see it."""
    until = time.monotonic() + PATIENCE
    monitor = CacheMonitor(name)
    charted = SPANS[span][1]
    counted = {("keys", name): monitor.distribution}
    asked: dict[Any, Callable[[], Any]] = {("slow", name): partial(monitor.slow_log, SLOWEST)}
    drawn: dict[Any, Callable[[], Any]] = {("history", name, span): partial(points, name, **charted)}
    drawn_for = KEYS_KEPT if span in LONG else KEPT
    answers.start(counted, kept=KEYS_KEPT)
    answers.start(drawn, kept=drawn_for)
    answers.start(asked)
    found_cards = cards(until)
    looks: Mapping[Any, Any] = answers.ask(asked, until=until)
    history = answers.ask(drawn, kept=drawn_for, until=until)["history", name, span]
    keys: Mapping[Any, Any] = answers.ask(counted, kept=KEYS_KEPT, until=until)
    found = keys["keys", name]
    distribution = found if isinstance(found, KeyDistribution) else None
    slow = looks["slow", name]
    return RegionPage(
        card=next(card for card in found_cards if card.name == name),
        rates=chart_of(history, rate_chart),
        reads=chart_of(history, reads_chart),
        distribution=distribution,
        shares=shares(distribution),
        largest=largest(distribution, user),
        slow=tuple(shown(one, user) for one in slow) if isinstance(slow, list) else (),
        keys_error=found.why if isinstance(found, Unavailable) else "",
        slow_error=slow.why if isinstance(slow, Unavailable) else "",
    )


def shares(distribution: KeyDistribution | None) -> tuple[Share, ...]:
    if distribution is None:
        return ()
    whole = sum(group.bytes for group in distribution.groups) or 1
    return tuple(
        Share(group.model, group.kind, group.keys, group.bytes, round(100 * group.bytes / whole, 1))
        for group in distribution.groups[:MAX_LARGEST]
    )


def largest(distribution: KeyDistribution | None, user: Any) -> tuple[LargeKey, ...]:
    """Return the largest keys of the sample."""
    if distribution is None:
        return ()
    found = [pair for group in distribution.groups for pair in group.largest]
    found.sort(key=lambda pair: -pair[1])
    return tuple(large_key(key, size, user) for key, size in found[:MAX_LARGEST])


def large_key(key: str, size: int, user: Any) -> LargeKey:
    parsed, text = parse(key), shown_key(key, user)
    return LargeKey(text, size, parsed is not None and parsed.kind == ENTRY and text == key)


def shown(slow: SlowCommand, user: Any) -> SlowCommand:
    return replace(slow, key=shown_key(slow.key, user))
