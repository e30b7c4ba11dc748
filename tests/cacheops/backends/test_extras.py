"""django-redis' additions to Django's cache API, on every kind of cache."""

import threading

import pytest
import redis
from django.core.cache import caches
from django.core.cache.backends.locmem import LocMemCache
from django_redis.cache import RedisCache

from cacheops.backends import MemoryCache
from cacheops.backends.redis_only import REFUSED
from cacheops.exceptions import LockLost, LockNotAcquired, NotInMemory
from cacheops.instrumentation.request_stats import collect_request_stats
from tests.cacheops.backends.conftest import SERVERS
from tests.servers import on_servers


class TestExpiry:
    def test_ttl_and_pttl(self, cache):
        cache.set("key", 1, 100)

        assert 50 < cache.ttl("key") <= 100
        assert 50_000 < cache.pttl("key") <= 100_000

    def test_a_missing_key_has_none_left(self, cache):
        assert cache.ttl("missing") == 0
        assert cache.pttl("missing") == 0

    def test_expire_and_persist(self, cache):
        cache.set("key", 1, 10)

        assert cache.expire("key", 100) is True
        assert 50 < cache.ttl("key") <= 100
        assert cache.persist("key") is True
        assert cache.ttl("key") is None
        assert cache.persist("missing") is False
        assert cache.expire("missing", 100) is False


class TestSetMax:
    def test_the_largest_stays_whoever_comes_last(self, cache):
        numbers = [f"{number:04}" for number in range(40)]

        def store(own):
            for number in own:
                cache.set_max("key", number, 100)

        threads = [threading.Thread(target=store, args=(numbers[first::4],)) for first in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

        assert cache.get("key") == "0039"
        assert cache.set_max("key", "0038", 100) is False
        assert cache.set_max("key", "0039", 200) is True
        assert 100 < cache.ttl("key") <= 200


class TestPatterns:
    def test_delete_pattern_counts_and_spares_what_does_not_match(self, cache):
        cache.set_many({f"reading:{number}": number for number in range(60)} | {"device:1": 1})

        assert cache.delete_pattern("reading:1*") == 11
        assert cache.get("reading:1") is None
        assert cache.get("reading:2") == 2
        assert cache.delete_pattern("reading:*", itersize=10) == 49
        assert cache.delete_pattern("reading:*") == 0
        assert cache.get("device:1") == 1

    def test_delete_pattern_stays_within_prefix_and_version(self, cache):
        cache.set("key", 1)
        cache.set("key", 2, version=2)
        caches["second"].set("key", 3)

        assert cache.delete_pattern("*") == 1
        assert cache.get("key", version=2) == 2
        assert cache.delete_pattern("k?y", version=2) == 1
        assert caches["second"].get("key") == 3

    def test_iter_keys_and_keys_give_the_callers_part(self, cache):
        cache.set_many({"a:1": 1, "a:2": 2, "b:1": 3})

        assert sorted(cache.iter_keys("a:*")) == ["a:1", "a:2"]
        assert sorted(cache.keys("*:[1]")) == ["a:1", "b:1"]
        assert sorted(cache.iter_keys("[^a]*", itersize=5)) == ["b:1"]

    @pytest.mark.parametrize("prefix", ["[a]", "a*", "a?", "back\\slash"])
    def test_a_prefix_is_no_pattern(self, cache, settings, entry, prefix):
        odd = entry["KEY_PREFIX"] + prefix
        settings.CACHES = settings.CACHES | {
            "odd": entry | {"KEY_PREFIX": odd},
            "like": entry | {"KEY_PREFIX": odd.replace("*", "xx").replace("?", "x").replace("[a]", "a")},
        }
        caches["odd"].set("key", 1)
        caches["like"].set("key", 2)
        caches["odd"].clear()

        assert caches["odd"].get("key") is None
        assert caches["like"].get("key") == (2 if odd != caches["like"].key_prefix else None)
        caches["like"].clear()


class TestSetConditions:
    @pytest.mark.parametrize("entry", ["memory", *on_servers("us-east-1", "us-west-2")], indirect=True)
    def test_nx_and_xx(self, cache):
        assert cache.set("key", 1, xx=True) is False
        assert cache.set("key", 1, nx=True) is True
        assert cache.set("key", 2, nx=True) is False
        assert cache.set("key", 3, 100, xx=True) is True
        assert cache.get("key") == 3
        assert 50 < cache.ttl("key") <= 100
        assert cache.incr("new", 5, ignore_key_check=True) == 5
        assert cache.incr("huge", 2**70, ignore_key_check=True) == 2**70
        cache.set("large", (1 << 63) - 1)
        assert cache.incr("large", 5, ignore_key_check=True) == (1 << 63) + 4


@pytest.mark.parametrize("entry", ["memory"], indirect=True)
class TestNotInMemory:
    def test_each_command_of_redis_is_refused_by_name(self, cache):
        has = {name for name in dir(RedisCache) if not name.startswith("_")}
        missing = has - set(dir(LocMemCache)) - set(vars(MemoryCache))

        assert missing == {*REFUSED, "client"}
        for name in REFUSED:
            with pytest.raises(NotInMemory, match=rf"MemoryCache has no {name}\(\): Use "):
                getattr(cache, name)("key", 1)

    def test_its_client_too(self, cache):
        with pytest.raises(NotInMemory, match=r"no server. Use cacheops.backends.RegionCache"):
            cache.client.get_client()


class TestLocks:
    def test_one_holder_at_a_time(self, cache):
        other = cache.lock("lock", timeout=10, blocking=False)
        with cache.lock("lock", timeout=10) as lock:
            assert lock.owned()
            assert lock.locked()
            assert other.acquire() is False
            assert not other.owned()
        assert other.acquire() is True
        other.release()
        assert not lock.locked()

    def test_one_who_waits_gets_it(self, cache):
        first = cache.lock("lock", timeout=10, thread_local=False)
        assert first.acquire()
        threading.Timer(0.05, first.release).start()

        with cache.lock("lock", timeout=10, sleep=0.01, blocking_timeout=5) as second:
            assert second.owned()

    def test_one_who_waits_in_vain_is_told(self, cache):
        with (
            cache.lock("lock", timeout=10),
            pytest.raises(LockNotAcquired, match="held by another"),
            cache.lock("lock", timeout=10, sleep=0.01, blocking_timeout=0.03),
        ):
            pytest.fail("two holders")

    def test_another_thread_may_not_release_it(self, cache):
        lock = cache.lock("lock", timeout=10)
        errors: list[Exception] = []

        def release() -> None:
            try:
                lock.release()
            except LockLost as error:
                errors.append(error)

        with lock:
            other = threading.Thread(target=release)
            other.start()
            other.join()
            assert lock.owned()
        assert len(errors) == 1

    def test_keys_and_versions_have_locks_of_their_own(self, cache):
        quick = {"timeout": 10, "blocking_timeout": 5}
        with cache.lock("lock", **quick), cache.lock("other", **quick), cache.lock("lock", 2, **quick):
            assert not cache.lock("lock", timeout=10, blocking=False).acquire()
            assert not cache.lock("lock", 2, timeout=10, blocking=False).acquire()

    @pytest.mark.parametrize("entry", on_servers(*SERVERS), indirect=True)
    def test_a_lock_that_expired_is_lost(self, cache):
        lock = cache.lock("lock", timeout=0.05)
        assert lock.acquire()
        second = cache.lock("lock", timeout=10, sleep=0.01, blocking_timeout=5)
        assert second.acquire()

        with pytest.raises(LockLost):
            lock.release()
        assert second.owned()
        second.release()

    def test_who_does_not_hold_a_lock_is_told(self, cache):
        lock = cache.lock("lock", timeout=100)
        for method in (lock.release, lock.reacquire, lambda: lock.extend(5)):
            with pytest.raises(LockLost):
                method()
        with lock:
            assert lock.extend(5)
            assert lock.reacquire()

    @pytest.mark.parametrize("entry", on_servers(*SERVERS), indirect=True)
    def test_extend_and_reacquire(self, cache):
        with cache.lock("lock", timeout=100) as lock:
            lock.extend(1000)
            assert cache.ttl("lock") > 1000
            lock.extend(500, replace_ttl=True)
            assert 100 < cache.ttl("lock") <= 500
            lock.reacquire()
            assert cache.ttl("lock") <= 100


class TestRequestStats:
    def test_look_ups_are_counted_once_each(self, cache):
        cache.set_many({"a": 1, "none": None})
        with collect_request_stats() as stats:
            cache.get("a")
            cache.get("none")
            cache.get("missing")
            cache.get_many(["a", "none", "missing", "gone"])
            cache.get_or_set("a", 1)
            cache.get_or_set("new", 1)

        assert (stats.hits, stats.misses, stats.bypasses) == (5, 4, 0)

    def test_other_calls_are_no_look_ups(self, cache):
        cache.set("a", 1)
        with collect_request_stats() as stats:
            cache.set("a", 2)
            cache.add("a", 2)
            cache.has_key("a")
            cache.incr("a")
            cache.touch("a")
            cache.ttl("a")
            cache.incr_version("a")
            cache.delete("a")

        assert (stats.hits, stats.misses) == (0, 0)


@pytest.mark.servers
class TestAccessList:
    @pytest.mark.parametrize("command", ["FLUSHDB", "FLUSHALL", "KEYS *", "CONFIG GET port", "DEBUG SLEEP 0"])
    @pytest.mark.parametrize("entry", ["us-east-1 as app", "us-west-2 as app"], indirect=True)
    def test_the_app_user_of_these_tests_is_refused(self, cache, command):
        (node, *_) = cache.client.servers.primaries()

        with pytest.raises(redis.ResponseError, match=r"permissions|not allowed|refused"):
            redis.Redis(connection_pool=node.connection_pool).execute_command(*command.split())
