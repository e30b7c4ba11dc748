"""Regions other than one's own and the primary's are told, and nobody waits for them."""

from collections.abc import Iterator
from threading import Event
from typing import Any

import pytest
from django.contrib.sessions.models import Session
from django.core.cache import caches

from cacheops import sessions
from cacheops.exceptions import StoreUnavailable
from cacheops.regions import Region, regions
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
    elsewhere.tell(FAR, answers.wait)
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
