"""WriteThroughCache, by the platform's devices: right in every region once a write is answered, whoever wrote."""

import json
from typing import Any

import pytest
from django.core.exceptions import FieldDoesNotExist, ValidationError
from django.db import connection, transaction
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from cacheops import invalidate_obj
from cacheops.encoding import objects
from cacheops.encoding.rows import decode
from cacheops.exceptions import InvalidKey, InvalidOption
from cacheops.monitoring.verify import recipe_keys, verify
from cacheops.patterns import WriteThroughCache
from cacheops.reading.lease import Lease, take_lease
from cacheops.regions import regions
from devices.current import current_devices, update_device_data
from devices.models import Device, Kind
from devices.services import NewReading, record_readings
from locations.models import Location
from users.models import ApiToken, User

REGIONS = ("us-east-1", "us-west-2", "us-east-2")
committed = pytest.mark.django_db(transaction=True)


@pytest.fixture
def device(db: None) -> Device:
    harbor = Location.objects.create(name="Harbor", code="harbor")
    return Device.objects.create(location=harbor, serial="H-1", name="Old", kind=Kind.THERMOMETER, metric="temperature")


def stored(region: str, pk: int) -> Device:
    """Return what a region's servers hold under the key, which must be a valid entry."""
    request = current_devices._request(pk)
    payload, *versions = regions[region].store.read(request.key_list())
    entry = decode(payload or b"", request.key_list()[0])
    assert entry.versions == b"".join(version or b"" for version in versions), f"{region}: no hit"
    found: Device = objects.unpack(entry.rows()[0][0])
    return found


def names(pk: int) -> list[str]:
    return [stored(region, pk).name for region in REGIONS]


def asked(pk: int) -> int:
    """Return how many queries a reader needs."""
    with CaptureQueriesContext(connection) as queries:
        current_devices.get(pk)
    return len(queries)


@committed
def test_a_row_that_is_packed_is_no_difference_to_the_verifier(device: Device, settings: Any) -> None:
    """Its statement answers with the columns, of which an instance is packed."""
    settings.CACHEOPS_VERIFY_SAMPLE = 1
    invalidate_obj(device)
    assert asked(device.pk) == 1
    assert list(Device.objects.values_list("name", flat=True)) == ["Old"]
    found = [each.outcome for each in verify(regions.local, recipe_keys(regions.local), 100)]
    assert found == ["equal"]


@pytest.mark.servers
@committed
def test_every_writer_leaves_the_right_value_in_every_region(device: Device, settings: Any) -> None:
    key = current_devices.entry_key(device.pk)
    assert f"}}:e:device:{device.pk}:current:" in key
    assert names(device.pk) == ["Old"] * 3  # it was saved

    assert update_device_data(device.pk, {"name": "Updated"})
    assert names(device.pk) == ["Updated"] * 3
    for region in REGIONS:
        settings.CACHEOPS_LOCAL_REGION = region
        assert asked(device.pk) == 0

    now = timezone.now()
    record_readings([NewReading(device.pk, "temperature", 21.5, now)])
    assert [stored(region, device.pk).current_value for region in REGIONS] == [21.5] * 3

    with transaction.atomic():
        Device.objects.filter(pk=device.pk).update(name="By queryset")
        assert current_devices.get(device.pk).name == "By queryset"  # type: ignore[union-attr]
        current_devices.written([device.pk])
    assert names(device.pk) == ["By queryset"] * 3

    Device.objects.filter(pk=device.pk).update(name="Untold")
    assert current_devices.get(device.pk).name == "Untold"  # type: ignore[union-attr]


@committed
def test_a_writer_in_a_region_that_follows_stores_nothing_across_the_country(device: Device, settings: Any) -> None:
    assert asked(device.pk) == 0  # it was saved, and written through
    settings.CACHEOPS_FOLLOWERS = {"replica": "default"}
    with CaptureQueriesContext(connection) as queries:
        device.name = "New"
        device.save(update_fields=["name"])
    assert len(queries) == 1

    settings.CACHEOPS_FOLLOWERS = {}
    assert (asked(device.pk), asked(device.pk)) == (1, 0)
    assert current_devices.get(device.pk).name == "New"  # type: ignore[union-attr]


@pytest.mark.servers
@committed
def test_the_api_and_the_admin_write_through_and_a_get_reads_it(device: Device) -> None:
    admin = User.objects.create_user("sam", password="x", is_staff=True, is_superuser=True)
    token = {"Authorization": f"Bearer {ApiToken.issue(admin, 'test')[1]}"}
    client = Client(headers=token)
    client.get("/api/devices/H-1")

    body = json.dumps({"name": "By the API"})
    assert client.patch("/api/devices/H-1", body, content_type="application/json").status_code == 200
    assert names(device.pk) == ["By the API"] * 3
    with CaptureQueriesContext(connection) as queries:
        assert client.get("/api/devices/H-1").json()["name"] == "By the API"
    assert [query["sql"] for query in queries if "devices_device" in query["sql"]] == []

    browser = Client()
    browser.force_login(admin)
    fields = {"location": device.location_id, "serial": "H-1", "name": "By the admin", "kind": "thermometer"}
    fields |= {"metric": "temperature", "status": "active", "metadata": "{}"}
    answer = browser.post(f"/admin/devices/device/{device.pk}/change/", fields)
    assert answer.status_code == 302
    assert names(device.pk) == ["By the admin"] * 3
    assert client.get("/api/devices/H-1").json()["name"] == "By the admin"


@committed
def test_an_older_value_never_replaces_a_newer(device: Device) -> None:
    request = current_devices._request(device.pk)
    regions.local.store.delete([current_devices.entry_key(device.pk)])
    lease = take_lease(regions.local, request, lock=False)
    assert isinstance(lease, Lease)
    old = current_devices._rows([device.pk])[0]

    update_device_data(device.pk, {"name": "Newer"})
    lease.fill(old, 0.0)  # the slow writer, last

    assert current_devices.get(device.pk).name == "Newer"  # type: ignore[union-attr]
    assert stored("us-east-1", device.pk).name == "Newer"


@committed
def test_a_write_between_load_and_store_is_not_overwritten(device: Device, monkeypatch: pytest.MonkeyPatch) -> None:
    load = current_devices._rows

    def overtaken(pks: Any) -> Any:
        rows = load(pks)
        Device.objects.filter(pk=device.pk).update(name="Newer")
        return rows

    with monkeypatch.context() as writing:
        writing.setattr(current_devices, "_rows", overtaken)
        current_devices.refresh([device.pk])
    assert current_devices.get(device.pk).name == "Newer"  # type: ignore[union-attr]


@committed
def test_an_entry_that_is_right_is_not_stored_again(device: Device) -> None:
    assert current_devices.refresh([device.pk]) == 0  # it was saved
    invalidate_obj(device)
    assert current_devices.refresh([device.pk]) == len(list(regions))
    assert current_devices.refresh([device.pk]) == 0


@pytest.mark.servers
@committed
def test_a_write_that_fails_leaves_all_as_it_was(device: Device) -> None:
    with pytest.raises(ValidationError):
        update_device_data(device.pk, {"kind": "no such kind"})
    with pytest.raises(FieldDoesNotExist):
        update_device_data(device.pk, {"colour": "red"})
    with transaction.atomic():
        update_device_data(device.pk, {"name": "Rolled back"})
        transaction.set_rollback(True)

    assert names(device.pk) == ["Old"] * 3
    assert not update_device_data(device.pk + 1, {"name": "Nobody"})
    assert current_devices.get(device.pk + 1) is None


@pytest.mark.servers
@pytest.mark.django_db
def test_a_row_is_locked_before_it_is_changed(device: Device) -> None:
    """Or of two writers at once the second would check, and write, a row that the first has changed meanwhile."""
    with CaptureQueriesContext(connection) as queries:
        update_device_data(device.pk, {"name": "New"})
    reads = [
        query["sql"] for query in queries if query["sql"].startswith("SELECT") and "devices_device" in query["sql"]
    ]
    assert "FOR NO KEY UPDATE" in reads[0]


@committed
def test_many_at_once(device: Device, django_assert_num_queries: Any) -> None:
    others = [
        Device.objects.create(location=device.location, serial=f"H-{n}", name=f"{n}", kind=device.kind, metric="rain")
        for n in range(2, 6)
    ]
    pks = [device.pk, *(other.pk for other in others)]
    with django_assert_num_queries(0):
        assert current_devices.get_many([*pks, pks[0]]).keys() == set(pks)
    device.delete()
    assert current_devices.get_many(pks).keys() == set(pks[1:])


@pytest.mark.django_db  # keys name the database itself
@pytest.mark.parametrize("pk", [0, -1, "7", None, "1:*"])
def test_bad_keys_are_named(pk: Any) -> None:
    with pytest.raises(InvalidKey):
        current_devices.get(pk)


@pytest.mark.django_db
def test_bad_ttls_and_keys_with_spaces_are_named() -> None:
    with pytest.raises(InvalidOption, match="no_such"):
        WriteThroughCache(Device, str, ttl="no_such").get(1)
    with pytest.raises(InvalidKey, match="' '"):
        WriteThroughCache(Device, "device {}".format).get(1)
