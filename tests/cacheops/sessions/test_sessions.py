"""Sessions in the region's cache, under keys that name the user, with the database behind them."""

from datetime import timedelta
from typing import Any

import environ
import pytest
from django.contrib.auth import SESSION_KEY
from django.contrib.sessions.models import Session
from django.core.cache import caches
from django.utils import timezone

from cacheops import sessions
from cacheops.patterns.keys import CacheKeyBuilder
from cacheops.regions import regions as known_regions
from cacheops.sessions import SessionStore, end_sessions_of
from tests.cacheops.sessions.conftest import REGIONS, held_in_every_region
from users.models import User
from xyzsite.settings.regions import caches_from_environment

pytestmark = pytest.mark.django_db


def sign_in(client: Any) -> str:
    """Sign in by the form, and return the session's key."""
    answer = client.post("/sign-in/", {"username": "ada", "password": "enchantress of numbers"})
    assert answer.status_code == 302
    key: str = client.cookies["sessionid"].value
    return key


def is_signed_in(client: Any) -> bool:
    return bool(client.get("/profile/").status_code == 200)


def user_key(user: User, session_key: str) -> str:
    return CacheKeyBuilder.user_session_key(user.pk, session_key.partition(".")[2])


def test_a_session_lives_under_its_users_key_and_slides(region: str, client: Any, user: User) -> None:
    key = user_key(user, sign_in(client))
    cache: Any = caches[region]
    assert cache.get(key)["data"]["_auth_user_id"] == str(user.pk)

    cache.touch(key, 10)
    assert is_signed_in(client)
    assert cache.ttl(key) > 1700


def test_a_look_asks_no_database(region: str, client: Any, user: User, django_assert_num_queries: Any) -> None:
    session_key = sign_in(client)
    with django_assert_num_queries(0):
        assert SessionStore(session_key).load()["_auth_user_id"] == str(user.pk)


def test_the_loss_of_the_cache_signs_nobody_out(region: str, client: Any, user: User) -> None:
    key = user_key(user, sign_in(client))
    caches[region].delete(key)

    assert is_signed_in(client)
    assert caches[region].get(key)["data"]["_auth_user_id"] == str(user.pk)


def test_signing_in_changes_the_key_and_ends_the_old_session(region: str, client: Any, user: User) -> None:
    anonymous = SessionStore()
    anonymous["seen"] = "sign-in page"
    anonymous.save()
    assert caches[region].get(sessions.cache_key(anonymous.session_key))["data"] == {"seen": "sign-in page"}
    client.cookies["sessionid"] = anonymous.session_key

    key = sign_in(client)

    assert key != anonymous.session_key
    assert SessionStore(key)["seen"] == "sign-in page"
    assert SessionStore(anonymous.session_key).load() == {}
    assert not Session.objects.filter(pk=anonymous.session_key).exists()


def test_signing_out_ends_it_in_every_region(client: Any, user: User) -> None:
    key = sign_in(client)
    for name in REGIONS:
        caches[name].set(user_key(user, key), caches["us-east-1"].get(user_key(user, key)), 60)  # used there, too

    client.post("/sign-out/")

    assert not Session.objects.filter(pk=key).exists()
    assert held_in_every_region(user_key(user, key)) == [sessions.GONE] * 3
    client.cookies["sessionid"] = key
    assert not is_signed_in(client)


def test_a_reader_that_was_under_way_brings_no_ended_session_back(client: Any, user: User) -> None:
    key = sign_in(client)
    caches["default"].delete(user_key(user, key))
    reader = SessionStore(key)
    row = reader._get_session_from_db()
    SessionStore(key).delete()
    reader._get_session_from_db = lambda: row  # read before, stored after
    reader.load()

    assert SessionStore(key).load() == {}


def test_a_reader_that_reads_anew_does_not_overwrite_the_mark_of_an_end(client: Any, user: User) -> None:
    key = sign_in(client)
    entry = caches["default"].get(user_key(user, key))
    caches["default"].set(user_key(user, key), entry | {"read": entry["read"] - 1801}, 1800)
    reader = SessionStore(key)
    read = reader._get_session_from_db

    def read_before_it_ends() -> Any:
        row = read()
        if row is not None:
            SessionStore(key).delete()
        return row

    reader._get_session_from_db = read_before_it_ends
    assert reader.load() == {}
    assert caches["default"].get(user_key(user, key)) == sessions.GONE


def test_a_changed_password_signs_other_browsers_out(region: str, client: Any, user: User) -> None:
    key = sign_in(client)
    other = type(client)()
    sign_in(other)
    new = "analytical engine 1843"
    fields = {"old_password": "enchantress of numbers", "new_password1": new, "new_password2": new}
    assert client.post("/profile/", {"action": "password", **fields}).status_code == 302

    assert is_signed_in(client)
    assert client.cookies["sessionid"].value != key
    assert not is_signed_in(other)


def test_a_user_is_signed_out_everywhere(region: str, client: Any, user: User) -> None:
    other = type(client)()
    sign_in(client), sign_in(other)

    assert end_sessions_of(user.pk) == 2

    assert not is_signed_in(client)
    assert not is_signed_in(other)


def test_copies_are_read_anew_in_the_end_however_often_they_are_used(client: Any, user: User) -> None:
    key = sign_in(client)
    entry = caches["default"].get(user_key(user, key))
    Session.objects.filter(pk=key).delete()  # by a process that could not tell this region
    assert is_signed_in(client)

    caches["default"].set(user_key(user, key), entry | {"read": entry["read"] - 1801}, 1800)
    assert not is_signed_in(client)


def test_a_copy_that_was_read_anew_is_kept(client: Any, user: User, django_assert_num_queries: Any) -> None:
    key = sign_in(client)
    entry = caches["default"].get(user_key(user, key))
    caches["default"].set(user_key(user, key), entry | {"read": entry["read"] - 1801}, 1800)
    read = SessionStore(key).load()
    with django_assert_num_queries(0):
        assert SessionStore(key).load() == read != {}


def test_an_expired_session_is_none_though_the_cache_has_it(client: Any, user: User) -> None:
    key = sign_in(client)
    Session.objects.filter(pk=key).update(expire_date=timezone.now() - timedelta(seconds=1))
    entry = caches["default"].get(user_key(user, key))
    caches["default"].set(user_key(user, key), entry | {"ends": entry["read"] - 1}, 1800)

    assert not is_signed_in(client)


@pytest.mark.parametrize("cookie", ["", "short", "0.abcdefghijkl", "a b" * 20, "x" * 1_000_000, "7.*", "é" * 12, "7:8"])
def test_a_cookie_that_is_no_key_is_no_session(client: Any, cookie: str) -> None:
    assert SessionStore(cookie).load() == {}
    assert SessionStore(cookie).session_key is None


def test_sessions_outlive_a_region(breakable_regions: Any, settings: Any, client: Any, user: User) -> None:
    env = environ.Env()
    env.ENVIRON = breakable_regions.environment("us-west-2") | {"REDIS_PAUSE_AFTER_FAILURE": "0.05"}
    settings.CACHES = caches_from_environment(env, "us-west-2")
    settings.CACHEOPS_LOCAL_REGION = "us-west-2"
    settings.CACHEOPS_BREAKER_RECOVERY = 0.05
    session_key = sign_in(client)
    assert is_signed_in(client)

    for row in breakable_regions.status():
        if row["region"] == "us-west-2":
            breakable_regions.pause(row["node"])
    known_regions.reset()
    assert is_signed_in(client)
    client.post("/sign-out/")
    assert not is_signed_in(client)

    client.cookies["sessionid"] = session_key
    for row in breakable_regions.status():
        if row["state"] == "paused":
            breakable_regions.resume(row["node"])
    assert not is_signed_in(client)


@pytest.mark.parametrize(
    ("kept", "owner"), [("1", 1), (42, 42), ("0", None), ("-1", None), ("x", None), ("\u0663", None), ("", None)]
)
def test_the_owner_of_a_session_is_whoever_it_says_if_that_is_a_whole_number(kept: Any, owner: int | None) -> None:
    assert sessions.owner_in({SESSION_KEY: kept}) == owner
    assert sessions.owner_in({}) is None
