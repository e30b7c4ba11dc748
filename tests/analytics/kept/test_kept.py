"""What is kept of readings: one unit's query after a new reading, one round trip, and figures equal to one query's."""

import re
from collections import defaultdict
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from django.db import connection
from django.db.models import Avg, Count, Max, Min, Sum
from django.test.utils import CaptureQueriesContext
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from analytics.figures import Merged, merged
from analytics.overview import overview
from analytics.selectors import DEVICE_COUNT, Selection
from analytics.summaries import Question, analytics_summary
from analytics.windows import Window, window_until
from cacheops import bypassed
from cacheops.instrumentation.request_stats import collect_request_stats
from devices.directory import fleet_at
from devices.models import Device, Kind, Reading
from devices.services import NewReading, record_readings
from devices.spans import SPANS
from locations.models import Location
from tests.analytics.kept.conftest import DAY, HOUR, NOW, World, empty, figures, queries_of, range_in
from tests.cacheops.stores.test_redis import Trips

pytestmark = pytest.mark.django_db

# --- what a reading costs ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("span", SPANS)
def test_the_second_chart_asks_no_database(span: str, world: World) -> None:
    queries_of("temperature", span)
    assert queries_of("temperature", span) == []


@pytest.mark.parametrize("span", SPANS)
def test_a_new_reading_costs_the_query_of_its_open_hour(span: str, world: World) -> None:
    queries_of("temperature", span)
    world.add(world.device(world.harbor, "temperature"), NOW)
    (sql,) = queries_of("temperature", span)
    assert range_in(sql) == (NOW.replace(minute=0, second=0), NOW.replace(hour=15, minute=0, second=0))
    assert queries_of("temperature", span) == []


def test_a_late_reading_costs_the_query_of_its_day(world: World) -> None:
    queries_of("temperature", "7d")
    queries_of("temperature", "30d")
    world.add(world.device(world.harbor, "temperature"), NOW - 3 * DAY + timedelta(seconds=1))
    (sql,) = queries_of("temperature", "7d")
    assert range_in(sql) == (datetime(2016, 11, 7, tzinfo=UTC), datetime(2016, 11, 8, tzinfo=UTC))
    assert queries_of("temperature", "30d") == []  # of the same units


def test_a_reading_leaves_other_metrics_hours_and_devices_alone(world: World) -> None:
    device, other = (world.device(place, "temperature") for place in (world.harbor, world.ridge))
    window = window_until(SPANS["7d"], NOW, ZoneInfo("UTC"))

    def queries_of_device(pk: int) -> int:
        with CaptureQueriesContext(connection) as queries:
            merged("temperature", pk, window, NOW)
        return len(queries)

    for _ in range(2):
        found = [len(queries_of("humidity", "7d")), queries_of_device(device.pk), queries_of_device(other.pk)]
        queries_of("temperature", "7d")
    assert found == [0, 0, 0]
    world.add(device, NOW)
    assert [len(queries_of("humidity", "7d")), queries_of_device(other.pk), queries_of_device(device.pk)] == [0, 0, 1]
    assert len(queries_of("temperature", "7d")) == 1


def test_scopes_and_spans_share_what_is_kept(world: World) -> None:
    queries_of("temperature", "30d")
    for place in (world.harbor, world.ridge):
        assert [sql for sql in queries_of("temperature", "7d", place) if "devices_reading" in sql] == []
    with CaptureQueriesContext(connection) as queries:
        found = figures(
            Selection("temperature", kind="thermometer"), window_until(SPANS["7d"], NOW, ZoneInfo("Asia/Tokyo"))
        )
    assert found.buckets
    assert len(queries) == 0


def test_a_reading_that_is_recorded_is_shown_at_once(world: World) -> None:
    device = world.device(world.harbor, "temperature")
    question = Question(Selection("temperature"), SPANS["24h"], "UTC")
    before = analytics_summary(question, NOW)
    record_readings([NewReading(device.pk, "temperature", 99.0, NOW)])
    with CaptureQueriesContext(connection) as queries:
        after = analytics_summary(question, NOW)
    # What was written is read anew, nothing else: the devices of the place, and the open hour.
    tables = [re.search(r' FROM "(\w+)" WHERE', query["sql"]) for query in queries]
    assert [found[1] for found in tables if found] == ["devices_device", "devices_reading"]
    assert len(queries) == 2
    assert (after.count, after.total.maximum) == (before.count + 1, 99.0)
    assert [row.current_value for row in Device.objects.filter(pk=device.pk)] == [99.0]
    assert overview(None).regions[0].locations[0].values["temperature"] == 99.0


@pytest.mark.servers
@pytest.mark.parametrize("region", ["us-west-2", "us-east-1"])
def test_what_is_kept_comes_in_one_round_trip_a_node(region: str, world: World, settings: Any) -> None:
    from cacheops.regions import regions

    settings.CACHEOPS_LOCAL_REGION = region
    window = window_until(SPANS["7d"], NOW, ZoneInfo("UTC"))
    fleet = fleet_at([world.harbor.pk, world.ridge.pk])
    for _ in range(2):
        merged("temperature", fleet, window, NOW)
    trips = Trips(regions.local.store)  # type: ignore[arg-type]
    with collect_request_stats() as stats:
        merged("temperature", fleet, window, NOW)
    assert stats.misses == stats.bypasses == 0
    assert stats.hits == 22  # 7 days, 15 hours
    assert trips.count <= {"us-west-2": 1, "us-east-1": 2}[region]


# --- what it comes to -------------------------------------------------------------------------------------------------

ZONES = ["UTC", "America/New_York", "Asia/Kathmandu", "Australia/Lord_Howe", "Asia/Shanghai"]
MONTH = 35 * 24 * 3600
# Multiples of an eighth: their sums are exact in floating point, so that figures can be compared for equality.
values = st.integers(-400, 400).map(lambda eighths: eighths / 8)
# Many at the edges of hours and days, and at their last microseconds.
seconds = st.one_of(
    st.integers(0, MONTH),
    st.integers(0, MONTH // 3600).map(lambda hour: hour * 3600),
    st.integers(0, MONTH // 86400).map(lambda day: day * 86400),
)
moments = st.builds(
    lambda back, micro: NOW.replace(minute=0, second=0) + HOUR - timedelta(seconds=back, microseconds=micro),
    seconds,
    st.sampled_from([0, 1]),
)
readings = st.tuples(st.just("add"), st.integers(0, 3), st.sampled_from(["temperature", "humidity"]), moments, values)
changes = st.one_of(
    readings,
    readings,
    st.tuples(st.just("delete"), st.integers(0, 1000)),
    st.tuples(st.just("change"), st.integers(0, 1000), values),
    st.tuples(st.just("shift"), st.integers(0, 1000), moments),
    st.tuples(st.just("move"), st.integers(0, 3), st.integers(0, 1)),
)
questions = st.tuples(
    st.just("ask"),
    st.sampled_from(["temperature", "humidity", DEVICE_COUNT]),
    st.sampled_from(list(SPANS.values())),
    st.sampled_from(ZONES),
    st.one_of(st.just(NOW), moments),
    st.sampled_from(["everywhere", "first", "second", "both", "nowhere", "device"]),
    st.sampled_from(["", "thermometer", "hygrometer"]),
)


class Checked:
    """The world of one example: what happens to it, and what is asked of it, with and without the cache."""

    def __init__(self) -> None:
        empty()
        self.places = [Location.objects.create(name=f"P{number}", code=f"p{number}") for number in range(2)]
        kinds = [Kind.THERMOMETER, Kind.HYGROMETER] * 2
        self.devices = [
            Device.objects.create(
                location=self.places[number // 2], serial=f"D-{number}", name="x", kind=kind, metric="temperature"
            )
            for number, kind in enumerate(kinds)
        ]

    def run(self, step: tuple[Any, ...]) -> None:
        getattr(self, step[0])(*step[1:])

    def add(self, device: int, metric: str, at: datetime, value: float) -> None:
        row = Reading(device=self.devices[device], metric=metric, value=value, unit="", taken_at=at)
        Reading.objects.bulk_create([row], ignore_conflicts=True)

    def some(self, number: int) -> Any:
        keys = list(Reading.objects.nocache().order_by("pk").values_list("pk", flat=True))
        return Reading.objects.filter(pk=keys[number % len(keys)] if keys else 0)

    def delete(self, number: int) -> None:
        self.some(number).delete()

    def change(self, number: int, value: float) -> None:
        self.some(number).update(value=value)

    def shift(self, number: int, at: datetime) -> None:
        for row in self.some(number).nocache():
            if not Reading.objects.nocache().filter(device=row.device_id, metric=row.metric, taken_at=at).exists():
                Reading.objects.filter(pk=row.pk).update(taken_at=at)

    def move(self, device: int, place: int) -> None:
        Device.objects.filter(pk=self.devices[device].pk).update(location=self.places[place])

    def ask(self, metric: str, span: Any, zone: str, until: datetime, scope: str, kind: str) -> None:
        window = window_until(span, until, ZoneInfo(zone))
        pks = [place.pk for place in self.places]
        if scope == "device":
            device = self.devices[0].pk
            found = merged(metric, device, window, NOW)
            check(metric, found, window, {"device_id": device}, by_location=False)
            return
        ids = {"everywhere": None, "first": pks[:1], "second": pks[1:], "both": pks, "nowhere": []}[scope]
        selection = Selection(metric, None if ids is None else tuple(ids), kind)
        conditions: dict[str, Any] = {} if ids is None else {"device__location_id__in": ids}
        conditions |= {"device__kind": kind} if kind else {}
        check(metric, figures(selection, window), window, conditions)


def check(metric: str, found: Merged, window: Window, conditions: dict[str, Any], by_location: bool = True) -> None:
    """Compare with one SQL query over the whole window, in all, by location; and by bucket with its readings."""
    rows = (
        Reading.objects.nocache().filter(taken_at__gte=window.start, taken_at__lt=window.end, **conditions).order_by()
    )
    if metric != DEVICE_COUNT:
        rows = rows.filter(metric=metric)
    figures = {"c": Count("pk"), "s": Sum("value"), "a": Avg("value"), "lo": Min("value"), "hi": Max("value")}
    figures["d"] = Count("device", distinct=True)
    if by_location:
        expected = {row["device__location_id"]: row for row in rows.values("device__location_id").annotate(**figures)}
        assert [location.location_id for location in found.locations] == sorted(expected)
        for location in found.locations:
            equal(location, expected[location.location_id], metric)
    whole = rows.aggregate(**figures)
    assert sum(bucket.count for bucket in found.buckets) == whole["c"]
    edges = [*window.starts(), window.end]
    groups: dict[datetime, list[Any]] = defaultdict(list)
    for device, value, taken_at in rows.values_list("device_id", "value", "taken_at"):
        place = sum(edge.timestamp() <= taken_at.timestamp() for edge in edges) - 1
        groups[edges[place].astimezone(UTC)].append((device, value))
    assert [bucket.start.astimezone(UTC) for bucket in found.buckets] == sorted(groups)
    for bucket in found.buckets:
        own = groups[bucket.start.astimezone(UTC)]
        listed = [value for _, value in own]
        row = {"c": len(own), "a": sum(listed) / len(own), "lo": min(listed), "hi": max(listed)}
        equal(bucket, {**row, "d": len({device for device, _ in own})}, metric)


def equal(figures: Any, row: dict[str, Any], metric: str) -> None:
    assert (figures.count, figures.devices) == (row["c"], row["d"])
    expected = (row["d"],) * 3 if metric == DEVICE_COUNT else (row["a"], row["lo"], row["hi"])
    assert (figures.average, figures.minimum, figures.maximum) == expected


@pytest.mark.usefixtures("cache")
@settings(
    max_examples=20,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.filter_too_much],
)
@given(steps=st.lists(st.one_of(changes, changes, questions), min_size=10, max_size=40))
def test_figures_are_those_of_one_query_whatever_happens(steps: list[tuple[Any, ...]]) -> None:
    checked = Checked()
    try:
        for step in steps:
            checked.run(step)
        checked.ask("temperature", SPANS["30d"], "America/New_York", NOW, "everywhere", "")
    finally:
        empty()


def test_averages_of_any_floats_differ_by_their_rounding_alone(world: World) -> None:
    import random

    chance = random.Random(7)
    Reading.objects.update(value=0.1)
    for row in Reading.objects.nocache().filter(metric="temperature")[:60]:
        Reading.objects.filter(pk=row.pk).update(value=chance.uniform(-1e6, 1e6) * 10 ** chance.randrange(-9, 9))
    window = window_until(SPANS["30d"], NOW, ZoneInfo("America/New_York"))
    found = figures(Selection("temperature"), window)
    rows = Reading.objects.nocache().filter(metric="temperature", taken_at__gte=window.start, taken_at__lt=window.end)
    values = list(rows.values_list("value", flat=True))
    total = sum(location.average * location.count for location in found.locations)
    bound = len(values) * 2.0**-52 * sum(abs(value) for value in values)
    assert abs(total - sum(values)) <= bound


def test_with_the_cache_passed_by_figures_are_the_same(world: World) -> None:
    window = window_until(SPANS["7d"], NOW, ZoneInfo("UTC"))
    kept = figures(Selection("temperature"), window)
    with bypassed():
        assert figures(Selection("temperature"), window) == kept
