"""Read your own writes: pages and the API of a region whose replica stands still."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest
from django.core.cache import cache
from django.core.signing import TimestampSigner
from django.db import OperationalError, connections
from django.shortcuts import redirect
from django.test import Client

from cacheops import position
from cacheops.instrumentation.counters import counters
from cacheops.regions.database_away import away_databases, is_away
from cacheops.regions.lag import lag_meter
from cacheops.regions.position import Position
from devices.models import Device, Kind
from locations.models import Location
from tests.cacheops.orm import conftest as orm
from tests.replica import catch_up, follow, pause, resume
from tests.testapp.cached import statements
from tests.waiting import until
from users.models import ApiToken, User
from xyzsite.localregions import ports
from xyzsite.positions import COOKIE, HEADER, signer
from xyzsite.replica import replica_gauges

pytestmark = [pytest.mark.servers, pytest.mark.django_db]
_django_db_helper = orm._django_db_helper  # every write is committed

DETAILS = {"action": "details", "last_name": "Li", "email": "ann@example.com", "home_region": "us-east-1"}


@pytest.fixture
def ann(_django_db_helper: None, settings: Any) -> Iterator[User]:
    settings.CACHEOPS_MAX_LAG = 3600  # however long a test takes
    cache.clear()
    user = User.objects.create_user("ann", first_name="Ann", is_staff=True)
    yield user
    Device.objects.all().delete()
    Location.objects.all().delete()
    user.delete()


@pytest.fixture
def browsers(ann: User, far: str) -> list[Client]:
    """Return two browsers in which she is signed in. Nothing carries a position yet."""
    found = [Client(), Client()]
    for client in found:
        client.force_login(ann)
    return found


@pytest.fixture
def renamed(browsers: list[Client], lagging: str) -> list[Client]:
    """Change her name in the first browser, while the replica stands still."""
    assert browsers[0].post("/profile/", DETAILS | {"first_name": "Nova"}).status_code == 302
    return browsers


def shows(client: Any, name: str, **headers: str) -> bool:
    return f'value="{name}"' in client.get("/profile/", headers=headers).content.decode()


def name_of_device(client: Any, **headers: str) -> str:
    return client.get("/api/devices", headers=headers).json()["items"][0]["name"]


def counted(what: str) -> int:
    return counters.totals().get("e|position", {}).get(what, 0)


def test_a_browser_sees_its_own_write_at_any_lag_and_another_one_does_not(renamed, lagging):
    own, other = renamed
    assert shows(own, "Nova")
    assert shows(other, "Ann")  # the replica is read

    session_only = Client()  # the region knows the session's position: a response that comes late takes none back
    session_only.cookies = own.cookies.copy()
    del session_only.cookies[COOKIE]
    assert shows(session_only, "Nova")

    cache.clear()  # as in another region, where the cookie tells
    assert shows(own, "Nova")


def test_once_the_replica_has_it_the_primary_is_not_asked(renamed, lagging):
    resume(lagging)
    catch_up(lagging)
    renamed[0].get("/profile/")  # its message, which is shown once, is in the session
    with statements("default") as primary, statements(lagging) as replica:
        assert shows(renamed[0], "Nova")
    assert not [sql for sql in primary if "users_user" in sql]
    assert [sql for sql in replica if "users_user" in sql]


def test_what_nobody_has_signed_lately_is_ignored_and_counted(renamed, monkeypatch):
    other = renamed[1]
    newest = position()
    old = TimestampSigner(salt=signer.salt)
    monkeypatch.setattr(old, "timestamp", lambda: "1")
    others = Position(newest.system, newest.timeline - 1, newest.lsn)
    for text, what in (
        (str(newest), "unsigned"),
        (signer.sign(str(newest))[:-1], "unsigned"),
        (old.sign(str(newest)), "old"),
        (signer.sign(str(others)), "other_history"),
    ):
        before = counted(what)
        assert shows(other, "Ann", **{HEADER: text})
        assert counted(what) == before + 1
    assert shows(other, "Nova", **{HEADER: f"{signer.sign(str(others))}, {signer.sign(str(newest))}"})
    assert shows(other, "Nova", **{HEADER: signer.sign("unknown")})


def test_a_program_sends_back_what_it_was_given(ann, far):
    program = Client(headers={"Authorization": f"Bearer {ApiToken.issue(ann, 'test')[1]}"})
    place = Location.objects.create(name="Harbor", code="harbor")
    Device.objects.create(location=place, serial="H-1", name="One", kind=Kind.THERMOMETER, metric="rain")
    program.get("/api/me")  # when the token was last used is written once a minute
    pause(far)
    answer = program.patch("/api/devices/H-1", {"name": "Two"}, content_type="application/json")
    program.cookies.clear()
    assert name_of_device(program) == "One"
    assert name_of_device(program, **{HEADER: answer[HEADER]}) == "Two"


def test_a_request_that_fails_carries_the_position_of_what_it_has_committed(browsers, monkeypatch):
    def fails(*args: Any) -> None:
        User.objects.update(first_name="Nova")
        raise RuntimeError

    monkeypatch.setattr("xyzsite.web.overview.overview_of", fails)
    own = browsers[0]
    own.raise_request_exception = False
    assert own.get("/").status_code == 500
    assert Position.parse(signer.unsign(own.cookies[COOKIE].value)) <= position()


@pytest.fixture
def lost(far: str, monkeypatch: Any) -> Iterator[str]:
    """Lose the replica that was well a moment ago."""
    monkeypatch.setattr("cacheops.regions.lag.FRESH_SECONDS", 3600)
    follow(far)
    known = connections[far].settings_dict
    connections[far].close()
    with monkeypatch.context() as moved:
        moved.setitem(known, "PORT", ports.choose(["nobody"], {})["nobody"])
        yield far
        connections[far].close()


@pytest.mark.parametrize("path", ["/profile/", "/api/devices"])
def test_what_a_lost_replica_does_not_answer_is_read_from_the_primary(browsers, lost, path):
    page = browsers[0].get(path)
    assert page.status_code == 200
    assert not lag_meter.last()[lost].is_known  # the process's next reads do not try it


def test_a_replica_at_the_primarys_address_is_no_database(far, monkeypatch):
    connections[far].close()
    with monkeypatch.context() as moved:
        moved.setitem(connections[far].settings_dict, "OPTIONS", connections["default"].settings_dict["OPTIONS"])
        with pytest.raises(OperationalError, match="standby") as caught:
            connections[far].ensure_connection()
    assert is_away(caught.value)


def test_a_replica_that_is_too_far_behind_is_told_of_and_not_read(browsers, far, settings):
    settings.CACHEOPS_MAX_LAG = 0.001
    pause(far)
    User.objects.update(first_name="Nova")  # by nobody who reads
    until(lambda: lag_meter.measure(far, "default").bytes, "it lacks something")
    page = browsers[1].get("/profile/")
    assert 'value="Nova"' in page.content.decode()
    assert re.search(r', replica(;dur=\d+)?;desc="\d+ bytes behind"', page["Server-Timing"])
    assert re.search(r"<span>replica (far|[\d.]+ s) behind</span>", page.content.decode())
    health = browsers[1].get("/healthz")
    assert (health.status_code, health.json()["status"], health.json()["ready"]) == (200, "lagging", True)
    settings.XYZ_LAG_FAILS_HEALTH = True
    assert browsers[1].get("/healthz").status_code == 503
    assert replica_gauges()["up"] == 1
    assert replica_gauges()["lag_bytes"] > 0
    resume(far)
    catch_up(far)
    assert browsers[1].get("/healthz").json()["status"] == "ok"


def test_what_is_posted_is_checked_by_the_replica_while_the_primary_is_away(ann, far, settings, monkeypatch):
    settings.CACHEOPS_WHEN_DATABASE_AWAY = "serve"
    headers = {"Authorization": f"Bearer {ApiToken.issue(ann, 'test')[1]}"}
    place = Location.objects.create(name="Harbor", code="harbor")
    Device.objects.create(location=place, serial="H-1", name="One", kind=Kind.THERMOMETER, metric="temperature")

    def post() -> int:  # here no region buffers it, nor follows the replica
        reading = {"value": 1.0, "taken_at": "2026-11-01T12:00:00Z"}
        device = Client(headers=headers)  # it keeps no cookies
        return device.post("/api/devices/H-1/readings", reading, content_type="application/json").status_code

    with statements(far) as asked:
        assert post() == 201
    assert not [sql for sql in asked if "users_apitoken" in sql]
    follow(far)
    connections["default"].close()
    with no_primary(monkeypatch):
        with statements(far) as asked:
            assert post() == 503  # it finds it out, and asks the replica all the same
        assert [sql for sql in asked if "users_apitoken" in sql]
    connections["default"].close()
    until(lambda: post() == 200 and not away_databases.is_away("default"), "it answers, and is asked")


@contextmanager
def no_primary(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Have nobody answer a new connection to the primary."""
    with monkeypatch.context() as patch:
        patch.setitem(connections["default"].settings_dict, "HOST", "127.0.0.1")
        patch.setitem(connections["default"].settings_dict, "PORT", str(ports.choose(["nobody"], {})["nobody"]))
        yield
    connections["default"].close()


@pytest.mark.parametrize("is_committed", [False, True])
def test_who_has_tried_to_write_reads_as_others_do_while_the_primary_is_away_unless_it_may_be_committed(
    browsers: list[Client], far: str, settings: Any, monkeypatch: pytest.MonkeyPatch, is_committed: bool
) -> None:
    settings.CACHEOPS_WHEN_DATABASE_AWAY = "serve"
    follow(far)
    own, other = browsers
    primary: Any = connections["default"]

    def rename(*args: Any) -> Any:
        User.objects.update(first_name="Nova")
        return redirect("profile")

    def lose(execute: Any, sql: str, *arguments: Any) -> Any:
        if sql.startswith("UPDATE") and not is_committed:
            primary.connection.close()
        return execute(sql, *arguments)

    def commit() -> None:
        type(primary)._commit_driver(primary)
        primary.connection.close()
        raise OperationalError("the connection is lost") from psycopg.OperationalError()

    with no_primary(monkeypatch), primary.execute_wrapper(lose), monkeypatch.context() as patch:
        patch.setattr("xyzsite.web.account.save_details", rename)
        if is_committed:
            patch.setattr(primary, "_commit_driver", commit)
        assert own.post("/profile/", DETAILS | {"first_name": "Nova"}).status_code == 503
        assert (COOKIE in own.cookies) is is_committed
        assert own.get("/profile/").status_code == (503 if is_committed else 200)
        assert other.get("/profile/").status_code == 200
    until(lambda: own.get("/profile/").status_code == 200, "it answers")
    assert shows(own, "Nova") is is_committed
