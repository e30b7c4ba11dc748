"""The models page: what each model's caching is worth, what costs most first."""

import datetime as dt
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from django.apps import apps
from django.db import models
from django.utils import timezone

from cacheops.monitoring.keyspace import KeyDistribution
from cacheops.monitoring.monitor import CacheMonitor
from cacheops.monitoring.stats import FUNCTION, NotCached, Reads, Usage, Writes
from cacheops.panel.advice import ENOUGH_READS, NOT_CACHED, Advice, advise
from cacheops.panel.charts import rate_severity
from cacheops.panel.polling import KEPT, PATIENCE, Unavailable, answers
from cacheops.panel.region_page import KEYS_KEPT
from cacheops.profiles import OPERATIONS, Level, Profile, profile_of

SPANS = {"1h": ("the last hour", 1), "24h": ("24 hours", 24), "7d": ("7 days", 168), "30d": ("30 days", 720)}
MAX_ROWS = 200
MAX_NOT_CACHED = 50


@dataclass(frozen=True, slots=True)
class Row:
    """One model, or cached function, in one region."""

    name: str
    model: type[models.Model] | None
    profile: Profile | None
    reads: Reads
    entries: int | None
    bytes: int | None
    advice: Advice = NOT_CACHED
    writes: Writes = field(default_factory=Writes)
    sources: str = ""  # of its invalidations, with their numbers
    kind: str = ""  # what it is, where it is no model

    @property
    def is_idle(self) -> bool:
        """Whether it was not read, and the cache holds nothing of it."""
        return not self.reads.total and not self.entries

    @property
    def lost(self) -> float:
        """Seconds that its readers spent on loading."""
        return self.reads.load.seconds

    @property
    def rate_severity(self) -> str:
        return rate_severity(self.reads.hit_rate) if self.reads.total >= ENOUGH_READS else "none"

    @property
    def operations(self) -> str:
        """The profile's operations, in words."""
        if self.profile is None or not self.profile.ops:
            return "none"
        return "all" if self.profile.ops == OPERATIONS else ", ".join(sorted(self.profile.ops))

    @property
    def level(self) -> str:
        return "" if self.profile is None else str(Level(self.profile.level, self.profile.seconds))


@dataclass(frozen=True, slots=True)
class Table:
    """The page. `error` says why there are no statistics; `keys_error` why there are no entries counted."""

    rows: tuple[Row, ...]
    idle: tuple[str, ...] = ()  # models that are cached, or were written, and were not read
    error: str = ""
    keys_error: str = ""
    complete: bool = True  # whether all keys were counted
    not_cached: tuple[NotCached, ...] = ()


def model_table(region: str, hours: int) -> Table:
    """Return every model that is cached, or was read or written, in one region: what is to be improved first."""
    until = time.monotonic() + PATIENCE
    monitor = CacheMonitor(region)
    scanned = {("keys", region): monitor.distribution}
    answers.start(scanned, kept=KEYS_KEPT)
    asked: dict[Any, Callable[[], Any]] = {
        ("usage", region, hours): partial(monitor.usage, hours=hours),
        ("first", region): monitor.first_reads,
    }
    found: Mapping[Any, Any] = answers.ask(asked, kept=KEPT if hours <= 24 else KEYS_KEPT, until=until)
    counted: Mapping[Any, Any] = answers.ask(scanned, kept=KEYS_KEPT, until=until)
    usage, keys, first = found["usage", region, hours], counted["keys", region], found["first", region]
    if isinstance(usage, Unavailable):
        return Table((), error=usage.why)
    distribution = keys if isinstance(keys, KeyDistribution) else None
    rows = rows_of(usage, distribution, {} if isinstance(first, Unavailable) else first)
    return Table(
        tuple(row for row in rows if not row.is_idle)[:MAX_ROWS],
        tuple(row.name for row in rows if row.is_idle),
        keys_error=keys.why if isinstance(keys, Unavailable) else "",
        complete=distribution is None or distribution.complete,
        not_cached=tuple(usage.not_cached[:MAX_NOT_CACHED]),
    )


def rows_of(usage: Usage, keys: KeyDistribution | None, first: Mapping[str, dt.datetime]) -> tuple[Row, ...]:
    """Return the rows: those with bad advice first, among them what takes most time to load.

    `first` says of models that were read lately when their reads were first counted.
    """
    now = timezone.now()
    by_model, writes, sources = usage.by_model(), writes_by_model(usage), sources_by_model(usage)
    known = {model._meta.label_lower: model for model in apps.get_models(include_auto_created=True)}
    names = set(by_model) | (writes.keys() & known.keys()) | {name for name, model in known.items() if is_cached(model)}
    functions = {name for name, operation in usage.reads if operation == FUNCTION}
    rows = [
        replace(
            _row(name, known.get(name), by_model.get(name, Reads()), keys, name in functions),
            sources=sources.get(name, ""),
            writes=writes.get(name, Writes()),
        )
        for name in names
    ]
    rows = [replace(row, advice=advice_on(row, first.get(row.name), now)) for row in rows]
    urgency = {"poor": 0, "fair": 1, "good": 2, "none": 3}
    rows.sort(key=lambda row: (urgency[row.advice.severity], -row.lost, -row.reads.total, row.name))
    return tuple(rows)


def is_cached(model: type[models.Model]) -> bool:
    profile = profile_of(model)
    return profile is not None and bool(profile.ops) and bool(model._meta.managed)


def _row(
    name: str,
    model: type[models.Model] | None,
    reads: Reads,
    keys: KeyDistribution | None,
    is_function: bool,
) -> Row:
    held = [group for group in keys.groups if group.model == name and group.kind == "entries"] if keys else None
    entries = None if held is None else sum(group.keys for group in held)
    return Row(
        name=name,
        model=model,
        profile=profile_of(model) if model is not None else None,
        reads=reads,
        entries=entries,
        bytes=None if held is None else sum(group.bytes for group in held),
        kind="" if model else "function, view or fragment" if is_function else "keys by name",
    )


def advice_on(row: Row, first: dt.datetime | None, now: dt.datetime) -> Advice:
    """Return the advice on a row whose reads were first counted at a moment; None: long ago."""
    if row.model and not row.profile:
        return NOT_CACHED
    timeout = row.profile.timeout if row.profile else None  # functions, and keys by name, have each its own
    read_for = None if first is None else (now - first).total_seconds()
    return advise(row.reads, row.writes, timeout, row.entries, read_for)


def writes_by_model(usage: Usage) -> dict[str, Writes]:
    """Return the invalidations of each model, from all sources."""
    found: dict[str, Writes] = {}
    for (model, _), one in usage.writes.items():
        held = found.setdefault(model, Writes())
        held.writes, held.tags, held.whole = held.writes + one.writes, held.tags + one.tags, held.whole + one.whole
        held.pending.merge(one.pending)
    return found


def sources_by_model(usage: Usage) -> dict[str, str]:
    """Return where each model's invalidations came from, most first: "40 save, 2 raw SQL"."""
    found: dict[str, list[str]] = {}
    for (model, source), one in sorted(usage.writes.items(), key=lambda item: -item[1].writes):
        found.setdefault(model, []).append(f"{one.writes:,} {source}")
    return {model: ", ".join(said) for model, said in found.items()}
