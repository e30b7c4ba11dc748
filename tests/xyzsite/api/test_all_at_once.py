"""One answer names all that is wrong: values of a wrong form, and right ones that mean nothing here."""

import re
from typing import Any

import pytest

from devices.models import Device, Reading, Threshold
from locations.models import Location
from tests.xyzsite.api.conftest import NOON, Caller
from xyzsite.api.application import api

pytestmark = pytest.mark.django_db

WHEN = NOON.isoformat()
RAW = re.compile(
    r"Ensure |Value must|cannot be (blank|null)|Input should|should be|Value error|not a valid|is required$"
)


def fields(response: Any) -> dict[str, list[str]]:
    assert response.status_code == 422, response.document
    found: dict[str, list[str]] = response.document["error"]["fields"]
    assert not [sentence for each in found.values() for sentence in each if RAW.search(sentence)]
    return found


def test_of_many_readings(operator: Caller, thermometer: Device, gauge: Device) -> None:
    readings: list[Any] = [
        {"serial": "THERM-1", "value": "warm", "taken_at": "1970-01-01T00:00:00Z", "unit": "K", "metric": "rain"},
        {"serial": "RAIN-1", "value": 1, "taken_at": WHEN},  # a device that this caller may not see
        {"serial": "THERM-1", "value": 1e13, "taken_at": "2999-01-01T00:00:00Z"},
        {"serial": "THERM-1", "value": 1, "taken_at": WHEN, "metric": "happiness", "unit": "K", "n\0": 1},
        {"serial": "no serial", "value": "\0", "taken_at": WHEN},
        7,
        {"serial": "THERM-1", "value": 1, "taken_at": WHEN, "metric": None, "unit": "K"},
        {"serial": "THERM-1", "value": 1, "taken_at": WHEN},
    ]
    found = fields(operator.post("/readings", {"readings": readings, "owner": "me"}))
    assert set(found) == {
        "owner",
        *(f"readings.0.{name}" for name in ("value", "taken_at", "unit", "metric")),
        "readings.1.serial",
        *(f"readings.2.{name}" for name in ("value", "taken_at")),
        *(f"readings.3.{name}" for name in ("metric", "n?")),
        *(f"readings.4.{name}" for name in ("serial", "value")),
        "readings.5",
        "readings.6.unit",
    }
    assert found["readings.3.n?"] == ["NUL characters cannot be stored: remove them."]
    assert found["readings.4.value"] == ["NUL characters cannot be stored: remove them."]
    assert not Reading.objects.exists()


def test_what_is_of_a_wrong_form_hides_no_meaning(operator: Caller, thermometer: Device) -> None:
    reading = {"serial": "THERM-1", "value": 1, "taken_at": WHEN}
    found = fields(operator.post("/readings", {"readings": [reading | {"value": "warm"}, reading | {"unit": "K"}]}))
    assert set(found) == {"readings.0.value", "readings.1.unit"}
    found = fields(operator.post("/readings", {"readings": [reading | {"unit": "K"}], "owner": "me"}))
    assert set(found) == {"owner", "readings.0.unit"}


def test_what_only_the_role_forbids_is_another_answer(viewer: Caller, thermometer: Device) -> None:
    reading = {"serial": "THERM-1", "value": 1, "taken_at": WHEN}
    response = viewer.post("/readings", {"readings": [reading]})
    assert (response.status_code, list(response.document["error"]["fields"])) == (403, ["readings.0.serial"])
    found = fields(viewer.post("/readings", {"readings": [reading, reading | {"value": None, "unit": "K"}]}))
    assert set(found) == {"readings.0.serial", "readings.1.serial", "readings.1.value"}  # it is told no more of it


@pytest.mark.parametrize(
    ("change", "wrong"),
    [
        ({"value": "warm", "unit": "K", "taken_at": "1970-01-01T00:00:00Z"}, {"value", "unit", "taken_at"}),
        ({"metric": "rain", "value": None}, {"metric", "value"}),
        ({"metric": "happiness", "unit": "K"}, {"metric"}),  # of which metric it would be the unit is not known
        ({"metric": "humidity", "unit": "°C", "valeu": 1}, {"unit", "valeu"}),
    ],
)
def test_of_one_reading(operator: Caller, thermometer: Device, change: Any, wrong: set[str]) -> None:
    assert set(fields(operator.post("/devices/THERM-1/readings", {"value": 1, "taken_at": WHEN} | change))) == wrong


def test_of_a_device(manager: Caller, thermometer: Device, summit: Location) -> None:
    device = {"serial": "-", "location": "summit", "name": " ", "kind": "thermometer", "metric": "rain"}
    change = {"metadata": {"x": "y" * 20_000}, "installed": "soon", "status": "asleep", "notes": "x" * 2_001}
    wrong = {"location", "name", "metric", *change}
    assert set(fields(manager.post("/devices", device | change))) == {"serial", *wrong}
    del device["serial"], device["kind"]  # it is the device's own kind then
    assert set(fields(manager.patch("/devices/THERM-1", device | change))) == wrong
    both = fields(manager.patch("/devices/THERM-1", {"kind": "toaster", "metric": "rain", "name": ""}))
    assert set(both) == {"kind", "name"}  # of what kind it should be is not known
    assert set(fields(manager.patch("/devices/THERM-1", {"metric": "rain", "location": "summit"}))) == {
        "metric",
        "location",
    }


def test_of_a_threshold(manager: Caller, harbour: Location) -> None:
    body = {"metric": "rain", "kind": "thermometer", "location": "nowhere", "low": 2, "high": 1, "notify": "me"}
    wrong = {"location", "metric", "high", "notify"}
    assert set(fields(manager.post("/thresholds", body))) == wrong
    right = Threshold.objects.create(location=harbour, metric="temperature", low=0)
    assert set(fields(manager.patch(f"/thresholds/{right.pk}", body))) == wrong
    assert set(fields(manager.patch(f"/thresholds/{right.pk}", {"high": -1, "kind": "rain_gauge"}))) == {"high"}
    found = fields(manager.post("/thresholds", {"metric": "wind_speed", "kind": "thermometer", "location": "harbour"}))
    assert set(found) == {"low", "metric"}


def test_of_an_address(operator: Caller, thermometer: Device) -> None:
    assert set(fields(operator.get("/devices?knd=x&page=0&sort=id&search=%00&%00=1"))) == {
        "knd",
        "page",
        "sort",
        "search",
        "query",
    }
    assert fields(operator.get("/analytics?metric=rain&percentiles=perhaps&to=soon&knd=1")).keys() == {
        "percentiles",
        "to",
        "knd",
    }


NASTY = (None, True, 7, -1.5, "", " ", "\0", "\ud800", "x" * 70, [], {}, [1], {"a\0": 1}, "9999-12-31", 10**400)


def operations() -> list[tuple[str, str, list[str]]]:
    schema: Any = api.get_openapi_schema(path_prefix="/")
    found = []
    for path, methods in schema["paths"].items():
        for method, operation in methods.items():
            if "requestBody" in operation:
                name = operation["requestBody"]["content"]["application/json"]["schema"]["$ref"].rsplit("/", 1)[-1]
                found.append((method.upper(), path, list(schema["components"]["schemas"][name]["properties"])))
    return found


@pytest.mark.parametrize(("method", "path", "names"), operations())
def test_no_sentence_is_a_librarys(
    staff: Caller, harbour: Location, thermometer: Device, method: str, path: str, names: list[str]
) -> None:
    threshold = Threshold.objects.create(location=harbour, metric="temperature", low=0)
    address = path.format(serial="THERM-1", id=threshold.pk)
    for nasty in NASTY:
        response = staff.call(method, address, dict.fromkeys(names, nasty))
        sentences = [each for found in response.document["error"]["fields"].values() for each in found]
        assert sentences
        assert all(each.endswith(".") and not RAW.search(each) for each in sentences), sentences
