"""Thresholds are set on the pages and by the API: by whom, and what becomes of what lasts."""

import json
import re
from datetime import timedelta
from itertools import product
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from cacheops import invalidate_all
from devices.models import Device, Excursion, Threshold
from devices.services import NewReading, record_readings
from locations.models import Location, Membership, Role
from tests.xyzsite.web.conftest import World
from users.models import User

FORM = {"metric": "temperature", "location": "harbor", "kind": "", "low": "", "high": "30", "notify": ""}


@pytest.fixture
def threshold(world: World) -> Threshold:
    return Threshold.objects.create(location=world.harbor, metric="pressure", low=900)


def call(client: Client, method: str, path: str, body: Any = None) -> Any:
    return client.generic(method, path, "" if body is None else json.dumps(body), "application/json")


def measure(device: Device, value: float) -> None:
    device.refresh_from_db()
    moment = max(timezone.now() - timedelta(minutes=9), device.last_seen or timezone.now()) + timedelta(seconds=1)
    record_readings([NewReading(device.pk, "temperature", value, moment)])


@pytest.mark.django_db(transaction=True, databases="__all__")
@pytest.mark.parametrize("order", [1, -1])
def test_managers_set_the_bounds_of_their_location_and_the_rest_reads(
    world: World, threshold: Threshold, order: int
) -> None:
    rain = {"metric": "rain", "location": "harbor", "high": 1}
    path, address = f"/thresholds/{threshold.pk}", f"/api/thresholds/{threshold.pk}"
    acts: list[tuple[str, Any]] = [
        ("reads", lambda client: client.get("/thresholds/")),
        ("reads", lambda client: client.get(address)),
        ("sets", lambda client: client.get("/thresholds/new/")),
        ("sets", lambda client: client.get(f"{path}/change/")),
        ("sets", lambda client: client.post("/thresholds/new/", FORM)),
        ("sets", lambda client: client.post(f"{path}/change/", FORM | {"metric": "pressure"})),
        ("sets", lambda client: call(client, "PATCH", address, {"high": 1100})),
        ("sets", lambda client: call(client, "POST", "/api/thresholds", rain)),
    ]
    people = {role: Client() for role in (Role.VIEWER, Role.OPERATOR, Role.MANAGER)}
    for role, client in people.items():
        user = User.objects.create_user(f"a-{role}")
        client.force_login(user)
        Membership.objects.create(user=user, location=world.harbor, role=role)
    for (kind, act), (_, role) in product(acts, product(("cold", "warm"), list(people)[::order])):
        Threshold.objects.exclude(pk=threshold.pk).delete()
        allowed = kind == "reads" or role is Role.MANAGER
        assert act(people[role]).status_code in ({200, 201, 302} if allowed else {403}), (kind, role)
    Membership.objects.update(role=Role.OPERATOR)
    assert {act(people[Role.MANAGER]).status_code for kind, act in acts if kind == "sets"} == {403}
    assert b"New threshold" not in people[Role.MANAGER].get("/thresholds/").content


def test_only_staff_set_the_bounds_of_all_locations(member: Client, staff: Client) -> None:
    Membership.objects.update(role=Role.MANAGER)
    assert list(member.post("/thresholds/new/", FORM | {"location": ""}).context["form"].errors) == ["location"]
    assert call(member, "POST", "/api/thresholds", {"metric": "rain", "high": 1}).status_code == 403
    assert staff.post("/thresholds/new/", FORM | {"location": ""}).status_code == 302
    (everywhere,) = Threshold.objects.all()
    assert everywhere.location is None
    assert member.get(f"/thresholds/{everywhere.pk}/change/").status_code == 403
    assert call(member, "DELETE", f"/api/thresholds/{everywhere.pk}").status_code == 403
    assert b"All" in member.get("/thresholds/").content


def test_the_list_leads_to_what_one_may_set_and_only_that_is_deleted(
    world: World, member: Client, staff: Client, threshold: Threshold
) -> None:
    everywhere = Threshold.objects.create(metric="rain", high=1)

    def links(client: Client) -> set[int]:
        return {int(pk) for pk in re.findall(r"/thresholds/(\d+)/change/", client.get("/thresholds/").content.decode())}

    assert (links(member), links(staff)) == (set(), {threshold.pk, everywhere.pk})
    assert member.post(f"/thresholds/{threshold.pk}/delete/").status_code == 403
    Membership.objects.update(role=Role.MANAGER)
    assert links(member) == {threshold.pk}
    assert member.post(f"/thresholds/{everywhere.pk}/delete/").status_code == 403
    assert Threshold.objects.count() == 2
    assert member.post(f"/thresholds/{threshold.pk}/delete/").status_code == 302
    assert Threshold.objects.get() == everywhere


def test_a_threshold_moves_only_to_where_its_manager_manages(
    world: World, member: Client, threshold: Threshold
) -> None:
    Membership.objects.update(role=Role.MANAGER)
    Membership.objects.create(user=world.member, location=world.ridge, role=Role.OPERATOR)
    address = f"/api/thresholds/{threshold.pk}"
    assert call(member, "PATCH", address, {"location": "ridge"}).status_code == 403
    assert call(member, "PATCH", address, {"location": None}).status_code == 403
    Membership.objects.update(role=Role.MANAGER)
    assert call(member, "PATCH", address, {"location": "ridge"}).json()["location"] == "ridge"


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"high": None}, "low"),
        ({"low": 31, "high": 30}, "high"),
        ({"kind": "barometer", "metric": "rain"}, "metric"),
        ({"location": "ridge"}, "location"),
        ({"notify": "owner"}, "notify"),
        ({"high": "30"}, "high"),
    ],
)
def test_what_can_not_be_a_bound_is_refused_at_its_field(member: Client, wrong: dict[str, Any], field: str) -> None:
    Membership.objects.update(role=Role.MANAGER)
    body = {"metric": "temperature", "location": "harbor", "high": 30} | wrong
    answer = call(member, "POST", "/api/thresholds", body)
    assert (answer.status_code, list(answer.json()["error"]["fields"])) == (422, [field])
    assert not Threshold.objects.exists()


def test_there_is_one_of_a_kind_metric_and_place(member: Client, staff: Client) -> None:
    body = {"metric": "temperature", "location": "harbor", "high": 30}
    made = call(staff, "POST", "/api/thresholds", body)
    assert made.json() == {"id": made.json()["id"], "kind": None, "low": None, "notify": None, "unit": "°C", **body}
    assert call(staff, "POST", "/api/thresholds", body).status_code == 409
    again = staff.post("/thresholds/new/", FORM)
    assert (again.status_code, again.context["form"].non_field_errors()) == (
        422,
        ["There is a threshold of this metric, kind and location: change that one."],
    )
    other = call(staff, "POST", "/api/thresholds", body | {"metric": "humidity"}).json()
    assert call(staff, "PATCH", f"/api/thresholds/{other['id']}", {"metric": "temperature"}).status_code == 409


@pytest.mark.django_db(transaction=True, databases="__all__")
@pytest.mark.parametrize("cold", [True, False])
def test_other_bounds_end_what_lasts_and_the_next_reading_is_judged_anew(
    world: World, member: Client, staff: Client, cold: bool
) -> None:
    pages = ("/", "/thresholds/", "/api/excursions")

    def seen(text: str) -> list[bool]:
        if cold:
            invalidate_all()
        return [text in client.get(page).content.decode() for page in pages for client in (member, staff)]

    assert not any(seen("33.0") + seen('"extreme": 33'))
    staff.post("/thresholds/new/", FORM)
    (threshold,) = Threshold.objects.all()
    measure(world.device, 33)
    assert seen("33.0") == [True] * 6
    staff.post(f"/thresholds/{threshold.pk}/change/", FORM | {"notify": "manager"})
    assert Excursion.objects.filter(ended_at=None).count() == 1  # the bounds are the same
    staff.post(f"/thresholds/{threshold.pk}/change/", FORM | {"high": "32"})
    assert not Excursion.objects.filter(ended_at=None).exists()
    measure(world.device, 33)
    assert [each.bound for each in Excursion.objects.filter(ended_at=None)] == [32]
    assert seen("bound 32.0")[:4] == [True] * 4
    staff.post(f"/thresholds/{threshold.pk}/delete/")
    assert not any(seen("bound 32.0"))
    assert call(staff, "GET", "/api/excursions").json() == {"items": []}


@pytest.mark.parametrize("aside", ["maintenance", "retired"])
@pytest.mark.parametrize("many", [True, False])
def test_a_device_that_is_put_aside_is_not_judged(world: World, staff: Client, aside: str, many: bool) -> None:
    Threshold.objects.create(location=world.harbor, metric="temperature", high=30)
    measure(world.device, 33)
    if many:
        staff.post("/locations/harbor/statuses/", {"serial": ["H-1"], "status": aside})
    else:
        call(staff, "PATCH", "/api/devices/H-1", {"status": aside})
    measure(world.device, 34)
    assert not Excursion.objects.filter(ended_at=None).exists()
    call(staff, "PATCH", "/api/devices/H-1", {"status": "active"})
    measure(world.device, 35)
    assert Excursion.objects.filter(ended_at=None).count() == 1


def test_a_location_of_nobody_else_is_not_offered(world: World, member: Client, staff: Client) -> None:
    Membership.objects.update(role=Role.MANAGER)
    Location.objects.create(name="Mill", code="mill")
    choices = [str(value) for value, _ in member.get("/thresholds/new/").context["form"].fields["location"].choices]
    assert choices == ["harbor"]
    assert b"All locations" in staff.get("/thresholds/new/").content
