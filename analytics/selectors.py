"""What the readings of a window come to, computed by the database."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import Avg, Count, F, FloatField, Func, IntegerField, Max, Min, QuerySet
from django.db.models.functions import Cast
from django.db.models.sql.compiler import SQLCompiler

from analytics.windows import Run, Window
from devices.metrics import METRICS
from devices.models import Device, Reading

DEVICE_COUNT = "device_count"  # not measured but counted: how many devices sent a reading
DEVICES = Count("device", distinct=True)
FIGURES = {
    "average": Avg("value"),
    "minimum": Min("value"),
    "maximum": Max("value"),
    "count": Count("pk"),
    "devices": DEVICES,
}
COUNTS = FIGURES | {
    "average": Cast(DEVICES, FloatField()),
    "minimum": Cast(DEVICES, FloatField()),
    "maximum": Cast(DEVICES, FloatField()),
}


@dataclass(frozen=True)
class Bucket:
    """What the readings of one bucket come to. One without readings does not exist.

    The values are in the metric's unit; for DEVICE_COUNT they are each the number of devices.
    """

    start: datetime
    average: float
    minimum: float
    maximum: float
    count: int  # readings
    devices: int  # that sent them


@dataclass(frozen=True)
class LocationFigures:
    """What the readings of one location come to over a whole window; values as in a bucket."""

    location_id: int
    average: float
    minimum: float
    maximum: float
    count: int  # readings
    devices: int  # that sent them


@dataclass(frozen=True)
class Selection:
    """Which readings are meant. `location_ids` None means everywhere: only for who may see everything."""

    metric: str  # a code of METRICS, or DEVICE_COUNT for the readings of every metric
    location_ids: tuple[int, ...] | None = None
    kind: str = ""  # a value of devices.models.Kind; empty for any
    device_id: int | None = None


def figures(selection: Selection) -> dict[str, Any]:
    """Return the aggregates to ask for: values of different metrics have no common mean."""
    return COUNTS if selection.metric == DEVICE_COUNT else FIGURES


class StepsSince(Func):
    """How many whole steps lie between a run's start and a reading's time: an integer on every database."""

    output_field = IntegerField()
    cacheops_pure = True  # its SQL depends on nothing but the run and the column

    def __init__(self, column: F, run: Run, **extra: Any) -> None:
        # Whole seconds, as buckets are of minutes at least. Numbers in the text, because PostgreSQL would not see that
        # two expressions with parameters, in SELECT and in GROUP BY, are the same.
        extra |= {"start": int(run.start.timestamp()), "step": int(run.step.total_seconds())}
        super().__init__(column, **extra)

    def as_postgresql(self, compiler: SQLCompiler, connection: Any, **extra: Any) -> tuple[str, Any]:
        template = "FLOOR((EXTRACT(EPOCH FROM %(expressions)s) - %(start)s) / %(step)s)::integer"
        return self.as_sql(compiler, connection, template=template, **extra)

    def as_sqlite(self, compiler: SQLCompiler, connection: Any, **extra: Any) -> tuple[str, Any]:
        template = "(CAST(STRFTIME('%%%%s', %(expressions)s) AS integer) - %(start)s) / %(step)s"
        return self.as_sql(compiler, connection, template=template, **extra)


def selected_readings(selection: Selection, start: datetime, end: datetime) -> "QuerySet[Reading, Reading]":
    """Return the selected readings in [start, end), through an index that ends in the time."""
    # Every metric is named rather than none, so that the index (metric, taken_at) serves.
    metrics = list(METRICS) if selection.metric == DEVICE_COUNT else [selection.metric]
    rows = Reading.objects.filter(metric__in=metrics, taken_at__gte=start, taken_at__lt=end)
    if selection.location_ids is not None:
        rows = rows.filter(device__location_id__in=selection.location_ids)
    if selection.kind:
        rows = rows.filter(device__kind=selection.kind)
    if selection.device_id is not None:
        rows = rows.filter(device_id=selection.device_id)
    return rows.order_by()


def buckets(selection: Selection, window: Window) -> tuple[Bucket, ...]:
    """Return the window's buckets that hold readings, oldest first; one query, three where clocks changed by days."""
    return tuple(bucket for run in window.runs() for bucket in _buckets_of_run(selection, run, window))


def _buckets_of_run(selection: Selection, run: Run, window: Window) -> list[Bucket]:
    rows = (
        selected_readings(selection, run.start, run.end)
        .annotate(number=StepsSince(F("taken_at"), run))
        .values("number")
        .annotate(**figures(selection))
        .order_by("number")
        .values_list("number", *FIGURES)
    )
    return [Bucket((run.start + number * run.step).astimezone(window.zone), *found) for number, *found in rows]


def figures_by_location(selection: Selection, window: Window) -> tuple[LocationFigures, ...]:
    """Return what each location's readings come to over the window, in one query."""
    rows = (
        selected_readings(selection, window.start, window.end)
        .values("device__location_id")
        .annotate(**figures(selection))
        .order_by("device__location_id")
        .values_list("device__location_id", *FIGURES)
    )
    return tuple(LocationFigures(*row) for row in rows)


def newest_moment(selection: Selection) -> datetime | None:
    """Return when the selected devices last sent something, None where they never did. Reads devices, not readings."""
    rows = Device.objects.all()
    if selection.metric != DEVICE_COUNT:
        rows = rows.filter(metric=selection.metric)
    if selection.location_ids is not None:
        rows = rows.filter(location_id__in=selection.location_ids)
    if selection.kind:
        rows = rows.filter(kind=selection.kind)
    if selection.device_id is not None:
        rows = rows.filter(pk=selection.device_id)
    newest: datetime | None = rows.aggregate(newest=Max("last_seen"))["newest"]
    return newest
