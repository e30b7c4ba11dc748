"""A small platform: two locations, a person of each role at the first, devices at both, and clients that call."""

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pytest
from django.test import Client

from devices.models import Device, Kind
from locations.models import Location, Membership, Role
from users.models import ApiToken, User

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


@dataclass
class Caller:
    """A program with a token (none: a stranger)."""

    secret: str = ""

    def call(self, method: str, path: str, body: Any = None, **headers: str) -> Any:
        """Call the API; return the response, whose `document` is the parsed body."""
        options: dict[str, Any] = {"headers": headers}
        if self.secret:
            options["headers"] = {"Authorization": f"Bearer {self.secret}"} | headers
        if body is not None:
            options |= {"data": body if isinstance(body, bytes) else json.dumps(body)}
            options |= {"content_type": headers.pop("content_type", "application/json")}
        response: Any = Client().generic(method, f"/api{path}", **options)
        response.document = json.loads(response.content)
        return response

    def get(self, path: str, **headers: str) -> Any:
        return self.call("GET", path, **headers)

    def post(self, path: str, body: Any, **headers: str) -> Any:
        return self.call("POST", path, body, **headers)

    def patch(self, path: str, body: Any) -> Any:
        return self.call("PATCH", path, body)


def caller(user: User) -> Caller:
    return Caller(ApiToken.issue(user, "test")[1])


@pytest.fixture
def harbour(db: None) -> Location:
    return Location.objects.create(name="Harbour", code="harbour", timezone="Europe/Lisbon")


@pytest.fixture
def summit(db: None) -> Location:
    return Location.objects.create(name="Summit", code="summit")


@pytest.fixture
def thermometer(harbour: Location) -> Device:
    return Device.objects.create(
        location=harbour, serial="THERM-1", name="Quay", kind=Kind.THERMOMETER, metric="temperature"
    )


@pytest.fixture
def gauge(summit: Location) -> Device:
    return Device.objects.create(location=summit, serial="RAIN-1", name="Peak", kind=Kind.RAIN_GAUGE, metric="rain")


def member(location: Location, role: Role) -> Caller:
    user = User.objects.create_user(role.value, f"{role.value}@example.org", "secret")
    Membership.objects.create(user=user, location=location, role=role)
    return caller(user)


@pytest.fixture
def viewer(harbour: Location) -> Caller:
    return member(harbour, Role.VIEWER)


@pytest.fixture
def operator(harbour: Location) -> Caller:
    return member(harbour, Role.OPERATOR)


@pytest.fixture
def manager(harbour: Location) -> Caller:
    return member(harbour, Role.MANAGER)


@pytest.fixture
def staff(db: None) -> Caller:
    return caller(User.objects.create_user("staff", is_staff=True))


@pytest.fixture
def stranger(db: None) -> Caller:
    return Caller()
