"""Percentiles of readings: exact, by the nearest rank.

Ranks can't be merged from sums, so an answer is cached for its window and devices, and ends with any reading that is
written, moved or deleted in the window's hours and days.
"""

from datetime import datetime

from django.db import connections
from django.db.models import QuerySet

from analytics.buckets import step_of, sums_cache, units_of
from analytics.summaries import AnalyticsSummary, Question, locations_of
from analytics.windows import Window
from cacheops import RowsOf, TimeBucket
from cacheops.patterns import CacheKeyBuilder
from devices.directory import Fleet, fleet_at
from devices.metrics import METRICS
from devices.models import Reading

PERCENTS = (5, 25, 50, 75, 95)

# The p-th percentile of n values is the smallest that at least p in a hundred of them do not exceed, the one of rank
# ceil(p n / 100): a value that was measured, not one between two. Hyndman and Fan, "Sample Quantiles in Statistical
# Packages", The American Statistician 50 (1996), 361-365: definition 1.
BY_RANK = """
SELECT {values} FROM (
    SELECT value, ROW_NUMBER() OVER (ORDER BY value) AS place, COUNT(*) OVER () AS total FROM ({readings}) readings
) ranked
"""
VALUE = "MIN(value) FILTER (WHERE 100 * place >= {percent} * total)"


def percentiles(metric: str, fleet: Fleet, kind: str, window: Window, now: datetime) -> dict[int, float]:
    """Return the values of PERCENTS of the readings of a fleet's devices in a window; of no readings none.

    `kind` narrows to devices of one kind; empty for any.
    """
    ids = sorted(
        pk for kinds in fleet.places.values() for name, pks in kinds.items() if kind in (name, "") for pk in pks
    )
    if not ids:
        return {}
    moment = int(now.timestamp())
    span = f"{window.start.timestamp():.0f}-{window.end.timestamp():.0f}"
    units = units_of(window, step_of(window), moment)
    rows = sums_cache.get_or_set(
        CacheKeyBuilder.analytics_key(metric, f"percentiles-{span}", ids),
        lambda: [by_rank(readings_in(metric, ids, window))],
        "long_term" if window.end.timestamp() <= moment else "real_time",
        [RowsOf(Reading, {"metric": metric, "taken_at": TimeBucket(unit.moment, unit.seconds)}) for unit in units],
    )
    return {percent: value for percent, value in zip(PERCENTS, rows[0], strict=True) if value is not None}


def percentiles_of(question: Question, summary: AnalyticsSummary) -> dict[int, float]:
    """Return the values of PERCENTS of the readings that a summary is of; none of what is no metric."""
    if summary.metric not in METRICS:
        return {}
    fleet = fleet_at(locations_of(question.selection))
    return percentiles(summary.metric, fleet, question.selection.kind, summary.window, summary.made_at)


def readings_in(metric: str, ids: list[int], window: Window) -> "QuerySet[Reading, Reading]":
    return Reading.objects.nocache().filter(
        metric=metric, device_id__in=ids, taken_at__gte=window.start, taken_at__lt=window.end
    )


def by_rank(readings: "QuerySet[Reading, Reading]") -> tuple[float | None, ...]:
    """Return the values of PERCENTS, from one query; None for no readings."""
    inner, parameters = readings.order_by().values("value").query.get_compiler(readings.db).as_sql()
    values = ", ".join(VALUE.format(percent=percent) for percent in PERCENTS)
    with connections[readings.db].cursor() as cursor:
        cursor.execute(BY_RANK.format(values=values, readings=inner), parameters)
        found: tuple[float | None, ...] = cursor.fetchone()
    return tuple(found)
