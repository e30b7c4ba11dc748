"""The database that is lost while a page is made: after each of its queries, the page is whole, or none."""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest
from django.core.cache import caches
from django.db import OperationalError, connection
from django.test import Client

from cacheops import invalidate_all
from cacheops.regions.database_away import away_databases
from devices.models import Excursion, Threshold
from locations.models import Location, Membership, Role
from tests.xyzsite.web.conftest import World, add_device
from xyzsite.kept import TOKEN, kept_answers

pytestmark = pytest.mark.django_db(transaction=True)

PAGES = {
    "member": (
        "/",
        "/locations/",
        "/locations/harbor/",
        "/locations/yard-1/new-device/",
        "/devices/H-1/",
        "/devices/Y-1/change/",
        "/analytics/?range=24h&metric=temperature",
        "/analytics.csv?range=24h&metric=temperature",
        "/thresholds/",
        "/thresholds/new/",
        "/profile/",
        "/api/me",
        "/api/locations",
        "/api/devices",
        "/api/devices/H-1",
        "/api/devices/H-1/readings",
        "/api/analytics?metric=temperature",
    ),
    "staff": ("/", "/locations/harbor/", "/thresholds/", "/admin/", "/admin/devices/device/", "/admin/users/user/"),
}
FOOT = re.compile(rb"<span>us-east-1</span> <span>.*? ms</span>")


@contextmanager
def lost_after(queries: int, *, for_one: bool) -> Iterator[Callable[[], bool]]:
    """Have the database not answer the next query after so many, or none from then on; yield whether one came."""
    asked = 0

    def lose(execute: Any, *arguments: Any) -> Any:
        nonlocal asked
        asked += 1
        if asked == queries + 1 or (asked > queries and not for_one):
            raise OperationalError("the connection is lost") from psycopg.OperationalError()
        return execute(*arguments)

    with connection.execute_wrapper(lose):
        yield lambda: asked > queries
    away_databases.settings_changed()


def forget() -> None:
    invalidate_all()
    kept_answers.clear()
    for name in ("default", "parts"):
        caches[name].clear()


def asked_for(client: Client, page: str) -> tuple[int, bytes]:
    """Return the status of an answer, and what it shows but for the token of its forms and its foot."""
    answer: Any = client.get(page)
    content = b"".join(answer.streaming_content) if answer.streaming else answer.content
    return answer.status_code, FOOT.sub(b"", TOKEN.sub(b"", content))


@pytest.fixture
def full(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have something of everything that pages show, at a moment that stays."""
    monkeypatch.setattr("django.utils.timezone.now", lambda: world.now)
    bound = Threshold.objects.create(metric="temperature", high=10.0)
    for number in range(12):
        place = Location.objects.create(name=f"Yard {number}", code=f"yard-{number}", region="us-west-2")
        Membership.objects.create(user=world.member, location=place, role=Role.MANAGER)
        device = add_device(place, f"Y-{number}", "Gauge", current_value=99.0, last_seen=world.now)
        where = {"threshold": bound, "device": device, "location": place, "metric": "temperature"}
        Excursion.objects.create(**where, bound=10.0, extreme=99.0, began_at=world.now)
    world.staff.is_superuser = True
    world.staff.save()


@pytest.mark.usefixtures("full")
@pytest.mark.parametrize("for_one", [False, True], ids=["for good", "for one query"])
@pytest.mark.parametrize("who", PAGES)
def test_a_page_is_whole_or_none(who: str, for_one: bool, request: pytest.FixtureRequest) -> None:
    client: Client = request.getfixturevalue(who)
    broken = []
    for page in PAGES[who]:
        forget()
        whole = asked_for(client, page)
        assert whole[0] == 200
        queries, is_lost = 0, True
        while is_lost:
            forget()
            with lost_after(queries, for_one=for_one) as lost:
                answer = asked_for(client, page)
                is_lost = lost()
            if answer != whole and (answer[0] != 503 or not is_lost):
                broken.append((page, queries, answer[0]))
            queries += 1
        assert queries > 2, "it asked the database"
    assert not broken
