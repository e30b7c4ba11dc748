"""Posting readings, one or many, and reading them back."""

import json
import re
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from devices.models import Device, Kind, Reading
from locations.models import Location
from tests.documents.texts import blocks
from tests.xyzsite.api.conftest import NOON, Caller
from tests.xyzsite.api.test_openapi import REFERENCE


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


def test_what_the_reference_shows_is_taken_and_answered(staff: Caller, thermometer: Device) -> None:
    shown, refusal = [json.loads(block.text) for block in blocks() if block.language == "json"]
    Device.objects.create(
        location=thermometer.location, serial="HYGRO-1", name="H", kind=Kind.HYGROMETER, metric="humidity"
    )
    assert staff.post("/readings", shown).status_code in (200, 202)
    wrong = [*shown["readings"], reading(serial="THERM-1"), reading(serial="THERM-1", value="warm")]
    assert staff.post("/readings", {"readings": wrong}).document == refusal


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
    assert list(response.document["error"]["fields"]) == ["readings.1.unit", "readings.2.serial"]
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


def test_all_that_is_wrong_with_a_reading_is_told_at_once(operator: Caller, thermometer: Device) -> None:
    wrong = reading(metric="rain", unit="inch", taken_at="1970-01-01T00:00:00Z")
    fields = operator.post("/devices/THERM-1/readings", wrong).document["error"]["fields"]
    assert fields == {
        "metric": ["A thermometer does not measure rain; it can measure temperature, humidity, dew_point, pressure."],
        "unit": ["rain is stored in mm, not inch: multiply by 25.4."],
        "taken_at": ["1970-01-01T00:00:00+00:00 is before 1990: set the device's clock."],
    }
    many = {"readings": [reading(serial="THERM-1"), wrong | {"serial": "THERM-1"}]}
    fields = operator.post("/readings", many).document["error"]["fields"]
    assert list(fields) == ["readings.1.metric", "readings.1.unit", "readings.1.taken_at"]


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"value": None}, "Send a finite number."),
        ({"value": "warm"}, "Send a finite number."),
        ({"value": True}, "Send a finite number."),
        ({"value": 1e13}, "Send at most 1e+12."),
        ({"unit": 5}, "Send text."),
        ({"unit": "x" * 17}, "Send at most 16 characters."),
        ({"taken_at": "yesterday"}, "Write the time in ISO 8601 with an offset, such as 2026-03-01T12:00:00Z."),
        (
            {"taken_at": "2026-03-01T12:00:00"},
            "Write the time in ISO 8601 with an offset, such as 2026-03-01T12:00:00Z.",
        ),
    ],
)
def test_what_is_wrong_is_told_in_sentences(operator: Caller, thermometer: Device, change: Any, sentence: str) -> None:
    [found] = operator.post("/devices/THERM-1/readings", reading(**change)).document["error"]["fields"].values()
    assert found == [sentence]


def test_nan_is_no_json(operator: Caller, thermometer: Device) -> None:
    body = reading(serial="THERM-1") | {"value": float("nan")}
    response = operator.post("/readings", {"readings": [body]})
    assert response.status_code == 400
    assert "NaN is no JSON number: send a finite one, or leave the reading out" in response.document["error"]["message"]


def test_equal_spellings_of_a_unit_are_taken(operator: Caller, thermometer: Device) -> None:
    assert operator.post("/devices/THERM-1/readings", reading(unit="degC")).status_code == 201
    assert Reading.objects.get().unit == "°C"


def test_the_documented_readings_are_taken(operator: Caller, thermometer: Device, harbour: Location) -> None:
    document = next(
        text for text in re.findall(r"```json\n(.*?)```", REFERENCE.read_text(), re.DOTALL) if "value" in text
    )
    Device.objects.create(location=harbour, serial="HYGRO-1", name="H", kind="hygrometer", metric="humidity")
    response = operator.post("/readings", json.loads(document))
    assert (response.status_code, response.document["stored"]) == (200, 2)
