"""What each role may see and do."""

from typing import Any

import pytest

from devices.models import Device, Reading
from locations.models import Location
from tests.xyzsite.api.conftest import NOON, Caller

pytestmark = pytest.mark.django_db

READING = {"value": 21.5, "taken_at": NOON.isoformat()}
DEVICE = {"serial": "NEW-1", "name": "New", "location": "harbour", "kind": "barometer", "metric": "pressure"}


@pytest.fixture
def role(request: pytest.FixtureRequest) -> Caller:
    caller: Caller = request.getfixturevalue(request.param)
    return caller


def code(response: Any) -> tuple[int, str]:
    return response.status_code, response.document.get("error", {}).get("code", "")


NOT_FOUND, FORBIDDEN = (404, "not_found"), (403, "forbidden")


@pytest.mark.parametrize("role", ["viewer", "operator", "manager"], indirect=True)
def test_members_see_their_own_location_only(role: Caller, thermometer: Device, gauge: Device) -> None:
    assert [item["code"] for item in role.get("/locations").document["items"]] == ["harbour"]
    assert [item["serial"] for item in role.get("/devices").document["items"]] == ["THERM-1"]
    for hidden in ("/locations/summit", "/devices/RAIN-1", "/devices/RAIN-1/readings"):
        assert code(role.get(hidden)) == NOT_FOUND
    assert code(role.patch("/devices/RAIN-1", {"status": "offline"})) == NOT_FOUND
    assert code(role.post("/devices/RAIN-1/readings", READING)) == NOT_FOUND
    assert code(role.post("/readings", {"readings": [READING | {"serial": "RAIN-1"}]})) == (422, "invalid")
    for path in ("/devices", "/analytics"):
        response = role.get(f"{path}?location=summit&metric=rain")
        assert list(response.document["error"]["fields"]) == ["location"]
    assert role.get("/analytics?metric=rain").document["locations"] == []


def test_analytics_leave_out_what_may_not_be_seen(viewer: Caller, staff: Caller, gauge: Device) -> None:
    Reading.objects.create(device=gauge, metric="rain", value=2, unit="mm", taken_at=NOON)
    query = "/analytics?metric=rain&until=2026-03-01T12:00:00Z"
    assert viewer.get(query).document["total"]["count"] == 0
    assert [item["code"] for item in staff.get(query).document["locations"]] == ["summit"]


@pytest.mark.parametrize(
    ("role", "posts", "sets_status", "changes", "creates"),
    [
        ("viewer", 403, 403, 403, 403),
        ("operator", 201, 200, 403, 403),
        ("manager", 201, 200, 200, 201),
        ("staff", 201, 200, 200, 201),
    ],
    indirect=["role"],
)
def test_roles(role: Caller, thermometer: Device, posts: int, sets_status: int, changes: int, creates: int) -> None:
    assert role.post("/devices/THERM-1/readings", READING).status_code == posts
    many = role.post("/readings", {"readings": [READING | {"serial": "THERM-1"}]})
    assert many.status_code == (200 if posts == 201 else posts)
    assert role.patch("/devices/THERM-1", {"status": "retired"}).status_code == sets_status
    assert role.patch("/devices/THERM-1", {"status": "active", "name": "Pier"}).status_code == changes
    assert role.post("/devices", DEVICE).status_code == creates


def test_too_low_a_role_is_told_which_one_is_needed(viewer: Caller, thermometer: Device) -> None:
    response = viewer.patch("/devices/THERM-1", {"status": "retired"})
    assert code(response) == FORBIDDEN
    assert "role operator at Harbour; you are viewer" in response.document["error"]["message"]
    response = viewer.post("/readings", {"readings": [READING | {"serial": "THERM-1"}]})
    assert list(response.document["error"]["fields"]) == ["readings.0.serial"]


def test_another_members_role_counts_for_nothing(viewer: Caller, operator: Caller, thermometer: Device) -> None:
    many = {"readings": [READING | {"serial": "THERM-1"}]}
    assert code(viewer.post("/readings", many)) == FORBIDDEN
    assert operator.post("/readings", many).status_code == 200


def test_a_manager_moves_devices_only_to_where_he_manages(
    manager: Caller, staff: Caller, thermometer: Device, summit: Location
) -> None:
    response = manager.patch("/devices/THERM-1", {"location": "summit"})
    assert list(response.document["error"]["fields"]) == ["location"]
    assert staff.patch("/devices/THERM-1", {"location": "summit"}).document["location"]["code"] == "summit"
    assert code(manager.get("/devices/THERM-1")) == NOT_FOUND
