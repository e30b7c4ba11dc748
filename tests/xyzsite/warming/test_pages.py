"""A cold cache, warm_cache, a visit: no page asks the database anything."""

from datetime import timedelta
from typing import Any

import pytest
from django.core.cache import caches
from django.core.management import call_command
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from cacheops import bypassed
from devices.models import Device, Kind, Reading
from locations.models import Location, Membership, Role
from users.models import User

pytestmark = pytest.mark.django_db(transaction=True)

PAGES = [
    "/",
    "/locations/",
    "/locations/harbor/",
    "/devices/H-1/",
    "/analytics/",
    "/analytics/?metric=temperature&window=1h",
    "/analytics/?location=harbor",
    "/api/devices/H-1",
]


@pytest.fixture
def visitors(db: None, settings: Any) -> list[Client]:
    """Two people, signed in, and a cache that knows nothing else of the world."""
    settings.CACHEOPS_PREFIX = "warmed"
    call_command("invalidate", "all")
    caches["default"].clear()
    with bypassed():
        member = User.objects.create_user("ann", password="x")
        staff = User.objects.create_user("sam", password="x", is_staff=True)
        harbor = Location.objects.create(name="Harbor", code="harbor")
        Membership.objects.create(user=member, location=harbor, role=Role.VIEWER)
        device = Device.objects.create(
            location=harbor, serial="H-1", name="Quay", kind=Kind.THERMOMETER, metric="temperature"
        )
        Reading.objects.create(device=device, metric="temperature", value=20, unit="°C", taken_at=timezone.now())
        Device.objects.filter(pk=device.pk).update(last_seen=timezone.now() - timedelta(minutes=1), current_value=20.0)
        clients = []
        for user in (member, staff):
            client = Client()
            client.force_login(user)
            client.get("/profile/")  # its session is in the cache, as that of anybody who has been there
            clients.append(client)
    return clients


def test_a_visit_after_warming_makes_no_query(visitors: list[Client]) -> None:
    call_command("warm_cache", verbosity=0)
    for client in visitors:
        for address in PAGES:
            with CaptureQueriesContext(connection) as queries:
                assert client.get(address).status_code == 200
            assert [(address, query["sql"]) for query in queries] == []


def test_without_warming_each_makes_some(visitors: list[Client]) -> None:
    with CaptureQueriesContext(connection) as queries:
        assert visitors[0].get("/devices/H-1/").status_code == 200
    assert len(queries) >= 4
