"""Posting readings, one or many, and reading them back."""

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from devices.models import Device, Reading
from tests.xyzsite.api.conftest import NOON, Caller


def reading(**changes: Any) -> dict[str, Any]:
    return {"value": 21.5, "taken_at": NOON.isoformat()} | changes


def test_a_reading_is_stored_and_shown(operator: Caller, thermometer: Device) -> None:
    response = operator.post("/devices/THERM-1/readings", reading())
    assert (response.status_code, response.document["result"]) == (201, "stored")
    shown = operator.get("/devices/THERM-1/readings").document["items"]
    assert shown == [{"metric": "temperature", "value": 21.5, "unit": "°C", "taken_at": "2026-03-01T12:00:00Z"}]
    assert operator.get("/devices/THERM-1").document["current_value"] == 21.5


def test_a_reading_that_is_sent_again_is_known(operator: Caller, thermometer: Device) -> None:
    first = operator.post("/devices/THERM-1/readings", reading())
    again = operator.post("/devices/THERM-1/readings", reading())
    assert (again.status_code, again.document["result"]) == (200, "known")
    assert again.document["id"] == first.document["id"]
    assert Reading.objects.count() == 1


def test_many_readings_tell_how_many_were_new(operator: Caller, thermometer: Device) -> None:
    operator.post("/devices/THERM-1/readings", reading())
    later = (NOON + timedelta(hours=1)).isoformat()
    items = [reading(serial="THERM-1"), reading(serial="THERM-1", taken_at=later, metric="humidity", unit="%")]
    response = operator.post("/readings", {"readings": items})
    ids = response.document.pop("ids")
    assert (response.status_code, response.document) == (200, {"accepted": 0, "stored": 1, "known": 1})
    assert len(set(ids)) == 2


def test_one_wrong_reading_stores_none(operator: Caller, thermometer: Device) -> None:
    items = [reading(serial="THERM-1"), reading(serial="THERM-1", unit="K"), reading(serial="THERM-2")]
    response = operator.post("/readings", {"readings": items})
    assert response.status_code == 422
    assert list(response.document["error"]["fields"]) == ["readings.2.serial"]
    response = operator.post("/readings", {"readings": items[:2]})
    assert response.document["error"]["fields"] == {
        "readings.1.unit": ["temperature is stored in °C, not K: subtract 273.15."]
    }
    assert not Reading.objects.exists()


def test_no_more_readings_than_the_bound(operator: Caller, thermometer: Device) -> None:
    items = [reading(serial="THERM-1", taken_at=(NOON + timedelta(seconds=n)).isoformat()) for n in range(1001)]
    assert operator.post("/readings", {"readings": items[:1000]}).document["stored"] == 1000
    response = operator.post("/readings", {"readings": items})
    assert response.status_code == 422
    assert list(response.document["error"]["fields"]) == ["readings"]


@pytest.mark.uncached
def test_posting_many_takes_the_same_number_of_queries(
    operator: Caller, thermometer: Device, django_assert_num_queries: Any
) -> None:
    items = [reading(serial="THERM-1", taken_at=(NOON + timedelta(seconds=n)).isoformat()) for n in range(100)]
    operator.get("/me")  # notes the token's use
    with django_assert_num_queries(9):
        operator.post("/readings", {"readings": items[:1]})
    with django_assert_num_queries(9):
        operator.post("/readings", {"readings": items})


def test_pages_of_readings_follow_each_other(operator: Caller, thermometer: Device) -> None:
    times = [NOON + timedelta(minutes=n) for n in range(5)]
    Reading.objects.bulk_create(
        Reading(device=thermometer, metric="temperature", value=n, unit="°C", taken_at=at) for n, at in enumerate(times)
    )
    values, to = [], ""
    for _ in range(3):
        document = operator.get(f"/devices/THERM-1/readings?limit=2{to}").document
        values.append([item["value"] for item in document["items"]])
        to = f"&to={document['next']}"
    assert values == [[4, 3], [2, 1], [0]]
    assert document["next"] is None


@pytest.mark.parametrize(
    ("query", "values"),
    [
        ("from=2026-03-01T12:01:00Z", [2, 1]),
        ("to=2026-03-01T12:01:00Z", [0]),
        ("from=2026-03-01T13:01:00%2B01:00&to=2026-03-01T12:02:00Z", [1]),
        ("window=1h&to=2026-03-01T13:01:00Z", [2, 1]),
        ("window=30d", []),
        ("metric=humidity", []),
    ],
)
def test_readings_of_a_range(operator: Caller, thermometer: Device, query: str, values: list[float]) -> None:
    Reading.objects.bulk_create(
        Reading(device=thermometer, metric="temperature", value=n, unit="°C", taken_at=NOON + timedelta(minutes=n))
        for n in range(3)
    )
    document = operator.get(f"/devices/THERM-1/readings?{query}").document
    assert [item["value"] for item in document["items"]] == values


def test_a_window_ends_now(operator: Caller, thermometer: Device) -> None:
    operator.post("/devices/THERM-1/readings", reading(taken_at=timezone.now().isoformat()))
    assert len(operator.get("/devices/THERM-1/readings?window=1h").document["items"]) == 1


@pytest.mark.uncached
def test_listing_readings_takes_three_queries(
    operator: Caller, thermometer: Device, django_assert_num_queries: Any
) -> None:
    operator.get("/me")
    with django_assert_num_queries(3):  # the token, the device, its readings
        operator.get("/devices/THERM-1/readings")
