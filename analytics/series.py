"""Buckets as a chart draws them: points on a time axis, gaps where readings are missing, and the axis's marks."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise
from statistics import median
from typing import Any

from analytics.figures import Bucket
from analytics.selectors import DEVICE_COUNT
from analytics.windows import Window
from devices.metrics import METRICS
from devices.spans import DAY

# A gap is where more than this many of the usual distances between points lie without a reading.
GAP_DISTANCES = 2
# How far apart the marks of a time axis are, by the length that they are right up to; a phone's chart leaves out every
# second.
MARKS = (
    (timedelta(hours=3), timedelta(minutes=10), "%H:%M"),
    (timedelta(hours=36), timedelta(hours=3), "%H:%M"),
    (timedelta(days=10), timedelta(days=1), "{day} %b"),
    (timedelta(days=45), timedelta(days=5), "{day} %b"),
    (timedelta(days=400), timedelta(days=30), "{day} %b"),
)


@dataclass(frozen=True)
class Point:
    """One place on the time axis: milliseconds since 1970. All values None: the line breaks here."""

    x: int
    average: float | None
    minimum: float | None
    maximum: float | None
    label: str


@dataclass(frozen=True)
class Line:
    """A line that is drawn over a chart's own: of another metric, by an axis of its own, or of one location."""

    label: str
    metric: str
    buckets: tuple[Bucket, ...]


def chart(found: tuple[Bucket, ...], window: Window, metric: str, others: Sequence[Line] = ()) -> dict[str, Any]:
    """Return what the page's script needs to draw a chart, as plain values for JSON."""
    counted = metric == DEVICE_COUNT
    summed = not counted and METRICS[metric].summed
    points = points_with_gaps(found, window, summed)
    decimals = 0 if counted else METRICS[metric].decimals
    return {
        "summed": summed,
        "label": title_of(metric),
        "line": "All locations" if any(line.metric == metric for line in others) else title_of(metric),
        "unit": "" if counted else METRICS[metric].unit,
        "decimals": decimals,
        "fromZero": counted or summed,
        "start": milliseconds(window.start),
        "end": milliseconds(window.end),
        "marks": axis_marks(window),
        "band": not (counted or summed or others) and any(bucket.minimum != bucket.maximum for bucket in found),
        "points": [[p.x, p.average, p.minimum, p.maximum, p.label] for p in points],
        "others": [line_over(line, window, metric) for line in others],
    }


def line_over(line: Line, window: Window, metric: str) -> dict[str, Any]:
    """Return a line as plain values; `axis`: whether it has an axis of its own, as its unit is another."""
    shown = METRICS[line.metric]
    points = points_with_gaps(line.buckets, window, shown.summed)
    return {
        "label": line.label,
        "unit": shown.unit,
        "decimals": shown.decimals,
        "axis": shown.unit != METRICS[metric].unit,
        "fromZero": shown.summed,
        "points": [[p.x, p.average] for p in points],
    }


def title_of(metric: str) -> str:
    return "Devices reporting" if metric == DEVICE_COUNT else METRICS[metric].label


def points_with_gaps(found: tuple[Bucket, ...], window: Window, summed: bool = False) -> list[Point]:
    """Return a point for each bucket, and an empty one within each gap.

    Devices report at paces of their own, so what counts as a gap is measured by the usual distance between points.
    """
    points = [point(bucket, window, summed) for bucket in found]
    distances = [after.x - before.x for before, after in pairwise(points)]
    if not distances:
        return points
    # Milliseconds, not datetimes: those of one zone subtract by the clock on the wall, wrong where clocks change.
    bucket = int(window.span.bucket.total_seconds() * 1000)
    longest = GAP_DISTANCES * max(median(distances), bucket)
    joined = points[:1]
    for before, after in pairwise(points):
        if after.x - before.x > longest:
            joined.append(Point(before.x + bucket, None, None, None, ""))
        joined.append(after)
    return joined


def point(bucket: Bucket, window: Window, summed: bool) -> Point:
    """Return a bucket's average over time with its extremes; its amount alone where values are summed."""
    average, low, high = bucket.time_average, bucket.minimum, bucket.maximum
    if summed:
        average = low = high = bucket.amount
    return Point(milliseconds(bucket.start), average, low, high, bucket_label(bucket.start, window))


def bucket_label(start: datetime, window: Window) -> str:
    """Return a bucket's time in the window's clock: a day, or the minute at which it starts."""
    local = start.astimezone(window.zone)
    return f"{local:%a} {local.day} {local:%b}" + ("" if window.span.bucket == DAY else f", {local:%H:%M}")


def axis_marks(window: Window) -> list[list[Any]]:
    """Return [milliseconds, text] for each mark of the time axis: round times of the window's own clock."""
    distance, pattern = next((distance, pattern) for most, distance, pattern in MARKS if window.span.length <= most)
    marks: list[list[Any]] = []
    starts = window.starts()
    if distance >= timedelta(days=1):
        midnights = [start for start in starts if (start.hour, start.minute) == (0, 0)]
        chosen = midnights[:: distance // timedelta(days=1)]
    else:
        minutes = int(distance.total_seconds() // 60)
        chosen = [start for start in starts if (start.hour * 60 + start.minute) % minutes == 0]
    for start in chosen:
        marks.append([milliseconds(start), start.strftime(pattern).format(day=start.day)])
    return marks


def milliseconds(moment: datetime) -> int:
    return int(moment.timestamp() * 1000)
