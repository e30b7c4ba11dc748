"""Answers to what an analytics page asks: always as fresh as the database, merged from what is kept of its readings."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from zoneinfo import ZoneInfo

from django.utils import timezone

from analytics.figures import Bucket, Figures, LocationFigures, Merged, merged, over_all
from analytics.selectors import DEVICE_COUNT, Selection
from analytics.windows import Window, shown_until, window_for, window_until
from devices.directory import DeviceRow, devices_at, fleet_at, newest_sighting
from devices.spans import Span
from locations.models import Location


@dataclass(frozen=True)
class Question:
    """What an analytics page asks. `until` None means up to the present; `between` is a window instead of a span."""

    selection: Selection
    span: Span
    zone: str
    until: datetime | None = None
    between: Window | None = None
    compared: int = 0  # of how many locations buckets are wanted too


@dataclass(frozen=True)
class AnalyticsSummary:
    """One metric over one window: in buckets, by location, and over all. Values are in the metric's unit."""

    metric: str
    window: Window
    newest: datetime | None  # when the selected devices last sent something, where that was asked for
    present: bool  # whether the window ends now; else it ends at the newest reading, or at the moment asked for
    buckets: tuple[Bucket, ...]
    locations: tuple[LocationFigures, ...]
    made_at: datetime
    by_location: Mapping[int, tuple[Bucket, ...]] = field(default_factory=dict)

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
    def total(self) -> Figures | None:
        """What the readings of all locations come to, None where there are none."""
        found = over_all(self.locations)
        return replace(found, devices=self.devices) if found else None


def analytics_summary(question: Question, now: datetime | None = None) -> AnalyticsSummary:
    """Return the answer to a question at a moment, by default the present one.

    A window that ends now is read first: where it holds readings, nothing else must be known. Only where it is empty
    are the devices asked when they last sent something, as the window then ends there (analytics.windows.window_for).
    """
    now = now or timezone.now()
    zone, selection = ZoneInfo(question.zone), question.selection
    locations = locations_of(selection)
    if question.until is None and question.between is None:
        window = window_until(question.span, now, zone)
        found = selected(selection, window, now, question.compared)
        if found.buckets:
            return summary_of(question, window, None, True, found, now)
    devices = devices_at(locations)
    newest = newest_sighting([row for rows in devices.values() for row in rows if is_meant(row, selection)])
    if question.between is None:
        window, present = window_for(question.span, zone, newest, question.until, now)
    else:
        window, present = question.between, False
    if not present:
        found = selected(selection, window, now, question.compared)
    return summary_of(question, window, newest, present, found, now)


def summary_of(
    question: Question, window: Window, newest: datetime | None, present: bool, found: Merged, now: datetime
) -> AnalyticsSummary:
    metric = question.selection.metric
    return AnalyticsSummary(metric, window, newest, present, found.buckets, found.locations, now, found.by_location)


def locations_of(selection: Selection) -> Sequence[int]:
    if selection.location_ids is None:
        return list(Location.objects.values_list("pk", flat=True))
    return selection.location_ids


def is_meant(row: DeviceRow, selection: Selection) -> bool:
    """Return whether a device is of those whose own metric and kind are selected."""
    return selection.metric in (row.metric, DEVICE_COUNT) and selection.kind in (row.kind, "")


def selected(selection: Selection, window: Window, now: datetime, compared: int = 0) -> Merged:
    """Return what the selected readings come to within a window."""
    fleet = fleet_at(locations_of(selection))
    return merged(selection.metric, fleet, window, now, selection.kind, compared)
