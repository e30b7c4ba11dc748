"""The admin: each model's list, search and filters; signing in; tokens; lists of readings that never count them all."""

import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.contrib import admin
from django.contrib.admin.models import LogEntry
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from devices.models import Device, Excursion, ImportedFile, Kind, Reading, Threshold
from locations.models import Location, Membership
from users import adminsite
from users.models import ApiToken, User

pytestmark = pytest.mark.django_db
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.fixture
def root(db: None) -> User:
    return User.objects.create_superuser("root", "root@example.org", "correct horse")


@pytest.fixture
def client(root: User) -> Client:
    client = Client()
    client.force_login(root)
    return client


@pytest.fixture
def rows(root: User) -> list[Device]:
    """Five rows of each model, each below a parent of its own, so that a query a row would show."""
    devices = []
    for number in range(5):
        location = Location.objects.create(name=f"Place {number}", code=f"place-{number}")
        user = User.objects.create_user(f"user{number}")
        Membership.objects.create(user=user, location=location)
        ApiToken.issue(user, f"token {number}")
        device = Device.objects.create(
            location=location, serial=f"S-{number}", name=f"D {number}", kind=Kind.RAIN_GAUGE, metric="rain"
        )
        ImportedFile.objects.create(digest=str(number), name=f"file {number}")
        devices.append(device)
    Reading.objects.bulk_create(
        Reading(device=device, metric="rain", value=number, unit="mm", taken_at=NOON + timedelta(minutes=number))
        for device in devices
        for number in range(3)
    )
    return devices


def rows_in(response: Any) -> int:
    return len(response.context["cl"].result_list)


# In each: the user, the count, the rows; and the count without filters, but for the longest lists.
@pytest.mark.uncached
@pytest.mark.parametrize(
    ("model", "queries"),
    [
        (User, 4),
        (ApiToken, 4),
        (Location, 4),
        (Membership, 4),
        (Device, 3),
        (Reading, 3),
        (ImportedFile, 4),
    ],
)
def test_each_list_takes_a_known_number_of_queries(
    client: Client, rows: list[Device], model: Any, queries: int, django_assert_num_queries: Any
) -> None:
    address = reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_changelist")
    client.get(address)
    with django_assert_num_queries(queries):
        response = client.get(address)
    assert rows_in(response) >= 5


def test_every_model_of_ours_is_there() -> None:
    registered = {model._meta.label for model in admin.site._registry}
    ours = {User, ApiToken, Location, Membership, Device, Reading, ImportedFile}
    assert {model._meta.label for model in ours} <= registered


@pytest.mark.parametrize(
    ("address", "found"),
    [
        ("devices/device/?q=S-3", 1),
        ("devices/device/?status__exact=retired", 0),
        ("devices/reading/?q=S-3", 3),
        ("devices/reading/?q=S", 0),
        ("devices/reading/?window=1h", 15),
        ("devices/reading/?metric__exact=rain", 15),
        ("devices/reading/?metric__exact=pm25", 0),
        ("locations/location/?q=place-2", 1),
        ("locations/membership/?q=user1", 1),
        ("users/apitoken/?q=user4", 1),
        ("users/user/?q=user0", 1),
    ],
)
def test_lists_are_searched_and_filtered(client: Client, rows: list[Device], address: str, found: int) -> None:
    Device.objects.update(last_seen=NOON)
    assert rows_in(client.get(f"/admin/{address}")) == found


def test_readings_of_a_device_come_newest_first(client: Client, rows: list[Device]) -> None:
    response = client.get(f"/admin/devices/reading/?device__id__exact={rows[1].pk}")
    assert [reading.value for reading in response.context["cl"].result_list] == [2, 1, 0]
    assert b">1 Mar 2026, 12:02:00<" in response.content  # as the pages write it, not as Django's English does


@pytest.mark.uncached
def test_readings_are_never_all_counted(client: Client, rows: list[Device], monkeypatch: Any) -> None:
    monkeypatch.setattr(adminsite, "MAX_COUNTED", 4)
    with CaptureQueriesContext(
        connection,
    ) as captured:
        response = client.get("/admin/devices/reading/")
    assert response.context["cl"].result_count == 4
    counts = [query["sql"] for query in captured if "COUNT(" in query["sql"] and "devices_reading" in query["sql"]]
    assert len(counts) == 1
    assert all("LIMIT 4" in sql for sql in counts)


def test_readings_are_looked_at_only(client: Client, rows: list[Device]) -> None:
    reading = Reading.objects.first()
    assert reading is not None
    assert client.get(f"/admin/devices/reading/{reading.pk}/change/").status_code == 200
    assert client.get("/admin/devices/reading/add/").status_code == 403
    assert client.post(f"/admin/devices/reading/{reading.pk}/delete/", {"post": "yes"}).status_code == 403


def test_what_the_platform_writes_itself_is_not_added_or_changed(client: Client, rows: list[Device]) -> None:
    threshold = Threshold.objects.create(metric="rain", high=1)
    beyond = {"metric": "rain", "bound": 1, "extreme": 2, "began_at": NOON}
    excursion = Excursion.objects.create(threshold=threshold, device=rows[0], location=rows[0].location, **beyond)
    reading = Reading.objects.earliest("taken_at")
    changes = (f"excursion/{excursion.pk}/change/", f"reading/{reading.pk}/change/")
    for path in ("excursion/add/", "importedfile/add/", "reading/add/", *changes):
        assert client.post(f"/admin/devices/{path}", {"_save": "yes"}).status_code == 403


def test_a_device_is_retired_not_deleted(client: Client, rows: list[Device]) -> None:
    assert client.post(f"/admin/devices/device/{rows[0].pk}/delete/", {"post": "yes"}).status_code == 403
    assert client.get(f"/admin/devices/device/{rows[0].pk}/change/").status_code == 200


def test_who_is_signed_in_and_not_of_the_staff_is_told_so_at_every_door(rows: list[Device]) -> None:
    client = Client()
    client.force_login(User.objects.create_user("member"))
    assert [client.get(path).status_code for path in ("/admin/", "/admin/login/")] == [403, 403]


def test_a_stranger_is_sent_to_the_admin_s_own_sign_in(root: User) -> None:
    client = Client()
    response = client.get("/admin/devices/device/")
    assert response.status_code == 302
    assert client.get("/admin/login/").status_code == 200
    form = {"username": "root", "password": "correct horse", "next": "/admin/devices/device/"}
    assert client.post("/admin/login/", form, follow=True).redirect_chain == [("/admin/devices/device/", 302)]


def test_a_new_token_shows_its_secret_once(client: Client, root: User) -> None:
    form = {"user": root.pk, "name": "gateway", "expires_at_0": "2099-01-01", "expires_at_1": "12:00"}
    response = client.post("/admin/users/apitoken/add/", form)
    assert response.status_code == 200
    assert "no-store" in response["Cache-Control"]
    found = re.search(r'<code id="secret"[^>]*>(xyz_[^<]+)</code>', response.content.decode())
    assert found is not None
    token = ApiToken.objects.get()
    assert token.digest == ApiToken.digest_of(found[1])
    assert (token.user, token.name, token.expires_at) == (root, "gateway", datetime(2099, 1, 1, 12, tzinfo=UTC))
    assert LogEntry.objects.get().object_id == str(token.pk)
    assert Client().get("/api/me", headers={"Authorization": f"Bearer {found[1]}"}).json()["username"] == "root"
    shown = client.get(f"/admin/users/apitoken/{token.pk}/change/").content.decode()
    assert found[1] not in shown
    assert token.digest not in shown


def test_tokens_are_expired_by_an_action(client: Client, root: User) -> None:
    token, secret = ApiToken.issue(root, "gateway")
    client.post("/admin/users/apitoken/", {"action": "expire_now", "_selected_action": [token.pk]})
    assert Client().get("/api/me", headers={"Authorization": f"Bearer {secret}"}).status_code == 401


def test_a_user_is_added_and_given_another_password(client: Client, root: User) -> None:
    password = "a long enough secret"
    form = {"username": "new", "password1": password, "password2": password, "usable_password": "true"}
    response = client.post("/admin/users/user/add/", form)
    user = User.objects.get(username="new")
    assert response["Location"] == f"/admin/users/user/{user.pk}/change/"
    assert "Home region" in client.get(response["Location"]).content.decode()
    form = {"password1": password + "!", "password2": password + "!", "usable_password": "true"}
    assert client.post(f"/admin/users/user/{user.pk}/password/", form).status_code == 302
    user.refresh_from_db()
    assert user.check_password(password + "!")


@pytest.mark.parametrize("path", ["", "locations/location/add/", "users/user/add/", "devices/device/add/"])
def test_pages_load_nothing_from_other_hosts(client: Client, path: str) -> None:
    page = client.get(f"/admin/{path}").content.decode()
    assert not re.findall(r'(?:src|href)="(?:https?:)?//[^"]+', page)


def test_members_are_edited_with_their_location(client: Client, rows: list[Device]) -> None:
    page = client.get(f"/admin/locations/location/{rows[0].location_id}/change/")
    assert page.status_code == 200
    formset = page.context["inline_admin_formsets"][0].formset
    assert [str(form.instance.user) for form in formset.initial_forms] == ["user0"]


def test_the_start_page_tells_how_the_platform_does(client: Client, rows: list[Device]) -> None:
    Device.objects.filter(pk=rows[0].pk).update(status="offline")
    text = re.sub(r"<[^>]+>|\s+", " ", client.get("/admin/").content.decode())
    assert re.search(
        r"Locations +5 +Devices +5 +4 active +Need attention +5 +1 offline, 0 in maintenance, 4 silent", text
    )


def test_lists_show_statuses_as_labels_and_values_with_their_units(client: Client, rows: list[Device]) -> None:
    Device.objects.filter(pk=rows[0].pk).update(status="maintenance", current_value=2.5)
    devices = client.get("/admin/devices/device/?q=S-0").content.decode()
    assert re.search(r"<span[^>]*>\s*In maintenance\s*</span>", devices)
    assert "2.5 mm" in devices
    assert "2 mm" in client.get("/admin/devices/reading/?q=S-0").content.decode()
