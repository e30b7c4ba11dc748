"""While a region does not answer, its cache looks empty and keeps nothing; then it serves nothing outdated."""

import logging

import pytest
from django.core.cache import caches

from cacheops.exceptions import StoreUnavailable
from cacheops.instrumentation.request_stats import collect_request_stats
from tests.cacheops.redis.conftest import entry
from tests.cacheops.redis.test_failover import until

FAR = "us-west-2"  # seen from us-east-1, through links that a partition cuts


@pytest.fixture
def away(broken, make):
    """A cache that holds two keys, in a region that swallows everything now."""
    cache = make(FAR)
    cache.set_many({"key": "old", "number": 1})
    broken.partition(FAR)
    return cache


def test_reads_are_misses_and_counted_as_bypasses(away):
    with collect_request_stats() as stats:
        assert away.get("key", "default") == "default"
        assert away.get_many(["key", "number"]) == {}
        assert away.get_or_set("key", lambda: "made") == "made"

    assert (stats.hits, stats.misses, stats.bypasses) == (0, 0, 5)
    assert not away.has_key("key")
    assert away.ttl("key") == away.pttl("key") == 0


def test_writes_are_dropped_and_say_so(away):
    assert away.set("key", "new") is False
    assert away.add("fresh", 1) is False
    assert away.set_many({"a": 1, "b": 2}) == ["a", "b"]
    assert away.delete("key") is False
    assert away.delete_many(["key"]) == 0
    assert away.touch("key") is False
    for method in (away.incr, away.decr, away.incr_version):
        with pytest.raises(ValueError, match="do not answer"):
            method("number")


@pytest.mark.parametrize(
    "call",
    [
        lambda cache: cache.lock("lock", timeout=1).acquire(),
        lambda cache: cache.clear(),
        lambda cache: cache.delete_pattern("*"),
        lambda cache: list(cache.iter_keys("*")),
        lambda cache: cache.sadd("set", 1),
    ],
    ids=["lock", "clear", "delete_pattern", "iter_keys", "sadd"],
)
def test_what_cannot_be_dropped_is_an_error_with_a_name(away, call):
    with pytest.raises(StoreUnavailable, match="do not answer"):
        call(away)


def test_every_call_is_an_error_when_asked_for(broken, make):
    cache = make(FAR, IGNORE_EXCEPTIONS=False)
    cache.set("key", 1)
    broken.partition(FAR)

    for call in (cache.get, cache.delete, cache.touch, cache.incr, cache.has_key):
        with pytest.raises(StoreUnavailable):
            call("key")


def test_values_that_were_to_go_are_gone_when_the_region_is_back(broken, make):
    cache = make(FAR)
    cache.set_many({"set": "old", "many": "old", "deleted": "old", "swept": "old", "kept": "old"})
    broken.partition(FAR)
    cache.set("set", "new")
    cache.set_many({"many": "new"})
    cache.delete("deleted")
    cache.delete_many(["swept"])
    broken.heal()

    until(lambda: cache.get("kept") == "old", "the region answers")
    assert cache.get_many(["set", "many", "deleted", "swept"]) == {}


def test_more_writes_than_are_remembered_clear_the_alias(broken, make, monkeypatch):
    monkeypatch.setattr("cacheops.backends.hinted_handoff.MAX_HINTS", 10)
    cache = make(FAR)
    cache.set_many({f"key{number}": "old" for number in range(30)})
    broken.partition(FAR)
    cache.delete_many(f"key{number}" for number in range(11))
    broken.heal()

    until(lambda: cache.set("new", 1), "the region answers")
    assert list(cache.iter_keys("*")) == ["new"]


def test_the_log_has_one_line_for_an_outage_and_one_for_its_end(broken, make, caplog):
    cache = make(FAR)
    with caplog.at_level(logging.WARNING, logger="cacheops.backends"):
        broken.partition(FAR)
        for _ in range(20):
            cache.get("key")
        broken.heal()
        until(lambda: cache.set("key", 1), "the region answers")

    first, second = [record.getMessage() for record in caplog.records if record.name == "cacheops.backends"]
    assert "going on without it" in first
    assert "answers again" in second


def test_few_calls_wait_for_a_region_that_swallows_everything(broken, make):
    cache = make(FAR, PAUSE_AFTER_FAILURE=3600)
    cache.set("key", 1)
    broken.partition(FAR)
    node = cache.client.servers.client.connection_pool
    cache.get("key")
    asked = node.get_connection_count

    before = asked()
    for _ in range(1000):  # at 0.5 s each, these would take minutes
        assert cache.get("key") is None
    assert asked() == before


@pytest.mark.django_db
@pytest.mark.urls("tests.cacheops.backends.urls")
@pytest.mark.parametrize("region", ["us-east-1", FAR])
def test_pages_and_sessions_go_on_and_a_signed_out_session_stays_out(broken, client, settings, region):
    settings.SESSION_ENGINE = "django.contrib.sessions.backends.cached_db"
    own = "us-west-2" if region == "us-east-1" else "us-east-1"
    settings.CACHES = {"default": entry(broken, region, own=own)}
    client.get("/visit")
    cookie = client.cookies["sessionid"].value

    broken.partition(region)
    assert client.get("/visit").content == b"2"
    assert client.get("/counted").status_code == 200
    assert client.get("/leave").status_code == 200
    broken.heal()
    until(lambda: caches["default"].set("probe", 1), "the region answers")

    client.cookies["sessionid"] = cookie
    assert client.get("/visit").content == b"1"
