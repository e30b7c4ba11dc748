"""Bars over time, as numbers that a template puts into SVG: no script, so parts of a page can be replaced."""

import datetime as dt
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from django.utils import timezone

from cacheops.monitoring.stats import Point

STEP, WIDTH, HEIGHT = 10, 8, 100  # units of the drawing, which is stretched to its place
MIN_HEIGHT = 2.0  # height of a bar that would not be seen
GOOD, FAIR = 0.9, 0.5  # hit rates


@dataclass(frozen=True, slots=True)
class Bar:
    """One period. `severity` is a class of the stylesheet; heights grow upwards from `y` + `height` = HEIGHT."""

    x: int
    y: float
    height: float
    severity: str
    text: str


@dataclass(frozen=True, slots=True)
class Chart:
    """Bars, and the same in words for those who do not see them."""

    width: int
    bars: tuple[Bar, ...]
    text: str
    first: str
    last: str


def rate_severity(rate: float | None) -> str:
    """Return how a hit rate is to be seen: good, fair, poor, or none."""
    if rate is None:
        return "none"
    return "good" if rate >= GOOD else "fair" if rate >= FAIR else "poor"


def rate_chart(points: Sequence[Point]) -> Chart:
    """Return the hit rate of each period."""
    bars, named = [], clock_of(points)
    for number, point in enumerate(points):
        rate = point.reads.hit_rate
        height = MIN_HEIGHT if rate is None else max(MIN_HEIGHT, rate * HEIGHT)
        text = "no reads" if rate is None else f"{100 * rate:.1f} % of {point.reads.total:,} reads"
        bars.append(Bar(number * STEP, HEIGHT - height, height, rate_severity(rate), f"{named(point)}: {text}"))
    known = [point.reads.hit_rate for point in points if point.reads.hit_rate is not None]
    text = f"Hit rate from {100 * min(known):.0f} % to {100 * max(known):.0f} %." if known else "No reads yet."
    return _chart(points, bars, text)


def reads_chart(points: Sequence[Point]) -> Chart:
    """Return what came of the reads of each period: hits at the bottom, misses, and bypasses on top."""
    most = max((point.reads.total for point in points), default=0)
    bars: list[Bar] = []
    named = clock_of(points)
    for number, point in enumerate(points):
        reads = point.reads
        shares = [("hits", reads.hits + reads.stale), ("misses", reads.misses), ("bypasses", reads.bypasses)]
        text = f"{named(point)}: " + ", ".join(f"{count:,} {name}" for name, count in shares)
        top = float(HEIGHT)
        for name, count in shares:
            height = HEIGHT * count / most if most else 0.0
            top -= height
            if count:
                bars.append(Bar(number * STEP, round(top, 2), round(height, 2), name, text))
    return _chart(points, bars, f"Up to {most:,} reads in one period." if most else "No reads yet.")


def clock_of(points: Sequence[Point]) -> Callable[[Point], str]:
    """Return how periods are named: by the hour, with the day where there are several."""
    if points and points[-1].starts - points[0].starts > dt.timedelta(days=1):
        return lambda point: f"{timezone.localtime(point.starts):%d %b, %H:%M}"
    return clock


def _chart(points: Sequence[Point], bars: Sequence[Bar], text: str) -> Chart:
    named = clock_of(points)
    first, last = (named(points[0]), named(points[-1])) if points else ("", "")
    return Chart(len(points) * STEP, tuple(bars), text, first, last)


def clock(point: Point) -> str:
    return f"{timezone.localtime(point.starts):%H:%M}" if timezone.is_aware(point.starts) else f"{point.starts:%H:%M}"
