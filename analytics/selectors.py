"""Reads for analytics: which readings are meant, and what the database sums up of them."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import BigIntegerField, Count, F, Func, Max, Min, Q, Sum
from django.db.models.sql.compiler import SQLCompiler

from devices.metrics import METRICS
from devices.models import Reading

DEVICE_COUNT = "device_count"  # not measured but counted: how many devices sent a reading

Row = tuple[int, int, int, float, float, float]  # device, number of the step since 1970, count, sum, lowest, highest


@dataclass(frozen=True)
class Selection:
    """Which readings are meant. `location_ids` None means everywhere: only for who may see everything."""

    metric: str  # a code of METRICS, or DEVICE_COUNT for the readings of every metric
    location_ids: tuple[int, ...] | None = None
    kind: str = ""  # a value of devices.models.Kind; empty for any


class StepNumber(Func):
    """The number of the step of so many seconds since 1970 that a moment lies in: an integer on every database."""

    output_field = BigIntegerField()
    cacheops_pure = True  # its SQL depends on nothing but the step and the column

    def __init__(self, column: F, step: int, **extra: Any) -> None:
        # A number in the text, because PostgreSQL would not see that two expressions with parameters, in SELECT and in
        # GROUP BY, are the same.
        super().__init__(column, **{**extra, "step": int(step)})

    def as_postgresql(self, compiler: SQLCompiler, connection: Any, **extra: Any) -> tuple[str, Any]:
        template = "FLOOR(EXTRACT(EPOCH FROM %(expressions)s) / %(step)s)::bigint"
        return self.as_sql(compiler, connection, template=template, **extra)

    def as_sqlite(self, compiler: SQLCompiler, connection: Any, **extra: Any) -> tuple[str, Any]:
        # Without its fraction, which SQLite would round: 59.9996 seconds belong to this minute.
        template = "CAST(STRFTIME('%%%%s', SUBSTR(%(expressions)s, 1, 19)) AS integer) / %(step)s"
        return self.as_sql(compiler, connection, template=template, **extra)


def partial_rows(
    metric: str, devices: Iterable[tuple[int, int]], times: Iterable[tuple[datetime, datetime]], step: int
) -> Sequence[Row]:
    """Return what readings come to for each device and step of so many seconds: one query, past the cache.

    `devices` are ranges of ids, `times` of moments, each without its end.
    """
    within, of = Q(), Q()
    for start, end in times:
        within |= Q(taken_at__gte=start, taken_at__lt=end)
    for first, after in devices:
        of |= Q(device_id=first) if after == first + 1 else Q(device_id__gte=first, device_id__lt=after)
    # Every metric is named rather than none, so that the indexes that begin with it serve.
    metrics = list(METRICS) if metric == DEVICE_COUNT else [metric]
    rows = (
        Reading.objects.nocache()
        .filter(within, of, metric__in=metrics)
        .order_by()
        .annotate(number=StepNumber(F("taken_at"), step))
        .values_list("device_id", "number")
        .annotate(Count("pk"), Sum("value"), Min("value"), Max("value"))
    )
    return list(rows)
