"""Summaries that cost much and are asked for often, kept in the region's cache.

Every key holds the locations that the asker may see, so nobody is answered with what was computed for somebody else,
and a change of membership asks under another key at once. Values are JSON text: they are the same under every backend.
"""

import hashlib
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Generic, TypeVar
from zoneinfo import ZoneInfo

import msgspec
from django.core.cache import caches
from django.core.cache.backends.base import BaseCache
from django.utils import timezone

from analytics.selectors import Bucket, LocationFigures, Selection, buckets, figures_by_location, newest_moment
from analytics.windows import SPANS, Span, Window, shown_until, window_for

# Seconds, from the specification's TTL strategies.
ANALYTICS_TTL = 900  # windows of the past: only late readings change them
REAL_TIME_TTL = 60  # windows that hold the present
FORMAT = 1  # raise it when a stored class changes its fields

Summary = TypeVar("Summary")


@dataclass(frozen=True)
class Recipe(Generic[Summary]):
    """How a summary is found, made and kept: its key, its class, and from the summary its TTL in seconds."""

    key: str
    kind: type[Summary]
    make: Callable[[], Summary]
    ttl: Callable[[Summary], int]


@dataclass(frozen=True)
class AnalyticsSummary:
    """One metric over one window: in buckets, by location, and over all. Times are UTC, values in the metric's unit."""

    metric: str
    span: str
    zone: str
    start: datetime
    end: datetime
    newest: datetime | None  # when the selected devices last sent something
    present: bool  # whether the window ends now; else it ends at the newest reading, or where the asker said
    buckets: tuple[Bucket, ...]
    locations: tuple[LocationFigures, ...]
    made_at: datetime

    @property
    def window(self) -> Window:
        zone = ZoneInfo(self.zone)
        return Window(SPANS[self.span], self.start.astimezone(zone), self.end.astimezone(zone), zone)

    @property
    def up_to(self) -> datetime:
        return shown_until(self.window, self.present, self.newest, self.made_at)

    @property
    def count(self) -> int:
        return sum(location.count for location in self.locations)

    @property
    def devices(self) -> int:
        return sum(location.devices for location in self.locations)

    @property
    def average(self) -> float | None:
        if not self.count:
            return None
        return sum(location.average * location.count for location in self.locations) / self.count

    @property
    def minimum(self) -> float | None:
        return min((location.minimum for location in self.locations), default=None)

    @property
    def maximum(self) -> float | None:
        return max((location.maximum for location in self.locations), default=None)


@dataclass(frozen=True)
class Question:
    """What an analytics page asks. `until` None means up to the present."""

    selection: Selection
    span: Span
    zone: str
    until: datetime | None = None


def analytics_recipe(question: Question) -> "Recipe[AnalyticsSummary]":
    selection, span = question.selection, question.span
    until = question.until.isoformat() if question.until else "present"
    key = summary_key(f"analytics:{selection.metric}:{span.code}", (selection, question.zone, until))
    return Recipe(key, AnalyticsSummary, lambda: analyse(question, timezone.now()), _analytics_ttl)


def analytics_summary(question: Question) -> AnalyticsSummary:
    """Return the answer to a question, from the region's cache where it holds one."""
    return served(analytics_recipe(question))


def analyse(question: Question, now: datetime) -> AnalyticsSummary:
    newest = newest_moment(question.selection)
    window, present = window_for(question.span, ZoneInfo(question.zone), newest, question.until, now)
    return AnalyticsSummary(
        metric=question.selection.metric,
        span=question.span.code,
        zone=question.zone,
        start=window.start,
        end=window.end,
        newest=newest,
        present=present,
        buckets=buckets(question.selection, window),
        locations=figures_by_location(question.selection, window),
        made_at=now,
    )


def _analytics_ttl(summary: AnalyticsSummary) -> int:
    return REAL_TIME_TTL if summary.end > summary.made_at else ANALYTICS_TTL


def summary_key(name: str, parts: object) -> str:
    """Return the key of a summary: its name, and 128 bits of the canonical form of all that it depends on."""
    canonical = msgspec.json.encode(parts, order="deterministic")
    return f"summary:{FORMAT}:{name}:{hashlib.blake2b(canonical, digest_size=16).hexdigest()}"


def served(recipe: Recipe[Summary]) -> Summary:
    """Return what the region's cache holds, or make and store it."""
    cache = caches["default"]
    held = cache.get(recipe.key)
    if held is not None:
        # What another release has stored may not be readable here: then it is as if there were nothing.
        with suppress(msgspec.DecodeError):
            return msgspec.json.decode(held, type=recipe.kind)
    summary = recipe.make()
    cache.set(recipe.key, stored(summary), recipe.ttl(summary))
    return summary


def warm(recipes: Iterable[Recipe[Any]], targets: Iterable[BaseCache]) -> int:
    """Make each summary once and store it in every target; return how many could not be stored."""
    batches: dict[int, dict[str, str]] = {}
    for recipe in recipes:
        summary = recipe.make()
        batches.setdefault(recipe.ttl(summary), {})[recipe.key] = stored(summary)
    return sum(len(cache.set_many(batch, ttl)) for cache in targets for ttl, batch in batches.items())


def stored(summary: object) -> str:
    return msgspec.json.encode(summary).decode()
