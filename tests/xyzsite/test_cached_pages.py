"""Every page, API view and admin list answers its second reader from the cache, and a write is seen by the third."""

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from devices.models import Device, Kind, Reading
from locations.models import Location, Membership, Role
from users.models import User

pytestmark = pytest.mark.django_db(transaction=True)

PAGES = [
    "/",
    "/locations/",
    "/locations/harbor/",
    "/devices/H-1/",
    "/analytics/?metric=temperature&window=24h",
    "/profile/",
    "/api/locations",
    "/api/devices",
    "/api/devices/H-1",
    "/api/devices/H-1/readings",
    "/admin/devices/device/",
    "/admin/locations/location/",
    "/admin/locations/membership/",
    "/admin/users/user/",
]


@pytest.fixture
def client(db: None) -> Client:
    user = User.objects.create_user("sam", password="x", is_staff=True, is_superuser=True)
    harbor = Location.objects.create(name="Harbor", code="harbor")
    Membership.objects.create(user=user, location=harbor, role=Role.MANAGER)
    device = Device.objects.create(
        location=harbor, serial="H-1", name="Old name", kind=Kind.THERMOMETER, metric="temperature"
    )
    Reading.objects.create(device=device, metric="temperature", value=20, unit="°C", taken_at=timezone.now())
    client = Client()
    client.force_login(user)
    return client


@pytest.mark.parametrize("address", PAGES)
def test_the_second_reader_asks_no_database(client: Client, address: str) -> None:
    for _ in range(2):  # the first fills the cache, the second what only a filled cache lets be read
        assert client.get(address).status_code == 200
    with CaptureQueriesContext(connection) as queries:
        response = client.get(address)
    assert response.status_code == 200
    assert [query["sql"] for query in queries] == []


@pytest.mark.parametrize(
    "address", ["/locations/harbor/", "/devices/H-1/", "/api/devices/H-1", "/admin/devices/device/"]
)
def test_a_write_is_seen_by_the_next_reader(client: Client, address: str) -> None:
    for _ in range(2):
        assert b"Old name" in client.get(address).content
    Device.objects.filter(serial="H-1").update(name="New name")
    content = client.get(address).content
    assert b"New name" in content
    assert b"Old name" not in content


def test_the_admins_change_form_reads_the_database(client: Client) -> None:
    device = Device.objects.get(serial="H-1")
    address = f"/admin/devices/device/{device.pk}/change/"
    client.get(address)
    with CaptureQueriesContext(connection) as queries:
        assert client.get(address).status_code == 200
    assert any('FROM "devices_device"' in query["sql"] for query in queries)
