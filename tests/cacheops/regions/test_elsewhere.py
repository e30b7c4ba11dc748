"""Regions other than one's own and the primary's are told, and nobody waits for them."""

from collections.abc import Iterator
from functools import partial
from threading import Event
from typing import Any

import pytest
from django.contrib.sessions.models import Session
from django.core.cache import caches

from cacheops import cached, sessions
from cacheops.exceptions import StoreUnavailable
from cacheops.instrumentation.counters import counters
from cacheops.regions import Region, RegionHandler, regions
from cacheops.regions.elsewhere import elsewhere

HOME, FAR = "home", "far"


@pytest.fixture(autouse=True)
def two_regions(settings: Any) -> Iterator[None]:
    memory = {"BACKEND": "cacheops.backends.MemoryCache"}
    settings.CACHES = {
        **settings.CACHES,
        **{name: {**memory, "LOCATION": name} for name in (HOME, FAR)},
        "default": {**memory, "LOCATION": HOME},
    }
    settings.CACHEOPS_REGIONS = {"default": (HOME,), "other": (HOME,), "replica": (FAR,)}
    settings.CACHEOPS_FOLLOWERS = {"replica": "default"}
    settings.CACHEOPS_LOCAL_REGION = HOME
    yield
    elsewhere.wait()


@pytest.fixture
def far_is_slow() -> Iterator[Event]:
    """Have the other region do nothing until the event is set."""
    answers = Event()
    elsewhere.tell(FAR, partial(answers.wait, 20))  # a test that hangs fails, in the end
    yield answers
    answers.set()


def test_an_invalidation_does_not_wait_for_a_region_that_follows(far_is_slow: Event) -> None:
    told: list[str] = []

    def act(region: Region) -> int:
        told.append(region.name)
        return 1

    assert regions.invalidate(act) == 1
    assert told == [HOME]
    far_is_slow.set()
    elsewhere.wait()
    assert told == [HOME, FAR]


def test_one_that_caches_the_primary_is_waited_for_and_named(settings: Any) -> None:
    def act(region: Region) -> int:
        if region.name == FAR:
            raise StoreUnavailable("away")
        return 1

    assert regions.invalidate(act) == 1
    settings.CACHEOPS_REGIONS = (HOME, FAR)
    with pytest.raises(StoreUnavailable, match=r"invalidation: far \(away\)"):
        regions.invalidate(act)


@pytest.mark.django_db
def test_who_signs_out_does_not_wait_for_other_regions(far_is_slow: Event) -> None:
    session = sessions.SessionStore()
    session["_auth_user_id"] = "7"
    session.create()
    key = sessions.cache_key(str(session.session_key))
    entry = caches[HOME].get(key)
    caches[FAR].set(key, entry)
    session.delete()
    assert (caches[HOME].get(key), caches[FAR].get(key)) == (sessions.GONE, entry)
    far_is_slow.set()
    elsewhere.wait()
    assert caches[FAR].get(key) == sessions.GONE


@pytest.mark.django_db
def test_other_regions_hear_of_a_session_in_the_order_of_what_was_done(far_is_slow: Event) -> None:
    session = sessions.SessionStore()
    session["_auth_user_id"] = "4711"
    session.create()
    session["more"] = 1
    session.save()
    assert sessions.end_sessions_of(4711) == 1
    assert not Session.objects.filter(pk=session.session_key).exists()
    far_is_slow.set()
    elsewhere.wait()
    assert caches[FAR].get(sessions.cache_key(str(session.session_key))) == sessions.GONE


def test_what_is_too_much_for_a_region_that_hangs_is_left_out_said_once_and_made_up_for(
    far_is_slow: Event, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("cacheops.regions.elsewhere.MAX_WAITING", 3)
    before = counters.totals().get("e|left_out", {}).get(FAR, 0)
    done: list[str] = []
    told = [elsewhere.tell(FAR, partial(done.append, str(place)), partial(done.append, "amends")) for place in range(6)]
    assert [act.done() for act in told] == [False, False, True, True, True, True]
    for act in told[2:]:
        with pytest.raises(StoreUnavailable, match="3 acts wait"):
            act.result()
    assert counters.totals()["e|left_out"][FAR] - before == 4
    far_is_slow.set()
    told[1].result()
    elsewhere.wait()
    assert done == ["0", "1", "amends"]
    assert [record.getMessage() for record in caplog.records] == [
        "Region far is not told more: 3 acts wait for it.",
        "Region far is told all again; 4 acts were left out.",
    ]
    elsewhere.tell(FAR, partial(done.append, "more")).result()
    elsewhere.wait()
    assert done == ["0", "1", "amends", "more"]


def test_amends_that_the_region_does_not_take_are_made_behind_the_next_act(
    far_is_slow: Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cacheops.regions.elsewhere.MAX_WAITING", 1)
    answers = iter([StoreUnavailable("away"), None])
    made: list[None] = []

    def amends() -> None:
        if error := next(answers):
            raise error
        made.append(None)

    elsewhere.tell(FAR, list, amends)
    far_is_slow.set()
    elsewhere.wait()
    elsewhere.wait()
    assert not made
    elsewhere.tell(FAR, list).result()
    elsewhere.wait()
    assert made == [None]


@pytest.mark.django_db(transaction=True)
def test_a_region_forgets_what_it_holds_where_an_invalidation_was_left_out(
    far_is_slow: Event, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cacheops.regions.elsewhere.MAX_WAITING", 1)
    settings.CACHEOPS_REGIONS = (HOME, FAR)
    calls: list[int] = []

    @cached(timeout=60, key="doubled_in_a_region_that_hangs")
    def doubled(number: int) -> int:
        calls.append(number)
        return 2 * number

    def call_in(region: str) -> int:
        with monkeypatch.context() as patch:
            patch.setattr(RegionHandler, "local", property(lambda handler: handler[region]))
            return doubled(2)

    assert (call_in(FAR), call_in(FAR), len(calls)) == (4, 4, 1)
    with pytest.raises(StoreUnavailable, match="1 acts wait for it"):
        doubled.invalidate(2)
    assert (call_in(FAR), len(calls)) == (4, 1)
    far_is_slow.set()
    elsewhere.wait()
    elsewhere.wait()
    assert (call_in(FAR), len(calls)) == (4, 2)
