"""Readings through the API, the buffer and a worker; what of them is seen when, and which entries a flush touches."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import connection
from django.db.models import Avg
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from cacheops.patterns.write_behind.cache import dead_letters
from cacheops.patterns.write_behind.worker import Flusher
from cacheops.regions import regions
from devices.buffering import reading_buffer
from devices.models import Device, Reading
from tests.testapp.cached import is_hit
from xyzsite.demo.load.world import World, make_world, remove_world

pytestmark = pytest.mark.django_db
HOUR = timedelta(hours=1)
START = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.fixture
def _django_db_helper(django_db_setup: None, django_db_blocker: Any) -> Iterator[None]:
    """Let commits happen, without the flush of all tables that pytest-django pays for it: what is made is removed."""
    with django_db_blocker.unblock():
        yield


@pytest.fixture
def world(_django_db_helper: None, region: str, settings: Any) -> Iterator[World]:
    settings.CACHEOPS_FLUSH_SECONDS = 3600
    settings.CACHEOPS_FLUSH_RETRY_SECONDS = 0
    yield make_world(2)
    remove_world()
    dead_letters().delete()


@pytest.fixture
def worker(world: World) -> Flusher:
    flusher = Flusher(reading_buffer)
    flusher.flush_due()
    return flusher


def call(world: World, method: str, path: str, body: Any = None) -> Any:
    headers = {"Authorization": f"Bearer {world.token}"}
    response: Any = Client().generic(
        method, f"/api{path}", json.dumps(body) if body else "", "application/json", headers=headers
    )
    response.document = json.loads(response.content)
    return response


def post(world: World, value: float, taken_at: datetime, serial: str = "LOAD-0000") -> Any:
    return call(world, "POST", f"/devices/{serial}/readings", {"value": value, "taken_at": taken_at.isoformat()})


def shown(world: World) -> float | None:
    return call(world, "GET", "/devices/LOAD-0000").document["current_value"]


def listed(world: World) -> list[float]:
    return [one["value"] for one in call(world, "GET", "/devices/LOAD-0000/readings").document["items"]]


def test_an_accepted_reading_is_the_devices_value_at_once_and_listed_when_it_is_stored(
    world: World, worker: Flusher
) -> None:
    response = post(world, 21.5, START)
    assert (response.status_code, response.document["result"]) == (202, "accepted")
    assert post(world, 19.0, START - HOUR).status_code == 202  # it comes late, and is not the newest
    assert (shown(world), listed(world)) == (21.5, [])
    assert worker.flush_all() == 2
    assert (shown(world), listed(world)) == (21.5, [21.5, 19.0])
    device = Device.objects.get(serial="LOAD-0000")
    assert (device.current_value, device.last_seen) == (21.5, START)


def browse(world: World, address: str) -> tuple[Any, int]:
    """Return what a page shows, and how many queries it makes."""
    with CaptureQueriesContext(connection) as queries:
        answer = Client(headers={"Cookie": world.cookie}).get(address)
    assert answer.status_code == 200
    return answer.context, len(queries)


def test_the_overview_and_lists_show_accepted_readings_before_they_are_stored(world: World, worker: Flusher) -> None:
    for address in ("/", "/locations/load-test/"):
        browse(world, address), browse(world, address)
    now = timezone.now()
    post(world, 21.5, now), post(world, 19.0, now, "LOAD-0001"), post(world, 99.0, now - HOUR)

    overview, queries = browse(world, "/")
    (place,) = [one for region in overview["overview"].regions for one in region.locations if one.code == "load-test"]
    assert (place.values, place.counts.last_seen, queries) == ({"temperature": 20.25}, now, 0)
    location, queries = browse(world, "/locations/load-test/")
    assert [value for _, value in location["values"]] == [20.25]
    assert (location["last_seen"], queries) == (now, 0)
    shown = [(device.current_value, device.last_seen) for device in location["page"]]
    assert shown == [(21.5, now), (19.0, now)]
    part = Client(headers={"Cookie": world.cookie, "HX-Request": "true"}).get("/locations/load-test/")
    assert [device.current_value for device in part.context["page"]] == [21.5, 19.0]
    listed = call(world, "GET", "/devices?location=load-test").document["items"]
    assert [one["current_value"] for one in listed] == [21.5, 19.0]
    assert Device.objects.nocache().get(serial="LOAD-0000").current_value is None

    worker.flush_all()
    overview, _ = browse(world, "/")
    (place,) = [one for region in overview["overview"].regions for one in region.locations if one.code == "load-test"]
    assert place.values == {"temperature": 20.25}


def test_a_page_of_many_devices_asks_for_their_newest_readings_once(
    world: World, worker: Flusher, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []
    newest_many = reading_buffer.newest_many

    def counted(names: list[str]) -> Any:
        asked.append(len(names))
        return newest_many(names)

    monkeypatch.setattr(reading_buffer, "newest_many", counted)
    browse(world, "/locations/load-test/")
    assert asked == [2]


def test_a_reading_sent_again_is_stored_once_and_has_one_id(world: World, worker: Flusher) -> None:
    answers = [post(world, value, START).document for value in (21.5, 99.0)]
    assert answers[0] == answers[1]
    worker.flush_all()
    assert listed(world) == [21.5]


def test_without_a_worker_the_answer_says_stored(world: World) -> None:
    response = post(world, 21.5, START)
    assert (response.status_code, response.document["result"]) == (201, "stored")
    assert listed(world) == [21.5]


def test_many_readings_are_accepted_together(world: World, worker: Flusher) -> None:
    items = [
        {"serial": "LOAD-0001", "value": number, "taken_at": (START + number * HOUR).isoformat()} for number in range(5)
    ]
    response = call(world, "POST", "/readings", {"readings": items})
    ids = response.document.pop("ids")
    assert (response.status_code, response.document) == (202, {"accepted": 5, "stored": 0, "known": 0})
    assert len(set(ids)) == 5
    worker.flush_all()
    assert Reading.objects.filter(device__serial="LOAD-0001").count() == 5


def test_too_many_are_refused_with_a_time_to_come_back(world: World, settings: Any) -> None:
    settings.CACHEOPS_BUFFER_BOUND = 1
    Flusher(reading_buffer).flush_due()
    assert post(world, 1, START).status_code == 202
    response = post(world, 2, START + HOUR)
    assert (response.status_code, response.document["error"]["code"]) == (429, "too_many_requests")
    assert int(response.headers["Retry-After"]) > 0


def test_a_reading_of_a_device_that_is_gone_becomes_a_dead_letter(world: World, worker: Flusher) -> None:
    post(world, 1, START)
    post(world, 2, START, "LOAD-0001")
    Device.objects.filter(serial="LOAD-0000").delete()
    worker.flush_all()
    assert Reading.objects.filter(device__serial="LOAD-0001").count() == 1
    (letter,) = dead_letters()
    assert "There is no such device." in letter.reason


def mean(device: int, hour: int) -> Any:
    start = START + hour * HOUR
    rows = Reading.objects.filter(device_id=device, metric="temperature", taken_at__gte=start)
    return rows.filter(taken_at__lt=start + HOUR).aggregate(mean=Avg("value"))["mean"]


def test_a_flush_invalidates_the_buckets_that_it_writes_to_and_no_other(world: World, worker: Flusher) -> None:
    own, other = (device.id for device in world.devices)
    for hour in (0, 3):
        post(world, 10, START + hour * HOUR)
        post(world, 10, START + hour * HOUR, "LOAD-0001")
    worker.flush_all()
    buckets = {
        (device, hour): lambda device=device, hour=hour: mean(device, hour)
        for device in (own, other)
        for hour in (0, 3)
    }
    for bucket in buckets.values():
        for _ in range(2):
            assert bucket() == 10
        assert is_hit("default", bucket)
    post(world, 20, START + 3 * HOUR + timedelta(minutes=30))
    assert all(is_hit("default", bucket) for bucket in buckets.values())  # accepted, and nothing is touched yet
    worker.flush_all()
    hits = {name for name, bucket in buckets.items() if is_hit("default", bucket)}
    assert hits == {(own, 0), (other, 0), (other, 3)}
    assert mean(own, 3) == 15


def test_an_answer_that_may_lack_what_was_accepted_says_so(
    world: World, worker: Flusher, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert post(world, 21.5, START).status_code == 202
    breaker = regions.local.breaker
    monkeypatch.setattr(breaker, "pause", 3600.0)
    breaker.failed()
    try:
        assert not breaker.is_usable()
        answer = call(world, "GET", "/devices/LOAD-0000")
        assert answer.document["current_value"] is None
        assert "readings may be missing" in answer["Cache-Status"]
        page = Client(headers={"Cookie": world.cookie}).get("/devices/LOAD-0000/")
        assert "readings of the last minute may be missing" in page.content.decode()
    finally:
        breaker.reset()
    answer = call(world, "GET", "/devices/LOAD-0000")
    assert (answer.document["current_value"], answer.headers.get("Cache-Status")) == (21.5, None)
