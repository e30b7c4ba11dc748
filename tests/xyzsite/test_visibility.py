"""Who may see and change what, on every page and API route: from a cold and a warm cache, in both orders of people."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import pytest
from django.test import Client
from django.urls import URLPattern
from django.utils import timezone

from cacheops import invalidate_all
from devices.models import Device, Excursion, Kind, Reading, Threshold
from locations.models import Location, Membership, Role
from users.models import ApiToken, User
from xyzsite.api.application import api
from xyzsite.urls import urlpatterns

pytestmark = pytest.mark.django_db(transaction=True, databases="__all__")

numbers = count()


@dataclass
class Person:
    """A manager of one location, with a device there that has sent one reading."""

    user: User
    place: Location
    device: Device
    threshold: Threshold
    client: Client = field(default_factory=Client)  # signed in
    secret: str = ""  # of a token

    def __post_init__(self) -> None:
        self.client.force_login(self.user)
        self.secret = ApiToken.issue(self.user, "test")[1]

    def call(self, method: str, path: str, body: Any = None) -> Any:
        """Call the API with the token, or a page within the session."""
        data = "" if body is None else json.dumps(body)
        if not path.startswith("/api/"):
            return self.client.generic(method, path, data)
        headers = {"Authorization": f"Bearer {self.secret}"}
        return Client().generic(method, path, data, "application/json", headers=headers)

    @property
    def marks(self) -> set[bytes]:
        """What answers show of this person's things only."""
        texts = (self.place.name, self.place.code, self.device.name, self.device.serial, self.device.current_value)
        return {str(text).encode() for text in texts}


def person(username: str, place: str, device: str, value: float) -> Person:
    user = User.objects.create_user(username)
    location = Location.objects.create(name=place, code=place.lower())
    Membership.objects.create(user=user, location=location, role=Role.MANAGER)
    now = timezone.now()
    made = Device.objects.create(
        location=location,
        serial=device.upper(),
        name=device,
        kind=Kind.THERMOMETER,
        metric="temperature",
        current_value=value,
        last_seen=now,
    )
    Reading.objects.create(device=made, metric="temperature", value=value, unit="°C", taken_at=now)
    beyond = {"metric": "temperature", "bound": 0, "extreme": value, "began_at": now}
    threshold = Threshold.objects.create(location=location, metric="temperature", high=0)
    Excursion.objects.create(threshold=threshold, device=made, location=location, **beyond)
    return Person(user, location, made, threshold)


@pytest.fixture
def ann(db: None) -> Person:
    return person("ann", "Northpier", "Quay-1", 1117.25)  # no part of a time


@pytest.fixture
def bob(db: None) -> Person:
    return person("bob", "Highridge", "Peak-1", 1141.75)


POSTED = {"revoke_token", "change_statuses", "delete_threshold"}  # pages that only take forms


@dataclass(frozen=True)
class Route:
    """A route to somebody's things. `refused` is the status for all others; None where each is shown their own."""

    name: str  # a page's, or "METHOD path" of the API's document
    path: Callable[[Person], str]
    refused: int | None = None
    body: Callable[[Person], Any] = lambda owner: None

    @property
    def method(self) -> str:
        return self.name.split()[0] if " " in self.name else "POST" if self.name in POSTED else "GET"


def to_device(end: str = "") -> Callable[[Person], str]:
    return lambda owner: f"/api/devices/{owner.device.serial}{end}"


def token_to_revoke(owner: Person) -> str:
    return f"/profile/tokens/{ApiToken.issue(owner.user, 'lost')[0].pk}/revoke/"


def to_threshold(start: str, end: str = "") -> Callable[[Person], str]:
    return lambda owner: f"{start}/{owner.threshold.pk}{end}"


def to_unneeded_threshold(start: str, end: str = "") -> Callable[[Person], str]:
    """Return the path of one that may be deleted."""

    def path(owner: Person) -> str:
        Threshold.objects.filter(metric="pressure").delete()
        made = Threshold.objects.create(location=owner.place, metric="pressure", low=900)
        return f"{start}/{made.pk}{end}"

    return path


def new_threshold(owner: Person) -> dict[str, Any]:
    Threshold.objects.filter(metric="humidity").delete()
    return {"location": owner.place.code, "metric": "humidity", "high": 90}


def new_reading(owner: Person) -> dict[str, Any]:
    return {"value": owner.device.current_value, "taken_at": timezone.now().isoformat()}


def new_readings(owner: Person) -> dict[str, Any]:
    return {"readings": [new_reading(owner) | {"serial": owner.device.serial}]}


def new_device(owner: Person) -> dict[str, Any]:
    fields = {"name": "New", "kind": "barometer", "metric": "pressure"}
    return {"serial": f"NEW-{next(numbers)}", "location": owner.place.code, **fields}


ROUTES = [
    Route("overview", lambda owner: "/"),
    Route("locations", lambda owner: "/locations/"),
    Route("location", lambda owner: f"/locations/{owner.place.code}/", 404),
    Route("new_device", lambda owner: f"/locations/{owner.place.code}/new-device/", 404),
    Route("change_statuses", lambda owner: f"/locations/{owner.place.code}/statuses/", 404),
    Route("change_device", lambda owner: f"/devices/{owner.device.serial}/change/", 404),
    Route("device", lambda owner: f"/devices/{owner.device.serial}/", 404),
    Route("analytics", lambda owner: "/analytics/?metric=temperature"),
    Route("analytics_csv", lambda owner: "/analytics.csv?metric=temperature"),
    Route("thresholds", lambda owner: "/thresholds/"),
    Route("new_threshold", lambda owner: "/thresholds/new/"),
    Route("change_threshold", to_threshold("/thresholds", "/change/"), 404),
    Route("delete_threshold", to_unneeded_threshold("/thresholds", "/delete/"), 404),
    Route("profile", lambda owner: "/profile/"),
    Route("revoke_token", token_to_revoke, 404),
    Route("GET /api/me", lambda owner: "/api/me"),
    Route("GET /api/locations", lambda owner: "/api/locations"),
    Route("GET /api/locations/{code}", lambda owner: f"/api/locations/{owner.place.code}", 404),
    Route("GET /api/devices", lambda owner: "/api/devices"),
    Route("GET /api/devices", lambda owner: f"/api/devices?location={owner.place.code}", 422),
    Route("POST /api/devices", lambda owner: "/api/devices", 422, new_device),
    Route("GET /api/devices/{serial}", to_device(), 404),
    Route("PATCH /api/devices/{serial}", to_device(), 404, lambda owner: {"name": owner.device.name}),
    Route("GET /api/devices/{serial}/readings", to_device("/readings"), 404),
    Route("POST /api/devices/{serial}/readings", to_device("/readings"), 404, new_reading),
    Route("POST /api/readings", lambda owner: "/api/readings", 422, new_readings),
    Route("GET /api/thresholds", lambda owner: "/api/thresholds"),
    Route("POST /api/thresholds", lambda owner: "/api/thresholds", 422, new_threshold),
    Route("GET /api/thresholds/{id}", to_threshold("/api/thresholds"), 404),
    Route("PATCH /api/thresholds/{id}", to_threshold("/api/thresholds"), 404, lambda owner: {"high": 0}),
    Route("DELETE /api/thresholds/{id}", to_unneeded_threshold("/api/thresholds"), 404),
    Route("GET /api/excursions", lambda owner: "/api/excursions"),
    Route("GET /api/excursions", lambda owner: f"/api/excursions?location={owner.place.code}", 422),
    Route("GET /api/analytics", lambda owner: "/api/analytics?metric=temperature"),
    Route("GET /api/analytics", lambda owner: f"/api/analytics?metric=temperature&location={owner.place.code}", 422),
]
OPEN = {"sign_in", "sign_out", "healthz", "healthz_live", "metrics"}  # show nobody's things


def test_every_page_and_operation_is_listed() -> None:
    pages = {str(pattern.name) for pattern in urlpatterns if isinstance(pattern, URLPattern)}
    paths = api.get_openapi_schema()["paths"]
    operations = {f"{method.upper()} {path}" for path, methods in paths.items() for method in methods}
    assert {route.name for route in ROUTES} == pages - OPEN | operations


@pytest.mark.parametrize("first", ["ann", "bob"])
@pytest.mark.parametrize("route", ROUTES, ids=lambda route: route.name)
def test_people_see_their_own_only(route: Route, first: str, ann: Person, bob: Person) -> None:
    people = (ann, bob) if first == "ann" else (bob, ann)
    invalidate_all()
    for _ in ("cold, or filled by the other", "warm"):
        for reader, other in (people, people[::-1]):
            own = reader.call(route.method, route.path(reader), route.body(reader))
            assert own.status_code < 400
            assert not [mark for mark in other.marks if mark in own.content]
            if route.method == "GET":
                assert [mark for mark in reader.marks if mark in own.content]
            if route.refused:
                refused = reader.call(route.method, route.path(other), route.body(other))
                assert refused.status_code == route.refused
                repeated = {other.place.code.encode(), other.device.serial.encode()}  # what the caller has sent
                assert not [mark for mark in other.marks - repeated if mark in refused.content]


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: route.name)
def test_strangers_see_nothing(route: Route, ann: Person) -> None:
    path, body = route.path(ann), json.dumps(route.body(ann))
    ann.call(route.method, path, route.body(ann))  # fills the cache
    answer = Client().generic(route.method, path, body, "application/json")
    assert answer.status_code == (401 if path.startswith("/api/") else 302)
    assert not [mark for mark in ann.marks if mark in answer.content and mark.decode() not in path]


@pytest.mark.parametrize("state", ["cold", "warm"])
def test_a_device_moves_only_to_where_its_manager_manages(state: str, ann: Person, bob: Person) -> None:
    membership = Membership.objects.create(user=ann.user, location=bob.place, role=Role.OPERATOR)
    move = ("PATCH", f"/api/devices/{ann.device.serial}", {"location": bob.place.code})
    for _ in range(2):
        if state == "cold":
            invalidate_all()
        refused = ann.call(*move)
        assert refused.status_code == 403
        assert "role manager at Highridge; you are operator" in refused.json()["error"]["message"]
    Membership.objects.filter(pk=membership.pk).update(role=Role.MANAGER)
    assert ann.call(*move).json()["location"]["code"] == bob.place.code


@pytest.mark.parametrize(
    "path", ["/devices/QUAY-1/", "/locations/northpier/", "/api/devices/QUAY-1", "/api/locations/northpier"]
)
def test_a_membership_that_begins_and_ends_counts_from_the_next_read(path: str, ann: Person, bob: Person) -> None:
    for _ in range(2):
        assert [who.call("GET", path).status_code for who in (ann, bob, ann, bob)] == [200, 404, 200, 404]
        membership = Membership.objects.create(user=bob.user, location=ann.place, role=Role.VIEWER)
        assert [who.call("GET", path).status_code for who in (bob, ann)] == [200, 200]
        membership.delete()


def test_a_device_that_moves_is_hidden_from_whom_it_leaves(ann: Person, bob: Person) -> None:
    path = f"/devices/{ann.device.serial}/"
    assert [who.call("GET", path).status_code for who in (ann, bob)] == [200, 404]
    Device.objects.filter(pk=ann.device.pk).update(location=bob.place)
    assert [who.call("GET", path).status_code for who in (ann, bob)] == [404, 200]
