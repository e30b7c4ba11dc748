"""Nothing that a client sends is answered with a 5xx or with anything but our error document."""

import json
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from devices.models import Device, Reading
from locations.models import Location
from tests.xyzsite.api.conftest import NOON, Caller
from xyzsite.api.body import MAX_BODY_BYTES
from xyzsite.api.errors import KINDS

pytestmark = pytest.mark.django_db

WHEN = NOON.isoformat()
HUGE = 10**400


def check(response: Any, status: int, *fields: str) -> None:
    error = response.document["error"]
    assert response.status_code == status, error
    assert response["Content-Type"] == "application/json"
    assert set(error) == {"code", "message", "fields"}
    assert error["code"] == KINDS[status].code
    assert set(error["fields"]) == set(fields)
    assert error["message"].endswith(".")
    assert all(sentence.endswith(".") for sentences in error["fields"].values() for sentence in sentences)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("value", "21.5"),
        ("value", None),
        ("value", True),
        ("value", []),
        ("value", HUGE),
        ("value", 1.7e308),
        ("value", -1e13),
        ("taken_at", "2026-03-01T12:00:00"),  # no offset
        ("taken_at", "2026-03-01"),
        ("taken_at", "yesterday"),
        ("taken_at", ""),
        ("taken_at", 1_772_366_400),
        ("taken_at", "1772366400"),
        ("taken_at", HUGE),
        ("taken_at", "0001-01-01T00:00:00+14:00"),
        ("taken_at", "9999-12-31T23:59:59-14:00"),
        ("taken_at", "1970-01-01T00:00:00Z"),
        ("taken_at", "2026-03-01T12:00:00+99:99"),
        pytest.param("taken_at", (timezone.now() + timedelta(hours=2)).isoformat(), id="taken_at-in two hours"),
        ("metric", "happiness"),
        ("metric", "temperature\0"),
        ("metric", 7),
        ("unit", "°F"),
        ("unit", "\ud800"),
        ("unit", "C" * 17),
        ("valeu", 1),
    ],
)
def test_bad_readings(operator: Caller, thermometer: Device, field: str, value: Any) -> None:
    reading = {"value": 1, "taken_at": WHEN, field: value}
    check(operator.post("/devices/THERM-1/readings", reading), 422, field)
    many = [{"value": 1, "taken_at": WHEN, "serial": "THERM-1"}, reading | {"serial": "THERM-1"}]
    check(operator.post("/readings", {"readings": many}), 422, f"readings.1.{field}")
    assert not Reading.objects.exists()


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("serial", ""),
        ("serial", "-x"),
        ("serial", "a b"),
        ("serial", "x" * 65),
        ("serial", "x\0"),
        ("serial", "x\n"),
        ("serial", 12),
        ("location", "nowhere"),
        ("location", "summit"),  # exists, but not for this caller
        ("location", ""),
        ("name", ""),
        ("name", "   "),
        ("name", "x" * 121),
        ("name", "x\0"),
        ("name", "\udfff"),
        ("kind", "toaster"),
        ("metric", "happiness"),
        ("status", "asleep"),
        ("installed", "2026-02-30"),
        ("installed", HUGE),
        ("metadata", []),
        ("metadata", {"x": "y" * 20_000}),
        ("owner", "me"),
    ],
)
def test_bad_devices(manager: Caller, thermometer: Device, summit: Location, field: str, value: Any) -> None:
    device = {"serial": "N-1", "location": "harbour", "name": "N", "kind": "barometer", "metric": "pressure"}
    check(manager.post("/devices", device | {field: value}), 422, field)
    check(manager.patch("/devices/THERM-1", {field: value}), 422, field)


@pytest.mark.parametrize("field", ["name", "location", "kind", "metric", "status", "metadata"])
def test_what_a_device_needs_cannot_be_taken_away(manager: Caller, thermometer: Device, field: str) -> None:
    check(manager.patch("/devices/THERM-1", {field: None}), 422, field)


@pytest.mark.parametrize("metadata", [{"a": "\0"}, {"a": {"b\0": 1}}, {"a": ["\ud800"]}])
def test_metadata_that_cannot_be_stored(manager: Caller, thermometer: Device, metadata: Any) -> None:
    response = manager.patch("/devices/THERM-1", {"metadata": metadata})
    assert response.status_code == 422
    assert all(field.startswith("metadata.a") for field in response.document["error"]["fields"])


def test_metadata_with_large_numbers_comes_back(manager: Caller, thermometer: Device) -> None:
    metadata = {"integer": HUGE, "float": 1e308, "small": 5e-324, "text": "\U0001f600"}
    assert manager.patch("/devices/THERM-1", {"metadata": metadata}).document["metadata"] == metadata


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[1,]",
        b"\xff\xfe{}",
        b'{"value": NaN}',
        b'{"value": Infinity}',
        b'{"value": -Infinity}',
        b'{"value": ' + b"9" * 5000 + b"}",
        b"[" * 100_000,
        b"[" * 40 + b"]" * 40,
        b'{"a":' * 20_000 + b"1" + b"}" * 20_000,
    ],
)
@pytest.mark.parametrize(
    "call", [("POST", "/readings"), ("POST", "/devices/THERM-1/readings"), ("PATCH", "/devices/THERM-1")]
)
def test_bodies_that_are_no_json(manager: Caller, thermometer: Device, call: tuple[str, str], body: bytes) -> None:
    response = manager.call(*call, body)
    if body:
        check(response, 400)
    else:
        check(response, 422, "body")


@pytest.mark.parametrize("body", ["null", "7", '"text"', '"\\u0000"', "1e999", "[]", "true"])
def test_bodies_that_are_no_object(manager: Caller, thermometer: Device, body: str) -> None:
    check(manager.post("/readings", body.encode()), 422, "body")
    check(manager.call("PATCH", "/devices/THERM-1", body.encode()), 422, "body")


def test_a_number_beyond_all_floats(operator: Caller, thermometer: Device) -> None:
    body = f'{{"value": 1e999, "taken_at": "{WHEN}"}}'.encode()
    check(operator.post("/devices/THERM-1/readings", body), 422, "value")


def test_a_body_over_the_bound(operator: Caller, thermometer: Device) -> None:
    body = json.dumps({"readings": [], "padding": ""}).encode().ljust(MAX_BODY_BYTES)
    check(operator.post("/readings", body), 422, "readings", "padding")
    check(operator.post("/readings", body + b" "), 413)


@pytest.mark.parametrize(
    "content_type", ["text/plain", "multipart/form-data; boundary=x", "application/x-www-form-urlencoded", ""]
)
def test_a_body_of_another_type(operator: Caller, thermometer: Device, content_type: str) -> None:
    check(operator.post("/readings", {"readings": []}, content_type=content_type), 415)


@pytest.mark.parametrize(
    ("path", "field"),
    [
        ("/devices?page=0", "page"),
        ("/devices?page=99999999999999999999999", "page"),
        ("/devices?page=two", "page"),
        ("/devices?page_size=201", "page_size"),
        ("/devices?kind=toaster", "kind"),
        ("/devices?kind=", "kind"),
        ("/devices?status=asleep", "status"),
        ("/devices?metric=happiness", "metric"),
        ("/devices?sort=password", "sort"),
        ("/devices?sort=--name", "sort"),
        ("/devices?search=%00", "search"),
        (f"/devices?search={'x' * 121}", "search"),
        ("/devices?location=nowhere", "location"),
        ("/devices?location=%00", "location"),
        ("/devices?knd=barometer", "knd"),
        ("/devices?%00=1", "query"),
        ("/locations?region=mars", "region"),
        ("/locations?sort=id", "sort"),
        ("/devices/THERM-1/readings?from=2026-03-01", "from"),
        ("/devices/THERM-1/readings?to=2026-03-01T12:00:00", "to"),
        ("/devices/THERM-1/readings?to=0001-01-01T00:00:00%2B14:00", "to"),
        ("/devices/THERM-1/readings?to=1e30", "to"),
        ("/devices/THERM-1/readings?window=2h", "window"),
        ("/devices/THERM-1/readings?window=1h&from=2026-03-01T12:00:00Z", "window"),
        ("/devices/THERM-1/readings?from=2026-03-01T12:00:00Z&to=2026-03-01T12:00:00Z", "to"),
        ("/devices/THERM-1/readings?limit=1001", "limit"),
        ("/analytics", "metric"),
        ("/analytics?metric=happiness", "metric"),
        ("/analytics?metric=rain&window=1y", "window"),
        ("/analytics?metric=rain&kind=toaster", "kind"),
        ("/analytics?metric=rain&until=9999-12-31T23:59:59-14:00", "until"),
    ],
)
def test_bad_parameters(operator: Caller, thermometer: Device, path: str, field: str) -> None:
    check(operator.get(path), 422, field)


@pytest.mark.parametrize("path", ["/devices?search=%ff%fe", "/devices?search=%27%3B--", "/devices?search=%25_%5C"])
def test_odd_searches_find_nothing(operator: Caller, thermometer: Device, path: str) -> None:
    assert operator.get(path).document["items"] == []


@pytest.mark.parametrize(
    "path",
    [
        "/nothing",
        "/",
        "/devices/",
        "/devices/none",
        "/devices/%00",
        "/devices/a%20b",
        f"/devices/{'x' * 2000}",
        "/devices/none/readings",
        "/locations/none",
        "/locations/%F0%9F%98%80",
        "/devices/../admin",
    ],
)
def test_nothing_there(operator: Caller, path: str) -> None:
    check(operator.get(path), 404)


@pytest.mark.parametrize("method", ["PUT", "DELETE", "OPTIONS", "TRACE"])
def test_other_methods(operator: Caller, method: str) -> None:
    check(operator.call(method, "/devices"), 405)


@pytest.mark.parametrize("unknown", [99, 100, 101, 9_000])
def test_a_hundred_errors_are_named_and_the_rest_counted(manager: Caller, unknown: int) -> None:
    response = manager.post(
        "/readings", {f"{number}".ljust(300 if unknown < 1000 else 1, "k"): 1 for number in range(unknown)}
    )
    fields = response.document["error"]["fields"]
    assert response.status_code == 422
    assert len(fields) == min(unknown + 1, 100)  # what is missing, and what is unknown
    assert all(len(path) <= 200 for path in fields)
    assert (f"{unknown + 1:,} are wrong" in response.document["error"]["message"]) == (unknown >= 100)


@pytest.mark.parametrize("extra", [0, 1])
def test_a_document_of_too_many_values_is_refused_before_it_is_judged(manager: Caller, extra: int) -> None:
    readings = [{str(key): 1 for key in range(98)} for _ in range(100)] + [{}] * (98 + extra)  # 10,000 values
    response = manager.post("/readings", {"readings": readings})
    assert response.status_code == (413 if extra else 422)
