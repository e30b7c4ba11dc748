"""Devices are made and changed on the pages: by whom, and what the next reader sees."""

import json
import re
from collections.abc import Callable
from itertools import product
from typing import Any

import pytest
from django.test import Client

from cacheops import invalidate_all
from devices.models import Device
from locations.models import Location, Membership, Role
from tests.xyzsite.web.conftest import World, add_device
from users.models import User

NEW = {"serial": "N-1", "name": "Jetty barometer", "kind": "barometer", "metric": "pressure", "status": "active"}
Act = Callable[[Client], Any]

ACTS: dict[str, Act] = {
    "opens the form": lambda client: client.get("/devices/H-1/change/"),
    "sets a status": lambda client: client.post("/devices/H-1/change/", fields_of(client) | {"status": "offline"}),
    "writes a note": lambda client: client.post("/devices/H-1/change/", fields_of(client) | {"notes": "Wet"}),
    "sets many": lambda client: client.post("/locations/harbor/statuses/", {"serial": ["H-1"], "status": "retired"}),
    "opens an empty form": lambda client: client.get("/locations/harbor/new-device/"),
    "adds a device": lambda client: client.post("/locations/harbor/new-device/", NEW),
}
ALLOWED = {
    None: set(),
    Role.VIEWER: set(),
    Role.OPERATOR: {"opens the form", "sets a status", "writes a note", "sets many"},
    Role.MANAGER: set(ACTS),
}


def fields_of(client: Client, path: str = "/devices/H-1/change/") -> dict[str, str]:
    """Return what a browser would send of a form that nobody has touched; nothing where there is none."""
    answer = client.get(path)
    form = answer.context.get("form") if answer.status_code == 200 else None
    fields: dict[str, str] = {}
    for field in form or ():
        value = field.value()
        text = "" if value is None else str(value)
        fields |= {field.html_name: text, field.html_initial_name: text}
    return fields


@pytest.mark.django_db(transaction=True, databases="__all__")
@pytest.mark.parametrize("order", [1, -1])
def test_each_role_does_what_it_may_and_no_more(world: World, order: int) -> None:
    people = {role: Client() for role in ALLOWED}
    for role, client in people.items():
        user = User.objects.create_user(f"a-{role or 'stranger'}")
        client.force_login(user)
        if role:
            Membership.objects.create(user=user, location=world.harbor, role=role)
    for act, (_, role) in product(ACTS, product(("cold", "warm"), list(ALLOWED)[::order])):
        Device.objects.filter(serial="N-1").delete()
        answer = ACTS[act](people[role])
        expected = {200, 302} if act in ALLOWED[role] else {403 if role else 404}
        assert answer.status_code in expected, (act, role)
        if answer.status_code == 403:
            assert f"at Harbor; you are {role}." in answer.content.decode()
    Membership.objects.update(role=Role.VIEWER)
    assert [ACTS[act](people[Role.MANAGER]).status_code for act in ACTS] == [403] * len(ACTS)


@pytest.mark.django_db(transaction=True, databases="__all__")
@pytest.mark.parametrize("cold", [True, False])
def test_a_change_is_seen_by_everybodys_next_read(world: World, member: Client, staff: Client, cold: bool) -> None:
    pages = ("/devices/H-1/", "/locations/harbor/", "/locations/", "/", "/api/devices/H-1")
    for path in pages:
        for client in (member, staff):
            client.get(path)
    changed = fields_of(staff) | {"name": "Pier thermometer", "status": "maintenance", "notes": "Behind the hut"}
    if cold:
        invalidate_all()
    assert staff.post("/devices/H-1/change/", changed).url == "/devices/H-1/"
    for client in (member, staff):
        texts = [client.get(path).content.decode() for path in pages]
        assert all("Pier thermometer" in text for text in (texts[0], texts[1], texts[4]))
        assert "Behind the hut" in texts[0]
        assert '"notes": "Behind the hut"' in texts[4]
        assert all("In maintenance" in text for text in texts[:2])
        assert "1 in maintenance" in texts[2]


def test_an_operators_form_holds_the_state_and_says_so(member: Client) -> None:
    page = member.get("/devices/H-1/change/")
    assert list(page.context["form"].fields) == ["status", "notes"]
    assert b"You are operator at Harbor" in page.content
    assert b"/devices/H-1/change/" in member.get("/devices/H-1/").content
    answer = member.post(
        "/devices/H-1/change/", fields_of(member) | {"name": "Mine", "initial-name": "Quay thermometer"}
    )
    assert (answer.status_code, Device.objects.get(serial="H-1").name) == (302, "Quay thermometer")


def test_a_location_offers_what_the_role_allows(world: World, member: Client) -> None:
    for role, offered in ((Role.VIEWER, set()), (Role.OPERATOR, {"statuses", "checkbox"})):
        Membership.objects.update(role=role)
        text = member.get("/locations/harbor/").content.decode()
        assert set(re.findall(r"new-device|statuses|checkbox", text)) == offered


def test_what_another_person_changed_meanwhile_stays(world: World, staff: Client) -> None:
    opened = fields_of(staff)
    staff.post("/devices/H-1/change/", fields_of(staff) | {"name": "Pier"})
    staff.post("/devices/H-1/change/", opened | {"status": "offline"})
    found = Device.objects.get(serial="H-1")
    assert (found.name, found.status) == ("Pier", "offline")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("name", ""),
        ("status", "asleep"),
        ("metric", "rain"),  # of a thermometer
        ("installed", "yesterday"),
        ("location", "nowhere"),
        ("notes", "x" * 2_001),
        ("metadata", "[]"),
        ("metadata", '{"a": NaN}'),
        ("metadata", '{"a": "\\u0000"}'),
        ("metadata", '{"a": "\\ud800"}'),
        ("metadata", "[" * 16_000),
        ("metadata", "firmware 2"),
    ],
)
def test_a_fault_stands_at_its_field(world: World, staff: Client, field: str, value: str) -> None:
    answer = staff.post("/devices/H-1/change/", fields_of(staff) | {field: value})
    assert answer.status_code == 422
    assert list(answer.context["form"].errors) == [field]
    assert f'id="id_{field}_error"' in answer.content.decode()


def test_a_text_that_only_looks_like_a_nul_is_stored(world: World, staff: Client) -> None:
    staff.post("/devices/H-1/change/", fields_of(staff) | {"metadata": json.dumps({"path": r"C:\u0000"})})
    assert Device.objects.get(serial="H-1").metadata == {"path": r"C:\u0000"}


def test_a_device_is_added_once(world: World, staff: Client) -> None:
    assert staff.post("/locations/harbor/new-device/", NEW).url == "/devices/N-1/"
    assert b"Jetty barometer" in staff.get("/locations/harbor/").content
    again = staff.post("/locations/harbor/new-device/", NEW)
    assert (again.status_code, list(again.context["form"].errors)) == (422, ["serial"])


def test_a_device_moves_only_to_where_its_manager_manages(world: World, member: Client) -> None:
    Membership.objects.update(role=Role.MANAGER)
    Membership.objects.create(user=world.member, location=world.ridge, role=Role.OPERATOR)
    refused = member.post("/devices/H-1/change/", fields_of(member) | {"location": "ridge"})
    assert list(refused.context["form"].errors) == ["location"]
    Membership.objects.update(role=Role.MANAGER)
    assert member.post("/devices/H-1/change/", fields_of(member) | {"location": "ridge"}).status_code == 302
    assert Location.objects.get(devices__serial="H-1") == world.ridge


def test_many_devices_are_given_a_status_and_the_list_stays_as_it_was(world: World, member: Client) -> None:
    add_device(world.harbor, "H-2", "Second")
    data = {"serial": ["H-1", "R-1", "X-9", "\0"], "status": "maintenance", "query": "sort=-name&kind=thermometer"}
    assert member.post("/locations/harbor/statuses/", data).url == "/locations/harbor/?sort=-name&kind=thermometer"
    statuses = dict(Device.objects.values_list("serial", "status"))
    assert statuses == {"H-1": "maintenance", "H-2": "active", "R-1": "active"}
    page = member.get("/locations/harbor/").content.decode()
    assert "1 device has another status now: in maintenance." in page
    assert 'value="H-2" form="bulk"' in page


@pytest.mark.parametrize("data", [{}, {"serial": ["H-1"]}, {"serial": ["H-1"], "status": "x"}, {"status": "active"}])
def test_a_choice_that_is_none_changes_nothing(member: Client, data: dict[str, Any]) -> None:
    assert member.post("/locations/harbor/statuses/", data).url == "/locations/harbor/"
    assert Device.objects.get(serial="H-1").status == "active"
    assert b"Tick the devices" in member.get("/locations/harbor/").content


@pytest.mark.parametrize("path", ["/admin/", "/admin/login/", "/admin/devices/device/", "/admin/cacheops/panel/"])
def test_who_is_no_administrator_is_told_so(path: str, member: Client) -> None:
    answer = member.get(path)
    assert answer.status_code == 403
    assert b"The administration is for staff" in answer.content
    assert b"password" not in answer.content
    assert Client().get(path, follow=True).status_code == 200
