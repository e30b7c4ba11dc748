"""The demo's curves look like weather, and are the same each time."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest

from devices.metrics import METRICS
from xyzsite.demo.curves import CURVES, Moment, value_at
from xyzsite.demo.places import PLACES, SENSORS, TROUBLES, sensors_of
from xyzsite.demo.seed import FINE_STEP, full, moments

JULY = datetime(2026, 7, 6, tzinfo=UTC)
HOUR = timedelta(hours=1)
BELIEVABLE = {
    "temperature": (-45, 55),
    "humidity": (3, 100),
    "pressure": (990, 1040),
    "rain": (0, 12),
    "wind_speed": (0, 12),
    "pm25": (0, 80),
    "no2": (0, 80),
    "o3": (0, 180),
}


def mean(metric: str, place, times) -> float:
    values = [value_at(metric, Moment(place, at)) for at in times]
    return sum(values) / len(values)


def days_at(place, hour: int, first: datetime = JULY) -> list[datetime]:
    zone = Moment(place, first).local.tzinfo
    return [
        datetime(day.year, day.month, day.day, hour, tzinfo=zone) for day in (first + n * 24 * HOUR for n in range(28))
    ]


@pytest.mark.parametrize("seconds", [3600, 300, 75])
def test_readings_of_rain_sum_up_to_what_fell_however_often_they_come(seconds):
    step, boston = timedelta(seconds=seconds), next(place for place in PLACES if place.code == "boston-seaport")
    moments = [Moment(boston, JULY + n * step) for n in range(10 * 24 * HOUR // step)]
    fell = sum(CURVES["rain"](moment) * (step / HOUR) for moment in moments)
    assert 30 < fell < 80
    assert sum(value_at("rain", moment, step) for moment in moments) == pytest.approx(fell, rel=0.1)


def test_every_sensor_has_a_curve_and_a_metric():
    assert {sensor.metric for sensor in SENSORS} == set(CURVES) <= set(METRICS)


def test_places_are_in_all_regions_with_six_to_eight_devices():
    assert len({place.region for place in PLACES}) == 3
    assert 9 <= len(PLACES) <= 12
    assert all(6 <= len(sensors_of(place)) <= 8 for place in PLACES)
    sensors = {(place.code, sensor.metric) for place in PLACES for sensor in sensors_of(place)}
    assert set(TROUBLES) <= sensors


@pytest.mark.parametrize("place", PLACES, ids=lambda place: place.code)
def test_values_are_believable_all_year_round(place):
    times = [JULY + n * 31 * HOUR for n in range(280)]
    for metric, (low, high) in BELIEVABLE.items():
        values = [value_at(metric, Moment(place, at)) for at in times]
        assert low <= min(values) <= max(values) <= high, metric
        assert len(set(values)) > (3 if metric == "rain" else 10), metric


@pytest.mark.parametrize("place", PLACES, ids=lambda place: place.code)
def test_afternoons_are_warmer_and_drier_than_nights_by_the_local_clock(place):
    night, afternoon = days_at(place, 4), days_at(place, 15)
    assert mean("temperature", place, afternoon) > mean("temperature", place, night) + 5
    assert mean("humidity", place, afternoon) < mean("humidity", place, night)
    assert mean("no2", place, days_at(place, 8)) > mean("no2", place, days_at(place, 2)) + 15


def test_summers_are_warmer_than_winters():
    january = JULY.replace(year=2027, month=1)
    assert all(
        mean("temperature", place, days_at(place, 12)) > mean("temperature", place, days_at(place, 12, january)) + 4
        for place in PLACES
    )


def test_readings_are_hourly_then_every_five_minutes_and_end_with_the_last():
    times = list(moments(JULY, 30))
    steps = {after - before for before, after in pairwise(times)}
    assert steps == {HOUR, FINE_STEP}
    assert times[-1] == JULY
    assert times[0] == JULY - timedelta(days=30)
    assert sum(at > JULY - HOUR for at in times) == 12
    assert len(times) == 28 * 24 + 48 * 12 + 1


@pytest.mark.parametrize("minute", [0, 5, 55])
@pytest.mark.parametrize("days", [1, 2, 3])
def test_no_moment_comes_twice_or_too_early(minute, days):
    until = JULY + timedelta(minutes=minute)
    times = list(moments(until, days))
    assert times == sorted(set(times))
    assert times[0] >= full(until - timedelta(days=days), HOUR)
    assert {after - before for before, after in pairwise(times)} <= {HOUR, FINE_STEP}
