"""People, two locations, and devices whose newest readings are known."""

from dataclasses import dataclass
from datetime import datetime, timedelta

import pytest
from django.core.cache import caches
from django.test import Client
from django.utils import timezone

from devices.models import Device, Kind, Reading, Status
from locations.models import Location, Membership, Role
from users.models import User


@dataclass
class World:
    """`member` belongs to `harbor` only; `ridge` is somebody else's."""

    member: User
    staff: User
    harbor: Location
    ridge: Location
    device: Device  # at the harbor, with hourly readings of a day
    hidden: Device  # at the ridge
    now: datetime


@pytest.fixture(autouse=True)
def _empty_cache() -> None:
    caches["default"].clear()


@pytest.fixture
def world(db: None) -> World:
    now = timezone.now()
    member = User.objects.create_user("ann", password="a good pass phrase", first_name="Ann")
    staff = User.objects.create_user("sam", password="a good pass phrase", is_staff=True)
    harbor = Location.objects.create(name="Harbor", code="harbor", region="us-west-2", timezone="America/Los_Angeles")
    ridge = Location.objects.create(name="Ridge", code="ridge", region="us-east-2")
    Membership.objects.create(user=member, location=harbor, role=Role.OPERATOR)
    device = add_device(harbor, "H-1", "Quay thermometer", current_value=20.0, last_seen=now)
    hidden = add_device(ridge, "R-1", "Summit thermometer", current_value=-5.0, last_seen=now)
    Reading.objects.bulk_create(
        Reading(device=device, metric="temperature", unit="°C", value=20 - hour, taken_at=now - timedelta(hours=hour))
        for hour in range(23)
    )
    return World(member, staff, harbor, ridge, device, hidden, now)


def add_device(location: Location, serial: str, name: str, **fields: object) -> Device:
    defaults = {"kind": Kind.THERMOMETER, "metric": "temperature", "status": Status.ACTIVE}
    return Device.objects.create(location=location, serial=serial, name=name, **(defaults | fields))


@pytest.fixture
def member(world: World) -> Client:
    client = Client()
    client.force_login(world.member)
    return client


@pytest.fixture
def staff(world: World) -> Client:
    client = Client()
    client.force_login(world.staff)
    return client
