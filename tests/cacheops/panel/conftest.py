"""People with one permission each, a device to look at, and an empty cache of its own for each test."""

import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from django.contrib.auth.models import Permission
from django.test import Client

from cacheops.models import Control
from cacheops.panel.polling import answers
from cacheops.regions.switches import switches
from devices.models import Device, Kind
from locations.models import Location
from users.models import User

PANEL = "/admin/cacheops/panel/"

SignIn = Callable[..., Client]


@dataclass
class World:
    """`root` may do everything."""

    root: User
    device: Device
    prefix: str


@pytest.fixture
def world(db: None, settings: Any) -> World:
    settings.CACHEOPS_PREFIX = f"t-{uuid.uuid4().hex[:8]}"
    answers.forget()
    root = User.objects.create_superuser("root", "root@example.org", "correct horse")
    place = Location.objects.create(name="Harbor", code="harbor")
    device = Device.objects.create(
        location=place, serial="H-1", name="Quay thermometer", kind=Kind.THERMOMETER, metric="temperature"
    )
    switches.reset()
    return World(root, device, settings.CACHEOPS_PREFIX)


@pytest.fixture
def root(world: World) -> Client:
    client = Client()
    client.force_login(world.root)
    return client


@pytest.fixture
def staff(world: World) -> SignIn:
    """Return a function that signs in one of the staff who has just these permissions ("app.codename")."""

    def sign_in(*permissions: str) -> Client:
        user = User.objects.create_user(f"staff-{uuid.uuid4().hex[:6]}", password="x", is_staff=True)
        for name in permissions:
            app, codename = name.split(".")
            user.user_permissions.add(Permission.objects.get(content_type__app_label=app, codename=codename))
        client = Client(enforce_csrf_checks=False)
        client.force_login(user)
        return client

    return sign_in


@pytest.fixture(autouse=True)
def _nothing_told(db: None) -> Any:
    yield
    Control.objects.all().delete()
    switches.reset()
