"""Sessions come back into a region that has lost its cache, and ended ones do not."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import environ
import pytest
from django.contrib.sessions.models import Session
from django.core.cache import caches
from django.core.management import call_command
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from cacheops import sessions
from cacheops.regions import regions
from cacheops.regions.elsewhere import elsewhere
from cacheops.sessions import SessionStore
from cacheops.warming import fanout as warming_crew
from cacheops.warming.fanout import RegionFanout
from cacheops.warming.replica import Source
from cacheops.warming.sessions import PeoplesSessions, sessions_of
from tests.cacheops.sessions.conftest import REGIONS, held_in_every_region
from users.models import User
from xyzsite.settings.regions import caches_from_environment

pytestmark = pytest.mark.django_db


@pytest.fixture
def session_key(user: User) -> str:
    """Return the session of somebody who has signed in."""
    client = Client()
    client.force_login(user)
    return str(client.cookies["sessionid"].value)


def lose(names: Sequence[str] = REGIONS) -> None:
    elsewhere.wait()  # what regions are told of later would be there again
    for name in names:
        caches[name].clear()


def warm(user: User, names: Sequence[str] = REGIONS) -> RegionFanout:
    fanout = RegionFanout(names, Source("default", None))
    for task in sessions_of([user.pk]):
        task.warm(fanout)
    fanout.close()
    return fanout


def after_reading(monkeypatch: pytest.MonkeyPatch, act: Callable[[], None]) -> None:
    """Let something happen between the reading of sessions from the database and their storing."""
    make = PeoplesSessions.make

    def made(self: PeoplesSessions, keys: Sequence[str]) -> Mapping[str, Any]:
        found = make(self, keys)
        act()
        return found

    monkeypatch.setattr(PeoplesSessions, "make", made)


@pytest.mark.django_db(transaction=True, databases="__all__")
def test_the_first_page_after_a_loss_makes_no_query(region: str, user: User, session_key: str) -> None:
    call_command("invalidate", "all")
    lose([region])
    call_command("warm_cache", verbosity=0)
    client = Client()
    client.cookies["sessionid"] = session_key
    for address in ("/", "/locations/"):
        with CaptureQueriesContext(connection) as queries:
            assert client.get(address).status_code == 200
        assert [query["sql"] for query in queries] == []


def test_all_regions_get_sessions_from_one_reading(
    user: User, session_key: str, django_assert_num_queries: Any
) -> None:
    lose()
    with django_assert_num_queries(3):  # their keys, their data, and whether they are still there
        fanout = warm(user)
    key = sessions.cache_key(session_key)
    assert [held["data"]["_auth_user_id"] for held in held_in_every_region(key)] == [str(user.pk)] * 3
    assert [fanout.outcomes[name].warmed for name in REGIONS] == [1] * 3
    assert [warm(user).outcomes[name].already_warm for name in REGIONS] == [1] * 3


def test_a_newer_session_and_the_mark_of_an_ended_one_stay(user: User, session_key: str) -> None:
    key = sessions.cache_key(session_key)
    newer = sessions.entry_of({"newer": True}, 2e9)
    caches["us-west-2"].set(key, newer, 60)
    caches["us-east-2"].set(key, sessions.GONE, 60)
    warm(user)
    assert caches["us-west-2"].get(key) == newer
    assert caches["us-east-2"].get(key) == sessions.GONE


@pytest.mark.parametrize("lost", [False, True], ids=["marked", "and the mark is lost"])
def test_a_session_that_ends_meanwhile_does_not_come_back(
    user: User, session_key: str, monkeypatch: pytest.MonkeyPatch, lost: bool
) -> None:
    def end() -> None:
        SessionStore(session_key).delete()
        if lost:
            lose()

    lose()
    after_reading(monkeypatch, end)
    warm(user)
    assert held_in_every_region(sessions.cache_key(session_key)) == [sessions.GONE] * 3
    assert SessionStore(session_key).load() == {}


def test_a_session_that_is_written_meanwhile_is_not_served_as_it_was(
    user: User, session_key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def write() -> None:
        session = SessionStore(session_key)
        session["colour"] = "green"
        session.save()

    lose()
    after_reading(monkeypatch, write)
    warm(user)
    for held in held_in_every_region(sessions.cache_key(session_key)):
        assert held is None or held["data"]["colour"] == "green"
    assert SessionStore(session_key).load()["colour"] == "green"


def test_a_session_that_is_written_and_then_ends_does_not_come_back(
    user: User, session_key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The write is corrected by a delete, which takes the mark of the end along."""
    check = PeoplesSessions.check

    def write() -> None:
        Session.objects.filter(pk=session_key).update(session_data="")

    def checked(self: PeoplesSessions, keys: Sequence[str]) -> Any:
        found = check(self, keys)
        SessionStore(session_key).delete()
        return found

    lose()
    after_reading(monkeypatch, write)
    monkeypatch.setattr(PeoplesSessions, "check", checked)
    warm(user)
    assert held_in_every_region(sessions.cache_key(session_key)) == [sessions.GONE] * 3


def test_only_sessions_that_live_are_restored(user: User, session_key: str) -> None:
    anonymous = SessionStore()
    anonymous["seen"] = "sign-in page"
    anonymous.save()
    Session.objects.filter(pk=session_key).update(expire_date="2020-01-01T00:00Z")
    assert list(sessions_of([user.pk])) == []
    assert list(sessions_of([])) == []


def test_other_engines_keep_their_sessions(user: User, session_key: str, settings: Any) -> None:
    settings.SESSION_ENGINE = "django.contrib.sessions.backends.db"
    assert list(sessions_of([user.pk])) == []


def test_a_region_that_is_away_is_counted_and_the_others_are_filled(
    breakable_regions: Any, settings: Any, user: User, session_key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    env = environ.Env()
    env.ENVIRON = breakable_regions.environment("us-east-1")
    settings.CACHES = caches_from_environment(env, "us-east-1")
    monkeypatch.setattr(warming_crew, "PATIENCE_SECONDS", 0.0)
    lose()
    for row in breakable_regions.status():
        if row["region"] == "us-west-2":
            breakable_regions.pause(row["node"])
    regions.reset()
    found = warm(user).outcomes
    assert [(found[name].warmed, found[name].failed) for name in REGIONS] == [(1, 0), (0, 1), (1, 0)]
