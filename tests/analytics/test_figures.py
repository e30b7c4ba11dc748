"""What is merged from sums, against the same figures by hand."""

import re
from bisect import bisect_right
from collections import defaultdict
from datetime import date, timedelta
from itertools import product
from zoneinfo import ZoneInfo

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from analytics.figures import Merged
from analytics.selectors import DEVICE_COUNT, Selection, partial_rows
from analytics.summaries import is_meant, selected
from analytics.windows import Window, window_until
from devices.directory import devices_at
from devices.models import Reading
from devices.spans import DAY, SPANS
from tests.analytics.conftest import NEWEST

SELECTIONS = {
    "all": Selection("temperature"),
    "one place": Selection("temperature", (1,)),  # the number stands for the first location
    "nowhere": Selection("temperature", ()),
    "kind": Selection("temperature", kind="hygrometer"),
    "count": Selection(DEVICE_COUNT),
    "count of a kind": Selection(DEVICE_COUNT, kind="particle_counter"),
}


def chosen(name: str, readings: list[Reading]) -> Selection:
    selection = SELECTIONS[name]
    if selection.location_ids:
        return Selection(selection.metric, (readings[0].device.location_id,), selection.kind)
    return selection


def fits(reading: Reading, selection: Selection, window: Window) -> bool:
    return (
        window.start <= reading.taken_at < window.end
        and selection.metric in (reading.metric, DEVICE_COUNT)
        and (selection.location_ids is None or reading.device.location_id in selection.location_ids)
        and selection.kind in ("", reading.device.kind)
    )


def bucket_of(reading: Reading, window: Window, edges: list[float]) -> date | float:
    """Return which bucket a reading falls into: the day on the wall's calendar, or else the bucket's start."""
    if window.span.bucket == DAY:
        return reading.taken_at.astimezone(window.zone).date()
    return edges[bisect_right(edges, reading.taken_at.timestamp()) - 1]


def expected_figures(readings: list[Reading], selection: Selection) -> tuple[float, float, float, int, int]:
    values = [reading.value for reading in readings]
    devices = len({reading.device_id for reading in readings})
    if selection.metric == DEVICE_COUNT:
        return devices, devices, devices, len(values), devices
    return sum(values) / len(values), min(values), max(values), len(values), devices


def found(selection: Selection, window: Window) -> Merged:
    return selected(selection, window, NEWEST)


@pytest.mark.parametrize("zone", ["UTC", "America/New_York", "Asia/Kathmandu", "Australia/Lord_Howe"])
def test_buckets_are_exact(zone: str, readings: list[Reading]) -> None:
    for name, span in product(SELECTIONS, SPANS.values()):
        window = window_until(span, NEWEST, ZoneInfo(zone))
        check_buckets(name, chosen(name, readings), window, readings)


def check_buckets(name: str, selection: Selection, window: Window, readings: list[Reading]) -> None:
    edges = [start.timestamp() for start in window.starts()]
    groups = defaultdict(list)
    for reading in readings:
        if fits(reading, selection, window):
            groups[bucket_of(reading, window, edges)].append(reading)
    held = found(selection, window).buckets
    starts = [bucket.start.date() if window.span.bucket == DAY else bucket.start.timestamp() for bucket in held]
    assert starts == sorted(groups)
    assert bool(held) == (name != "nowhere"), name
    for bucket, start in zip(held, starts, strict=True):
        figures = (bucket.average, bucket.minimum, bucket.maximum, bucket.count, bucket.devices)
        assert figures == pytest.approx(expected_figures(groups[start], selection), abs=1e-9)


def test_figures_by_location_are_exact(readings: list[Reading]) -> None:
    window = window_until(SPANS["30d"], NEWEST, ZoneInfo("UTC"))
    for name in SELECTIONS:
        check_locations(chosen(name, readings), window, readings)


def check_locations(selection: Selection, window: Window, readings: list[Reading]) -> None:
    groups = defaultdict(list)
    for reading in readings:
        if fits(reading, selection, window):
            groups[reading.device.location_id].append(reading)
    rows = found(selection, window).locations
    assert [row.location_id for row in rows] == sorted(groups)
    for row in rows:
        figures = (row.average, row.minimum, row.maximum, row.count, row.devices)
        assert figures == pytest.approx(expected_figures(groups[row.location_id], selection), abs=1e-9)


def test_devices_are_meant_by_their_own_metric_and_kind(readings: list[Reading]) -> None:
    (place,) = {reading.device.location_id for reading in readings if reading.device.location.code == "harbor"}
    rows = devices_at([place])[place]
    meant = {
        name: [row.kind for row in rows if is_meant(row, selection)]
        for name, selection in {**SELECTIONS, "rain": Selection("rain")}.items()
    }
    assert meant["all"] == ["thermometer", "hygrometer"]
    assert meant["kind"] == ["hygrometer"]
    assert meant["count of a kind"] == ["particle_counter"]
    assert len(meant["count"]) == 3
    assert meant["rain"] == []


@pytest.mark.uncached
@pytest.mark.parametrize("metric", ["temperature", DEVICE_COUNT])
def test_a_time_range_is_found_through_an_index(metric: str, readings: list[Reading]) -> None:
    with CaptureQueriesContext(connection) as queries:
        partial_rows(metric, None, [(NEWEST.replace(hour=0), NEWEST)], 3600)
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            # So few rows are read fastest without an index: what matters here is that one can serve.
            cursor.execute("SET LOCAL enable_seqscan = off")
            cursor.execute(f"EXPLAIN {queries[0]['sql']}")
        else:
            cursor.execute(f"EXPLAIN QUERY PLAN {queries[0]['sql']}".replace("%", "%%"))
        plan = str(cursor.fetchall())
    assert re.search(r"Index Cond: .*taken_at >=|USING (COVERING )?INDEX \w+ \(.*taken_at>", plan), plan


def test_a_moment_belongs_to_its_step_up_to_its_last_microsecond(readings: list[Reading]) -> None:
    device = readings[0].device
    last = NEWEST.replace(year=2015, minute=59, second=59, microsecond=999_999)
    Reading.objects.create(device=device, metric="temperature", value=1, unit="", taken_at=last)
    hour = last.replace(minute=0, second=0, microsecond=0)
    rows = partial_rows("temperature", device.pk, [(hour, hour + 2 * timedelta(hours=1))], 3600)
    assert [row.number * 3600 for row in rows] == [hour.timestamp()]
