"""Profiles and times to live: which settings a model gets, and which are refused."""

from typing import Any

import pytest

from cacheops.exceptions import InvalidOption
from cacheops.profiles import NEAR_SECONDS, OPERATIONS, near, profile_from, profile_of, stale_ok
from cacheops.ttl import MAX_TTL, TTLManager, jittered, refresh_early
from tests.testapp.models import Author, Book, ShortBook


@pytest.mark.parametrize(
    ("profiles", "timeout"),
    [
        ({"testapp.book": {"timeout": 1}, "testapp.*": {"timeout": 2}, "*.*": {"timeout": 3}}, 1),
        ({"testapp.*": {"timeout": 2}, "*.*": {"timeout": 3}}, 2),
        ({"*.*": {"timeout": 3}}, 3),
        ({"testapp.author": {"timeout": 1}}, 300),
        ({"testapp.*": {"timeout": "real_time"}}, 60),
        ({"testapp.*": {"timeout": 0}}, 0),
    ],
)
def test_the_most_exact_name_wins(profiles: Any, timeout: float, settings: Any) -> None:
    settings.CACHEOPS = profiles
    profile = profile_of(Book)
    assert profile is not None
    assert profile.timeout == timeout


def test_none_switches_a_model_off(settings: Any) -> None:
    settings.CACHEOPS = {"testapp.book": None, "*.*": {"ops": "all"}}
    assert profile_of(Book) is None
    assert profile_of(ShortBook) is None  # a proxy is its model's
    assert profile_of(Author) is not None


def test_a_proxy_may_have_a_profile_of_its_own(settings: Any) -> None:
    settings.CACHEOPS = {"testapp.shortbook": {"ops": "get"}, "testapp.book": {"ops": "all"}}
    profile = profile_of(ShortBook)
    assert profile is not None
    assert profile.ops == {"get"}


def test_profiles_start_from_the_defaults(settings: Any) -> None:
    settings.CACHEOPS_DEFAULTS = {"timeout": 7, "lock": False}
    settings.CACHEOPS = {"testapp.book": {"ops": ["get", "count"]}}
    profile = profile_of(Book)
    assert profile is not None
    assert (profile.ops, profile.timeout, profile.lock) == ({"get", "count"}, 7, False)


def test_a_read_names_the_setting_that_is_wrong(settings: Any) -> None:
    settings.CACHEOPS = {"testapp.*": {"ops": 5}}
    with pytest.raises(InvalidOption, match=r"CACHEOPS\['testapp\.\*'\].*5"):
        profile_of(Book)


@pytest.mark.parametrize("value", ["all", sorted(OPERATIONS)])
def test_all_means_every_operation(value: Any) -> None:
    assert profile_from({"ops": value}).ops == OPERATIONS


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"ops": "fly"}, "fly"),
        ({"opps": "all"}, "opps"),
        ({"level": "warm"}, "warm"),
        ({"timeout": -1}, "TTL"),
        ({"timeout": MAX_TTL + 1}, "TTL"),
        ({"timeout": "soon"}, "soon"),
        ({"timeout": True}, "TTL"),
        ({"timeout": float("nan")}, "TTL"),
        ({"ops": 5}, "5"),
        ({"ops": [["get"]]}, "get"),
        ({"level": 5}, "5"),
        ({"level": ("stale_ok", 5, 5)}, "stale_ok"),
        ({"level": "stale_ok"}, "stale_ok needs seconds"),
        ({"lock": "False"}, "lock"),
        ({1: 2}, "1"),
    ],
)
def test_what_can_not_work_is_refused_by_its_name(options: Any, named: str) -> None:
    with pytest.raises(InvalidOption, match=named):
        profile_from(options)


@pytest.mark.parametrize(
    ("level", "seconds"), [("fresh", 0), ("near", NEAR_SECONDS), (near(0.5), 0.5), (("near", 2), 2), (stale_ok(7), 7)]
)
def test_a_level_has_the_seconds_that_it_is_given(level: Any, seconds: float) -> None:
    profile = profile_from({"level": level})
    assert (profile.seconds, profile.near + profile.stale) == (seconds, seconds)


def test_strategies_can_be_added_and_changed() -> None:
    manager = TTLManager({"device_data": 10, "own": 5})
    assert [manager.get_ttl(name) for name in ("device_data", "own", "analytics")] == [10, 5, 900]
    assert manager.get_ttl("own", custom_ttl=0) == 0
    with pytest.raises(InvalidOption):
        TTLManager({"own": -5})


@pytest.mark.parametrize(("uniform", "expected"), [(0.0, 100.0), (0.5, 95.0), (1.0, 90.0)])
def test_jitter_shortens_by_a_share(uniform: float, expected: float) -> None:
    assert jittered(100, 0.1, uniform) == expected


def test_early_refresh_is_likelier_near_the_end_and_for_dear_loads() -> None:
    assert not refresh_early(now=0, expires_at=100, load_seconds=0.1, beta=1, uniform=0.5)
    assert refresh_early(now=99.99, expires_at=100, load_seconds=0.1, beta=1, uniform=0.5)
    assert refresh_early(now=0, expires_at=100, load_seconds=200, beta=1, uniform=0.5)
    assert not refresh_early(now=0, expires_at=100, load_seconds=200, beta=0, uniform=0.5)
    assert refresh_early(now=100, expires_at=100, load_seconds=0.1, beta=1, uniform=1)
    assert not refresh_early(now=100, expires_at=100, load_seconds=0.1, beta=0, uniform=1)
