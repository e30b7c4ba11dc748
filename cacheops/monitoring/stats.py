"""Sums of what a region's processes have counted, from its time series, as typed values.

    seen = usage("us-east-1", hours=24)         # or minutes=5: the current period and those before it
    seen.total.hit_rate                         # 0 to 1, or None
    seen.by_model()["devices.device"].look_up.p95
    history("us-east-1", hours=24)              # one Point an hour, for a chart

All functions raise StoreUnavailable where the region does not answer, CommandRefused where it refuses.
"""

import datetime as dt
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import NamedTuple, Self

from cacheops.instrumentation.counters import FILL, LOAD, LOOK_UP, MARK, PENDING, Counts, Sums, add_counts, add_sums
from cacheops.instrumentation.histogram import Histogram
from cacheops.monitoring.timeseries import HOUR, MINUTE, TOTAL, Period, last_periods, time_series_of
from cacheops.orm.schema import models_by_table
from cacheops.reading.policy import Bypass
from cacheops.regions import Region, regions

FUNCTION = "call"  # the operation of cached functions, views and fragments: their "model" is the function's name


@dataclass(slots=True)
class Reads:
    """Cached reads: of one model and operation, or the sum of several."""

    hits: int = 0  # answered by a valid entry
    near: int = 0  # of these, the ones that the process held itself (level near)
    stale: int = 0  # answered by an outdated one, where the profile takes it
    misses: int = 0  # loaded under a lease
    bypasses: int = 0  # loaded past the cache: a writer pending, no store, a region that does not answer
    absent: int = 0  # look-ups that found no entry: never filled, expired or evicted
    outdated: int = 0  # look-ups that found an entry which a write had invalidated
    early: int = 0  # valid entries that were refreshed before their end
    errors: int = 0  # look-ups and fills that the region did not answer, or refused
    fills: int = 0  # entries stored
    bytes: int = 0  # of those entries
    refused_fills: int = 0  # the server was full, or read-only
    stale_fills: int = 0  # stored, but invalidated while they were loaded: they are never read
    corrupt: int = 0  # payloads that were no entries: each was a miss
    unencodable: int = 0  # results with values that the format can't hold
    too_large: int = 0  # results above CACHEOPS_MAX_ENTRY_BYTES
    sampled_fills: int = 0  # entries followed until their first read (SAMPLE_SHARE of all)
    sampled_used: int = 0  # of those, the ones that were read at least once
    look_up: Histogram = field(default_factory=Histogram)
    load: Histogram = field(default_factory=Histogram)
    fill: Histogram = field(default_factory=Histogram)  # encoding and sending; the answer is not waited for

    @property
    def total(self) -> int:
        """All reads."""
        return self.hits + self.stale + self.misses + self.bypasses

    @property
    def hit_rate(self) -> float | None:
        """The share that the cache answered, 0 to 1; None for no reads."""
        return (self.hits + self.stale) / self.total if self.total else None

    @property
    def unused_share(self) -> float | None:
        """The share of filled entries that ended unread, 0 to 1, from the sample; None without one."""
        return 1 - min(1.0, self.sampled_used / self.sampled_fills) if self.sampled_fills else None

    @classmethod
    def of(cls, counts: Mapping[str, int]) -> Self:
        look_up, load, fill = (Histogram.unpacked(name, counts) for name in (LOOK_UP, LOAD, FILL))
        made = cls(look_up=look_up, load=load, fill=fill)
        for name in READ_COUNTS:
            setattr(made, name, counts.get(name, 0))
        return made


READ_COUNTS = tuple(each.name for each in fields(Reads) if each.type in (int, "int"))


@dataclass(slots=True)
class Writes:
    """Invalidations of one table by one source (`cacheops.writing.changes.ChangeSource`)."""

    writes: int = 0  # transactions that changed the table
    tags: int = 0  # marked
    whole: int = 0  # of the writes, those that invalidated the whole table
    pending: Histogram = field(default_factory=Histogram)  # from the first mark until the marks were taken off

    @classmethod
    def of(cls, counts: Mapping[str, int]) -> Self:
        got = {name: counts.get(name, 0) for name in ("writes", "tags", "whole")}
        return cls(**got, pending=Histogram.unpacked(PENDING, counts))


@dataclass(slots=True)
class DeliveryStats:
    """Marks and invalidations that processes of any region sent to one region."""

    marks: int = 0  # rounds of marks that it acknowledged
    errors: int = 0  # rounds that it did not
    queued: int = 0  # tables that went into the queue instead
    replayed: int = 0  # tables invalidated from the queue
    late_marks: int = 0  # marks that ran out before their write was done
    lost_marks: int = 0  # marks that were gone before their time
    lag: Histogram = field(default_factory=Histogram)  # from sending marks to their acknowledgement

    @classmethod
    def of(cls, counts: Mapping[str, int]) -> Self:
        names = ("marks", "errors", "queued", "replayed", "late_marks", "lost_marks")
        got = {name: counts.get(name, 0) for name in names}
        return cls(**got, lag=Histogram.unpacked(MARK, counts))


class NotCached(NamedTuple):
    """Reads that went past the cache before it was asked."""

    model: str  # or the function's name
    operation: str
    reason: str  # a name of cacheops.reading.policy.Bypass
    place: str  # the function that read; "" where there were too many, or it was not looked for
    reads: int

    @property
    def why(self) -> str:
        return Bypass.__members__.get(self.reason, self.reason)


@dataclass(slots=True)
class Usage:
    """Statistics of a region over some periods."""

    region: str
    since: dt.datetime
    reads: dict[tuple[str, str], Reads]  # by model (or function) and operation
    writes: dict[tuple[str, str], Writes]  # by model (a table's name where it has none) and source
    deliveries: dict[str, DeliveryStats]  # by the region that they went to
    events: dict[str, Counts]  # by name
    not_cached: list[NotCached] = field(default_factory=list)  # what was read most often first

    @property
    def total(self) -> Reads:
        return merged(self._counts.values())

    @property
    def recoveries(self) -> int:
        """How many servers were purged after they had come back, or were new."""
        return self.events.get("recovery", {}).get("servers", 0)

    def total_counts(self) -> Counts:
        """Return the sums behind `total`, by the names under which they were counted."""
        sums: Counts = {}
        for counts in self._counts.values():
            add_counts(sums, counts)
        return sums

    def by_model(self) -> dict[str, Reads]:
        """Return the reads of each model, of all operations."""
        groups: dict[str, list[Counts]] = {}
        for (model, _), counts in self._counts.items():
            groups.setdefault(model, []).append(counts)
        return {model: merged(found) for model, found in groups.items()}

    _counts: dict[tuple[str, str], Counts] = field(default_factory=dict, repr=False)


def merged(all_counts: Iterable[Mapping[str, int]]) -> Reads:
    """Return the sum of several reads' counts."""
    sums: Counts = {}
    for counts in all_counts:
        add_counts(sums, counts)
    return Reads.of(sums)


@dataclass(frozen=True, slots=True)
class Point:
    """One hour or minute of a chart."""

    starts: dt.datetime
    reads: Reads
    nodes: Mapping[str, Mapping[str, int]]  # a sample of each node's statistics, by server


def usage(region: str, *, minutes: int = 0, hours: int = 0) -> Usage:
    """Return what was counted in the last minutes (of a day) or hours (of 30 days), the current one included.

    Without a time: in all time, as far as the region has kept it.
    """
    periods = periods_of(minutes, hours)
    return usage_of(region, periods[0].starts, sums_of(region, periods))


def history(region: str, *, minutes: int = 0, hours: int = 24) -> list[Point]:
    """Return the last minutes, or hours, one by one, oldest first."""
    periods = periods_of(minutes, 0 if minutes else hours)
    points = []
    for period, sums in zip(periods, read_sums(region, periods), strict=True):
        reads = merged(counts for series, counts in sums.items() if series.startswith("r|"))
        nodes = {series[2:]: counts for series, counts in sums.items() if series.startswith("n|")}
        points.append(Point(period.starts, reads, nodes))
    return points


def first_reads(region: str) -> dict[str, dt.datetime]:
    """Return when each model's reads of the last day began, as far as they are known: to a minute of the last hour."""
    now = time.time()
    hours, minutes = last_periods(now, HOUR, 24), last_periods(now, MINUTE, 60)
    sums = read_sums(region, [*hours, *minutes])
    since, lately = _first_of(hours, sums[: len(hours)]), _first_of(minutes, sums[len(hours) :])
    recent = minutes[0].starts - dt.timedelta(seconds=HOUR)
    return {model: lately.get(model, start) if start > recent else start for model, start in since.items()}


def _first_of(periods: Sequence[Period], all_sums: Sequence[Sums]) -> dict[str, dt.datetime]:
    found: dict[str, dt.datetime] = {}
    for period, sums in zip(periods, all_sums, strict=True):
        for series in sums:
            kind, _, name = series.partition("|")
            model, _, operation = name.rpartition(":")
            if kind == "r":
                found.setdefault(model or operation, period.starts)
    return found


def periods_of(minutes: int, hours: int) -> list[Period]:
    if minutes:
        return last_periods(time.time(), MINUTE, minutes)
    return last_periods(time.time(), HOUR, hours) if hours else [TOTAL]


def read_sums(region: str, periods: list[Period]) -> list[Sums]:
    """Return the sums of periods, from the time series of a region."""
    asked: Region = regions[region]
    with asked.guard():
        return time_series_of(asked.store).read([period.base for period in periods])


def sums_of(region: str, periods: list[Period]) -> Sums:
    found: Sums = {}
    for sums in read_sums(region, periods):
        add_sums(found, {series: counts for series, counts in sums.items() if series[0] not in "np"})
    return found


def usage_of(region: str, since: dt.datetime, sums: Sums) -> Usage:
    """Return sums by series as typed values."""
    reads: dict[tuple[str, str], Counts] = {}
    writes: dict[tuple[str, str], Writes] = {}
    deliveries, events, not_cached = {}, {}, []
    for series, counts in sums.items():
        kind, _, name = series.partition("|")
        if kind == "r":
            model, _, operation = name.rpartition(":")
            add_counts(reads.setdefault((model or name, operation if model else "other"), {}), counts)
        elif kind == "w":
            table, _, source = name.partition("|")
            writes[model_label(table), source] = Writes.of(counts)
        elif kind == "t":
            deliveries[name] = DeliveryStats.of(counts)
        elif kind == "e":
            events[name] = dict(counts)
        elif kind == "b" and name.count("|") == 2:
            label, reason, place = name.split("|")
            model, _, operation = label.rpartition(":")
            not_cached.append(NotCached(model, operation, reason, place, counts.get("reads", 0)))
    typed = {label: Reads.of(counts) for label, counts in reads.items()}
    not_cached.sort(key=lambda one: (-one.reads, one))
    return Usage(region, since, typed, writes, deliveries, events, not_cached, reads)


def model_label(table: str) -> str:
    """Return the model of a table, as "app.model"; the table's name where there is none."""
    model = models_by_table().get(table)
    return model._meta.label_lower if model is not None else table
