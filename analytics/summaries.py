"""Answers to what an analytics page asks: always as fresh as the database, merged from what is kept of its readings."""

from dataclasses import dataclass
from datetime import datetime
from zoneinfo import ZoneInfo

from django.utils import timezone

from analytics.buckets import Group
from analytics.figures import Bucket, LocationFigures, Merged, merged
from analytics.selectors import Selection, devices_of, newest_moment
from analytics.windows import Span, Window, shown_until, window_for, window_until


@dataclass(frozen=True)
class Question:
    """What an analytics page asks. `until` None means up to the present."""

    selection: Selection
    span: Span
    zone: str
    until: datetime | None = None


@dataclass(frozen=True)
class AnalyticsSummary:
    """One metric over one window: in buckets, by location, and over all. Values are in the metric's unit."""

    metric: str
    window: Window
    newest: datetime | None  # when the selected devices last sent something, where that was asked for
    present: bool  # whether the window ends now; else it ends at the newest reading, or where the asker said
    buckets: tuple[Bucket, ...]
    locations: tuple[LocationFigures, ...]
    made_at: datetime

    @property
    def span(self) -> str:
        return self.window.span.code

    @property
    def zone(self) -> str:
        return self.window.zone.key

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


def analytics_summary(question: Question, now: datetime | None = None) -> AnalyticsSummary:
    """Return the answer to a question at a moment, by default the present one.

    A window that ends now is read first: where it holds readings, nothing else must be known. Only where it is empty
    are the devices asked when they last sent something, as the window then ends there (analytics.windows.window_for).
    """
    now = now or timezone.now()
    zone, selection = ZoneInfo(question.zone), question.selection
    if question.until is None:
        window = window_until(question.span, now, zone)
        found = selected(selection, window, now)
        if found.buckets:
            return summary(selection, window, found, now, newest=None, present=True)
    newest = newest_moment(selection)
    window, present = window_for(question.span, zone, newest, question.until, now)
    if not present:
        found = selected(selection, window, now)
    return summary(selection, window, found, now, newest, present)


def selected(selection: Selection, window: Window, now: datetime) -> Merged:
    """Return what the selected readings within a window come to."""
    devices = devices_of(selection.location_ids)
    by_location: dict[int, list[int]] = {}
    for device, location, _ in devices:
        by_location.setdefault(location, []).append(device)
    groups = [Group(tuple(own), location) for location, own in by_location.items()]
    if not selection.kind:
        return merged(selection.metric, groups, window, now)
    only = frozenset(device for device, _, kind in devices if kind == selection.kind)
    return merged(selection.metric, groups, window, now, only)


def summary(
    selection: Selection, window: Window, found: Merged, now: datetime, newest: datetime | None, present: bool
) -> AnalyticsSummary:
    return AnalyticsSummary(selection.metric, window, newest, present, found.buckets, found.locations, now)
