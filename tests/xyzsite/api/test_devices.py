"""Listing, showing, creating and changing devices; locations and analytics beside them."""

from datetime import timedelta
from typing import Any

import pytest

from devices.models import Device, Kind, Reading, Status
from locations.models import Location
from tests.xyzsite.api.conftest import NOON, Caller

pytestmark = pytest.mark.django_db


@pytest.fixture
def devices(harbour: Location) -> list[Device]:
    return Device.objects.bulk_create(
        Device(
            location=harbour,
            serial=f"D-{number:02}",
            name=f"Device {number % 3}",
            kind=Kind.RAIN_GAUGE if number % 2 else Kind.BAROMETER,
            metric="rain" if number % 2 else "pressure",
            status=Status.OFFLINE if number < 4 else Status.ACTIVE,
            current_value=number or None,
        )
        for number in range(12)
    )


@pytest.mark.parametrize(
    ("query", "serials"),
    [
        ("kind=rain_gauge&status=offline", ["D-03", "D-01"]),
        ("metric=pressure&status=offline", ["D-00", "D-02"]),
        ("search=d-1", ["D-10", "D-11"]),
        ("search=device 0&status=offline", ["D-00", "D-03"]),
        ("sort=-value&page_size=2", ["D-11", "D-10"]),
        ("sort=serial&page=3&page_size=5", ["D-10", "D-11"]),
        ("location=harbour&status=maintenance", []),
    ],
)
def test_devices_are_filtered_sorted_and_paged(
    viewer: Caller, devices: list[Device], query: str, serials: list[str]
) -> None:
    document = viewer.get(f"/devices?{query}").document
    assert [item["serial"] for item in document["items"]] == serials


def test_a_page_tells_its_place(viewer: Caller, devices: list[Device]) -> None:
    document = viewer.get("/devices?page=2&page_size=5").document
    assert {name: document[name] for name in ("page", "pages", "page_size", "total")} == {
        "page": 2,
        "pages": 3,
        "page_size": 5,
        "total": 12,
    }
    response = viewer.get("/devices?page=4&page_size=5")
    assert response.document["error"]["fields"] == {"page": ["The last page is 3: ask for that or an earlier one."]}


@pytest.mark.uncached
@pytest.mark.parametrize(
    ("path", "queries"),
    [
        ("/devices?page_size={}", 3),  # the token, the count, the devices with their locations
        ("/locations?page_size={}", 4),  # the token, the count, the locations, their devices' counts
        ("/devices/D-01", 2),
        ("/locations/harbour", 4),  # the token, the location, its devices' counts, the role
    ],
)
def test_reads_take_a_known_number_of_queries(
    viewer: Caller, devices: list[Device], path: str, queries: int, django_assert_num_queries: Any
) -> None:
    viewer.get("/me")  # notes the token's use
    for size in (1, 10):
        with django_assert_num_queries(queries):
            assert viewer.get(path.format(size)).status_code == 200


def test_a_device_is_created_and_shown(manager: Caller, harbour: Location) -> None:
    body = {
        "serial": "BARO-7",
        "location": "harbour",
        "name": "  Mast ",
        "kind": "barometer",
        "metric": "pressure",
        "installed": "2026-02-03",
        "metadata": {"firmware": "2.1", "ports": [1, None]},
        "notes": "Behind the hut",
    }
    response = manager.post("/devices", body)
    assert response.status_code == 201
    assert response.document == {
        **body,
        "name": "Mast",
        "location": {"code": "harbour", "name": "Harbour"},
        "unit": "hPa",
        "status": "active",
        "last_seen": None,
        "current_value": None,
    }
    assert manager.get("/devices/BARO-7").document == response.document


def test_a_serial_that_is_taken_is_a_conflict(manager: Caller, harbour: Location, gauge: Device) -> None:
    body = {"serial": "RAIN-1", "location": "harbour", "name": "Other", "kind": "rain_gauge", "metric": "rain"}
    response = manager.post("/devices", body)
    assert (response.status_code, response.document["error"]["code"]) == (409, "conflict")
    assert list(response.document["error"]["fields"]) == ["serial"]


def test_a_change_leaves_the_rest(manager: Caller, thermometer: Device) -> None:
    before = manager.get("/devices/THERM-1").document
    response = manager.patch("/devices/THERM-1", {"name": "Pier", "metadata": {"height": 2}})
    assert response.document == before | {"name": "Pier", "metadata": {"height": 2}}
    assert manager.patch("/devices/THERM-1", {}).document == response.document
    assert manager.patch("/devices/THERM-1", {"installed": "2026-01-01"}).document["installed"] == "2026-01-01"
    assert manager.patch("/devices/THERM-1", {"installed": None}).document["installed"] is None


def test_nothing_is_deleted(staff: Caller, thermometer: Device) -> None:
    response = staff.call("DELETE", "/devices/THERM-1")
    assert response.status_code == 405
    assert {method.strip() for method in response["Allow"].split(",")} == {"GET", "PATCH"}
    assert response.document["error"]["code"] == "method_not_allowed"


def test_a_location_counts_its_devices(viewer: Caller, devices: list[Device]) -> None:
    document = viewer.get("/locations/harbour").document
    assert document["devices"] == {"active": 8, "maintenance": 0, "offline": 4, "retired": 0, "total": 12}
    assert (document["role"], document["timezone"]) == ("viewer", "Europe/Lisbon")


def test_analytics_add_up(viewer: Caller, thermometer: Device) -> None:
    Reading.objects.bulk_create(
        Reading(device=thermometer, metric="temperature", value=n, unit="°C", taken_at=NOON + timedelta(minutes=10 * n))
        for n in range(4)
    )
    query = "metric=temperature&window=24h&location=harbour&kind=thermometer&until=2026-03-01T13:00:00Z"
    document = viewer.get(f"/analytics?{query}").document
    assert document["total"] == {
        "average": 1.5,
        "time_average": 5.5 / 3,
        "amount": None,
        "minimum": 0,
        "maximum": 3,
        "count": 4,
    }
    assert [(item["start"], item["count"]) for item in document["buckets"]] == [
        ("2026-03-01T12:00:00Z", 2),
        ("2026-03-01T12:15:00Z", 1),
        ("2026-03-01T12:30:00Z", 1),
    ]
    assert [(item["code"], item["devices"]) for item in document["locations"]] == [("harbour", 1)]
    assert (document["unit"], document["timezone"]) == ("°C", "Europe/Lisbon")


def test_a_count_of_devices_has_no_average(viewer: Caller, thermometer: Device) -> None:
    Reading.objects.create(device=thermometer, metric="temperature", value=1, unit="°C", taken_at=NOON)
    document = viewer.get("/analytics?metric=device_count&until=2026-03-01T12:00:00Z").document
    assert document["total"] == dict.fromkeys(("average", "time_average", "amount", "minimum", "maximum")) | {
        "count": 1
    }
    assert [item["devices"] for item in document["buckets"]] == [1]


def test_a_device_measures_what_its_kind_can(manager: Caller, harbour: Location, thermometer: Device) -> None:
    body = {"serial": "T-2", "location": "harbour", "name": "T", "kind": "thermometer", "metric": "rain"}
    for response in (manager.post("/devices", body), manager.patch("/devices/THERM-1", {"metric": "rain"})):
        assert response.status_code == 422
        assert "A thermometer does not measure rain" in response.document["error"]["fields"]["metric"][0]
    Device.objects.update(metric="rain")  # one from before the rule can still be retired
    assert manager.patch("/devices/THERM-1", {"status": "retired"}).status_code == 200


def test_rain_is_summed_and_averages_weigh_time(viewer: Caller, harbour: Location, thermometer: Device) -> None:
    gauges = [
        Device.objects.create(location=harbour, serial=f"R-{n}", name="R", kind=Kind.RAIN_GAUGE, metric="rain")
        for n in range(2)
    ]
    for n, value in enumerate((1.5, 2.0, 0.5)):
        at = NOON + timedelta(minutes=20 * n)
        Reading.objects.bulk_create(
            Reading(device=g, metric="rain", value=value, unit="mm", taken_at=at) for g in gauges
        )
    query = "window=24h&location=harbour&until=2026-03-01T13:00:00Z"
    total = viewer.get(f"/analytics?metric=rain&{query}").document["total"]
    assert total["amount"] == 4  # where two gauges stand, no more rain has fallen
    # A quarter of an hour with ten readings weighs what one with a single reading does.
    readings = [
        Reading(device=thermometer, metric="temperature", value=20, unit="°C", taken_at=NOON + timedelta(hours=1))
    ]
    readings += [
        Reading(device=thermometer, metric="temperature", value=10, unit="°C", taken_at=NOON + timedelta(minutes=n))
        for n in range(10)
    ]
    Reading.objects.bulk_create(readings)
    total = viewer.get(f"/analytics?metric=temperature&{query}").document["total"]
    assert (round(total["average"], 2), total["time_average"], total["amount"]) == (10.91, 15, None)
