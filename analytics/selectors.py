"""Reads for analytics: which readings are meant, and what the database sums up of them."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from django.db import connections
from django.db.models import BigIntegerField, Count, F, Func, Max, Min, Q, Sum
from django.db.models.sql.compiler import SQLCompiler

from devices.metrics import METRICS
from devices.models import Device, Reading

DEVICE_COUNT = "device_count"  # not measured but counted: how many devices sent a reading


@dataclass(frozen=True)
class Selection:
    """Which readings are meant. `location_ids` None means everywhere: only for who may see everything."""

    metric: str  # a code of METRICS, or DEVICE_COUNT for the readings of every metric
    location_ids: tuple[int, ...] | None = None
    kind: str = ""  # a value of devices.models.Kind; empty for any


class Row(NamedTuple):
    """What the readings of the devices of one kind at one location come to in one step of time."""

    number: int  # of the step since 1970
    location: int
    kind: str
    readings: int
    total: float
    lowest: float
    highest: float
    averages: float  # the sum of each device's average
    senders: str  # the ids of the devices, with commas between


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


# Devices' steps, added up by location and kind. Django can't sum up sums that are grouped in two ways.
BY_PLACE = """
SELECT step.number, device.location_id, device.kind, CAST(SUM(step.readings) AS bigint), SUM(step.total),
    MIN(step.lowest), MAX(step.highest), SUM(step.total / step.readings), {senders}
FROM ({steps}) step JOIN {devices} device ON device.id = step.device_id
GROUP BY 1, 2, 3 ORDER BY 1, 2, 3
"""
SENDERS = {
    "postgresql": "STRING_AGG(step.device_id::text, ',' ORDER BY step.device_id)",
    "sqlite": "GROUP_CONCAT(step.device_id)",
}


def partial_rows(metric: str, device: int | None, times: Iterable[tuple[datetime, datetime]], step: int) -> list[Row]:
    """Return what readings come to for each place and step of so many seconds, in time's order: one query, uncached.

    `times` are ranges of moments, each without its end; `device` is one's id, None for all.
    """
    within = Q()
    for start, end in times:
        within |= Q(taken_at__gte=start, taken_at__lt=end)
    # Every metric is named rather than none, so that the indexes that begin with it serve.
    metrics = list(METRICS) if metric == DEVICE_COUNT else [metric]
    rows = Reading.objects.nocache().filter(within, metric__in=metrics)
    if device is not None:
        rows = rows.filter(device_id=device)
    values = {"readings": Count("pk"), "total": Sum("value"), "lowest": Min("value"), "highest": Max("value")}
    steps = rows.order_by().annotate(number=StepNumber(F("taken_at"), step)).values("device_id", "number")
    connection = connections[rows.db]
    inner, parameters = steps.annotate(**values).query.get_compiler(rows.db).as_sql()
    devices = connection.ops.quote_name(Device._meta.db_table)
    with connection.cursor() as cursor:
        cursor.execute(BY_PLACE.format(senders=SENDERS[connection.vendor], steps=inner, devices=devices), parameters)
        return [Row(*row) for row in cursor.fetchall()]
