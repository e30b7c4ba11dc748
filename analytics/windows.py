"""Windows of time and their buckets, in a location's own clock."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from django.utils import timezone

from devices.selectors import present_for
from devices.spans import DAY, MAX_RANGE, RANGE, Span, bucket_for

TOO_LONG = f"A range has at most {MAX_RANGE.days} days."


@dataclass(frozen=True)
class Window:
    """The time from `start` up to, not including, `end`, both in `zone` and on the edges of buckets."""

    span: Span
    start: datetime
    end: datetime
    zone: ZoneInfo

    def starts(self) -> list[datetime]:
        """Return where each bucket starts. Days are the zone's own, of 23 to 25 hours where clocks change."""
        if self.span.bucket == DAY:
            first = self.start.replace(tzinfo=None)
            return [(first + day * DAY).replace(tzinfo=self.zone) for day in range(self.span.length // DAY)]
        first = self.start.astimezone(UTC)
        buckets = range(self.span.length // self.span.bucket)
        return [(first + number * self.span.bucket).astimezone(self.zone) for number in buckets]

    def end_of(self, start: datetime) -> datetime:
        """Return where the bucket ends that starts at a moment."""
        return moved(start, self.span.bucket, self.span.bucket, self.zone)

    def earlier(self) -> "Window":
        return window_until(self.span, self.start.astimezone(UTC) - timedelta(microseconds=1), self.zone)

    def later(self) -> "Window":
        if self.span.bucket == DAY:
            last_day = self.end.replace(tzinfo=None) + self.span.length - DAY
            return window_until(self.span, last_day.replace(tzinfo=self.zone), self.zone)
        last = self.end.astimezone(UTC) + self.span.length - self.span.bucket
        return window_until(self.span, last, self.zone)


def window_until(span: Span, moment: datetime, zone: ZoneInfo) -> Window:
    """Return the window whose last bucket holds `moment`."""
    last = floored(moment, span.bucket, zone)
    if span.bucket == DAY:  # by the calendar: a day has 23 or 25 hours where clocks change
        midnight = last.replace(tzinfo=None)
        end = (midnight + DAY).replace(tzinfo=zone)
        return Window(span, (midnight + DAY - span.length).replace(tzinfo=zone), end, zone)
    end = (last.astimezone(UTC) + span.bucket).astimezone(zone)
    return Window(span, (end.astimezone(UTC) - span.length).astimezone(zone), end, zone)


def window_between(start: datetime, end: datetime, zone: ZoneInfo) -> Window:
    """Return the window of whole buckets that holds the time from `start` up to, not including, `end`.

    Raise ValueError with what is wrong with them: an end that is not later, more than MAX_RANGE.
    """
    if start >= end:
        raise ValueError("This must be later than the start.")
    most = MAX_RANGE + DAY  # of whole days: a range may begin and end within one
    if end - start > most:
        raise ValueError(TOO_LONG)
    bucket = bucket_for(end - start)
    first = floored(start, bucket, zone)
    if bucket == DAY:
        last = floored(end - timedelta(microseconds=1), bucket, zone)
        length = last.replace(tzinfo=None) + DAY - first.replace(tzinfo=None)
    else:  # counted from the first, since some clocks change by half an hour
        length = -((first.astimezone(UTC) - end.astimezone(UTC)) // bucket) * bucket
    if length > most:
        raise ValueError(TOO_LONG)
    return Window(Span(RANGE, "", length, bucket), first, moved(first, length, bucket, zone), zone)


def moved(moment: datetime, length: timedelta, bucket: timedelta, zone: ZoneInfo) -> datetime:
    """Return an edge of buckets that is `length` after another; days are the calendar's."""
    if bucket == DAY:
        return (moment.astimezone(zone).replace(tzinfo=None) + length).replace(tzinfo=zone)
    return (moment.astimezone(UTC) + length).astimezone(zone)


def window_for(
    span: Span, zone: ZoneInfo, newest: datetime | None, until: datetime | None, now: datetime
) -> tuple[Window, bool]:
    """Return the window to show, and whether it ends at the present.

    It ends at `until` if given, else now; but at the newest reading where that is of the past, as a window that ends
    now would then be empty.
    """
    if until is not None:
        return window_until(span, until, zone), False
    present = present_for(newest, now, span.length)
    return window_until(span, present, zone), present == now


def common_zone(names: Iterable[str]) -> str:
    """Return the time zone that places share; the project's own where they have several, or there is none."""
    zones = set(names)
    return zones.pop() if len(zones) == 1 else timezone.get_default_timezone_name()


def shown_until(window: Window, present: bool, newest: datetime | None, now: datetime) -> datetime:
    """Return the moment up to which a window is said to show: now, its newest reading, or its end."""
    if present:
        return now
    if newest is not None and window.start <= newest < window.end:
        return newest
    return window.end


def floored(moment: datetime, bucket: timedelta, zone: ZoneInfo) -> datetime:
    """Return the start of the bucket that holds `moment`, in `zone`; a day starts at local midnight."""
    local = moment.astimezone(zone)
    midnight = local.replace(hour=0, minute=0, second=0, microsecond=0, fold=0)
    if bucket == DAY:
        return midnight
    # Measured in UTC: local differences would be wrong by an hour on the days when clocks change.
    since = moment.astimezone(UTC) - midnight.astimezone(UTC)
    return (moment.astimezone(UTC) - since % bucket).astimezone(zone)
