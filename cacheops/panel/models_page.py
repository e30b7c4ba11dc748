"""The models page: what each model's caching is worth, what costs most first."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from django.apps import apps
from django.db import models

from cacheops.monitoring.keyspace import KeyDistribution
from cacheops.monitoring.monitor import CacheMonitor
from cacheops.monitoring.stats import FUNCTION, Reads, Usage, Writes
from cacheops.panel.advice import ENOUGH_READS, NOT_CACHED, Advice, advise
from cacheops.panel.charts import rate_severity
from cacheops.panel.polling import PATIENCE, Unavailable, answers
from cacheops.panel.region_page import KEYS_KEPT
from cacheops.profiles import OPERATIONS, Level, Profile, profile_of

SPANS = {"1h": ("the last hour", 1), "24h": ("24 hours", 24), "7d": ("7 days", 168)}
MAX_ROWS = 200


@dataclass(frozen=True, slots=True)
class Row:
    """One model, or cached function, in one region."""

    name: str
    model: type[models.Model] | None
    profile: Profile | None
    reads: Reads
    writes: Writes
    entries: int | None
    bytes: int | None
    advice: Advice
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


def model_table(region: str, hours: int) -> Table:
    """Return every model that is cached, or was read or written, in one region: what is to be improved first."""
    until = time.monotonic() + PATIENCE
    monitor = CacheMonitor(region)
    scanned = {("keys", region): monitor.distribution}
    answers.start(scanned, kept=KEYS_KEPT)
    found: Mapping[Any, Any] = answers.ask({("usage", region, hours): partial(monitor.usage, hours=hours)}, until=until)
    counted: Mapping[Any, Any] = answers.ask(scanned, kept=KEYS_KEPT, until=until)
    usage, keys = found["usage", region, hours], counted["keys", region]
    if isinstance(usage, Unavailable):
        return Table((), error=usage.why)
    distribution = keys if isinstance(keys, KeyDistribution) else None
    rows = rows_of(usage, distribution)
    return Table(
        tuple(row for row in rows if not row.is_idle)[:MAX_ROWS],
        tuple(row.name for row in rows if row.is_idle),
        keys_error=keys.why if isinstance(keys, Unavailable) else "",
        complete=distribution is None or distribution.complete,
    )


def rows_of(usage: Usage, keys: KeyDistribution | None) -> tuple[Row, ...]:
    """Return the rows: those with bad advice first, among them what takes most time to load."""
    by_model, writes, sources = usage.by_model(), writes_by_model(usage), sources_by_model(usage)
    known = {model._meta.label_lower: model for model in apps.get_models(include_auto_created=True)}
    names = set(by_model) | (writes.keys() & known.keys()) | {name for name, model in known.items() if is_cached(model)}
    functions = {name for name, operation in usage.reads if operation == FUNCTION}
    rows = [
        _row(name, known.get(name), by_model.get(name, Reads()), writes.get(name, Writes()), keys, name in functions)
        for name in names
    ]
    rows = [replace(row, sources=sources.get(row.name, "")) for row in rows]
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
    writes: Writes,
    keys: KeyDistribution | None,
    is_function: bool,
) -> Row:
    profile = profile_of(model) if model is not None else None
    timeout = profile.timeout if profile else None  # functions, and keys by name, have each its own
    held = [group for group in keys.groups if group.model == name and group.kind == "entries"] if keys else None
    entries = None if held is None else sum(group.keys for group in held)
    return Row(
        name=name,
        model=model,
        profile=profile,
        reads=reads,
        writes=writes,
        entries=entries,
        bytes=None if held is None else sum(group.bytes for group in held),
        advice=NOT_CACHED if model and not profile else advise(reads, writes, timeout, entries),
        kind="" if model else "function, view or fragment" if is_function else "keys by name",
    )


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
