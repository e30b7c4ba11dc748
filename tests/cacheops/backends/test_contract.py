"""What Django's documentation of the cache API promises, on every kind of cache."""

import pickle
import time
import warnings

import pytest
from django.core.cache import caches
from django.core.cache.backends.base import CacheKeyWarning

from tests.cacheops.backends.samples import VALUES

SOON = 0.05  # seconds
UNUSUAL = ["two words", "*?[a]\\", "{tag}", "\u00e9\U0001f321", "x" * 1_000_000]


def gone(cache, key: str) -> bool:
    """Tell whether a key goes within 5 seconds."""
    deadline = time.monotonic() + 5
    while cache.has_key(key) and time.monotonic() < deadline:
        time.sleep(0.01)
    return cache.get(key) is None


class TestOneKey:
    @pytest.mark.parametrize("value", VALUES.values(), ids=VALUES)
    def test_a_value_comes_back_as_it_was(self, cache, value):
        cache.set("key", value)

        assert cache.get("key", "default") == value
        assert type(cache.get("key", "default")) is type(value)

    def test_get_returns_the_default_for_a_missing_key(self, cache):
        assert cache.get("missing") is None
        assert cache.get("missing", "default") == "default"

    def test_a_mutable_value_is_a_copy(self, cache):
        cache.set("key", [1])
        cache.get("key").append(2)

        assert cache.get("key") == [1]

    def test_set_replaces(self, cache):
        cache.set("key", 1)
        cache.set("key", "two")

        assert cache.get("key") == "two"

    def test_add_stores_only_a_new_key(self, cache):
        assert cache.add("key", 1) is True
        assert cache.add("key", 2) is False
        assert cache.get("key") == 1

    def test_add_does_not_replace_none(self, cache):
        cache.set("key", None)

        assert cache.add("key", 1) is False

    def test_get_or_set(self, cache):
        assert cache.get_or_set("key", 1) == 1
        assert cache.get_or_set("key", 2) == 1
        assert cache.get_or_set("called", lambda: 3) == 3
        assert cache.get("called") == 3

    def test_get_or_set_keeps_none(self, cache):
        assert (cache.get_or_set("key", None), cache.get_or_set("key", lambda: 1)) == (None, None)
        cache.set("held", None)
        assert cache.get_or_set("held", 1) is None

    def test_get_or_set_does_not_call_for_a_held_key(self, cache):
        cache.set("key", 1)

        assert cache.get_or_set("key", lambda: pytest.fail("called")) == 1

    def test_get_or_set_needs_a_default(self, cache):
        with pytest.raises(TypeError):
            cache.get_or_set("key")

    def test_delete_says_whether_there_was_something(self, cache):
        cache.set("key", 1)

        assert cache.delete("key") is True
        assert cache.delete("key") is False
        assert cache.get("key") is None

    def test_has_key_and_in(self, cache):
        cache.set("key", None)

        assert cache.has_key("key")
        assert "key" in cache
        assert not cache.has_key("missing")
        assert "missing" not in cache

    def test_a_value_that_cannot_be_pickled_is_an_error(self, cache):
        with pytest.raises((pickle.PicklingError, AttributeError, TypeError)):
            cache.set("key", lambda: None)
        assert cache.get("key") is None

    def test_close_leaves_the_cache_usable(self, cache):
        cache.set("key", 1)
        cache.close()

        assert cache.get("key") == 1


class TestNumbers:
    def test_incr_and_decr(self, cache):
        cache.set("key", 41)

        assert cache.incr("key") == 42
        assert cache.incr("key", 10) == 52
        assert cache.incr("key", -2) == 50
        assert cache.decr("key") == 49
        assert cache.decr("key", 10) == 39
        assert cache.decr("key", -1) == 40
        assert cache.get("key") == 40

    @pytest.mark.parametrize("method", ["incr", "decr"])
    def test_a_missing_key_is_a_value_error(self, cache, method):
        with pytest.raises(ValueError, match="missing"):
            getattr(cache, method)("missing")
        assert cache.get("missing") is None

    @pytest.mark.parametrize(
        ("start", "delta"), [(2**53 + 1, 2), (2**63 - 1, 1), (-(2**63), -1), (2**80, 5), (1.5, 2), (True, 1)]
    )
    def test_no_digit_is_lost(self, cache, start, delta):
        cache.set("key", start)

        assert cache.incr("key", delta) == start + delta
        assert cache.get("key") == start + delta

    @pytest.mark.parametrize("start", [1, 2**80])
    def test_incr_keeps_the_expiry(self, cache, start):
        cache.set("key", start, 1000)
        cache.incr("key")

        assert 900 < cache.ttl("key") <= 1000

    def test_text_is_no_number(self, cache):
        cache.set("key", "text")

        with pytest.raises(TypeError):
            cache.incr("key")


class TestTimeouts:
    def test_a_value_expires(self, cache):
        cache.set("key", 1, SOON)
        cache.add("added", 1, SOON)
        cache.set_many({"many": 1}, SOON)

        assert gone(cache, "key")
        assert gone(cache, "added")
        assert gone(cache, "many")

    def test_the_default_timeout_is_the_entrys(self, cache):
        cache.set("key", 1)

        assert 200 < cache.ttl("key") <= 300

    def test_none_means_for_ever(self, cache):
        cache.set("key", 1, None)
        cache.add("added", 1, None)
        cache.set_many({"many": 1}, None)

        assert [cache.ttl(key) for key in ("key", "added", "many")] == [None] * 3

    @pytest.mark.parametrize("timeout", [0, -1, -1000.5])
    def test_zero_and_less_mean_not_at_all(self, cache, timeout):
        cache.set_many({"key": 1, "many": 1})
        cache.set("key", 2, timeout)
        cache.set_many({"many": 2}, timeout)
        cache.add("added", 1, timeout)

        assert cache.get_many(["key", "many", "added"]) == {}

    def test_add_with_zero_leaves_what_is_there(self, cache):
        cache.set("key", 1)

        assert cache.add("key", 2, 0) is False
        assert cache.get("key") == 1

    def test_touch_sets_a_new_timeout(self, cache):
        cache.set("key", 1, 10)

        assert cache.touch("key", 1000) is True
        assert 900 < cache.ttl("key") <= 1000
        assert cache.touch("key") is True
        assert 200 < cache.ttl("key") <= 300

    def test_touch_with_none_keeps_for_ever(self, cache):
        cache.set("key", 1, 10)

        assert cache.touch("key", None) is True
        assert cache.touch("key", None) is True
        assert cache.ttl("key") is None

    def test_touch_with_zero_deletes(self, cache):
        cache.set("key", 1)

        assert cache.touch("key", 0) is True
        assert cache.get("key") is None

    @pytest.mark.parametrize("timeout", [10, None, 0])
    def test_touch_of_a_missing_key(self, cache, timeout):
        assert cache.touch("missing", timeout) is False


class TestManyKeys:
    def test_set_many_and_get_many(self, cache):
        data = {f"key{number}": number for number in range(300)}

        assert cache.set_many(data) == []
        assert cache.get_many(data) == data
        assert cache.get_many(["key1", "missing", "key2"]) == {"key1": 1, "key2": 2}

    def test_get_many_takes_any_iterable_and_each_key_once(self, cache):
        cache.set("key", None)

        assert cache.get_many(key for key in ("key", "key", "other")) == {"key": None}

    def test_nothing_is_nothing(self, cache):
        assert cache.get_many([]) == {}
        assert cache.set_many({}) == []
        cache.delete_many([])

    def test_more_keys_than_one_batch(self, cache):
        data = {f"key{number}": number for number in range(2500)} if "Region" in type(cache).__name__ else {"key1": 1}
        cache.set_many(data)

        assert cache.get_many(data) == data

    def test_delete_many(self, cache):
        cache.set_many({"a": 1, "b": 2, "c": 3})
        cache.delete_many(key for key in ("a", "c", "missing"))

        assert cache.get_many("abc") == {"b": 2}

    def test_clear_deletes_all_versions_and_no_other_prefix(self, cache):
        for alias in ("default", "newer", "second"):
            caches[alias].set("key", alias)
        cache.clear()

        assert cache.get("key") is None
        assert caches["newer"].get("key") is None
        assert caches["second"].get("key") == "second"


class TestVersions:
    def test_versions_are_apart(self, cache):
        cache.set("key", "one")
        cache.set("key", "two", version=2)

        assert cache.get("key") == "one"
        assert cache.get("key", version=1) == "one"
        assert cache.get("key", version=2) == "two"
        assert caches["newer"].get("key") == "two"

    def test_every_method_takes_a_version(self, cache):
        cache.set_many({"a": 1, "b": 2}, version=2)

        assert cache.get_many(["a", "b"]) == {}
        assert cache.get_many(["a", "b"], version=2) == {"a": 1, "b": 2}
        assert cache.add("a", 5, version=2) is False
        assert cache.incr("a", version=2) == 2
        assert cache.decr("a", version=2) == 1
        assert cache.touch("a", 1000, version=2) is True
        assert cache.has_key("a", version=2)
        assert cache.get_or_set("a", 9, version=2) == 1
        assert cache.delete("a", version=2) is True
        cache.delete_many(["b"], version=2)
        assert cache.get_many(["a", "b"], version=2) == {}

    @pytest.mark.parametrize("timeout", [None, 1000])
    def test_incr_version_moves_the_value_and_its_expiry(self, cache, timeout):
        cache.set("key", "value", timeout)

        assert cache.incr_version("key") == 2
        assert cache.get("key") is None
        assert cache.get("key", version=2) == "value"
        assert cache.ttl("key", version=2) in ([None] if timeout is None else range(900, 1001))
        assert cache.incr_version("key", 3, version=2) == 5
        assert cache.decr_version("key", 4, version=5) == 1
        assert cache.get("key") == "value"

    def test_a_missing_key_has_no_version(self, cache):
        with pytest.raises(ValueError, match="missing"):
            cache.incr_version("missing")
        with pytest.raises(ValueError, match="missing"):
            cache.decr_version("missing")


class TestKeys:
    def test_prefixes_are_apart(self, cache):
        cache.set("key", 1)

        assert caches["second"].get("key") is None

    def test_a_key_function_is_used(self, cache):
        named = caches["named"]
        named.set("key", 1)

        assert named.get("key") == 1
        assert cache.get("key") is None
        assert named.make_key("key").endswith("/1/key/own")

    def test_keys_need_not_be_text(self, cache):
        cache.set(7, "seven")

        assert cache.get(7) == "seven"
        assert cache.get("7") == "seven"

    @pytest.mark.parametrize("key", ["two words", "tab\t", "line\n", "delete\x7f", "x" * 251], ids=ascii)
    @pytest.mark.parametrize(
        "call",
        [
            lambda cache, key: cache.set(key, 1),
            lambda cache, key: cache.add(key, 1),
            lambda cache, key: cache.get(key),
            lambda cache, key: cache.get_many([key]),
            lambda cache, key: cache.set_many({key: 1}),
            lambda cache, key: cache.delete(key),
            lambda cache, key: cache.delete_many([key]),
            lambda cache, key: cache.touch(key),
            lambda cache, key: cache.has_key(key),
            lambda cache, key: cache.incr(key),
            lambda cache, key: cache.incr_version(key),
        ],
        ids=[
            "set",
            "add",
            "get",
            "get_many",
            "set_many",
            "delete",
            "delete_many",
            "touch",
            "has_key",
            "incr",
            "incr_v",
        ],
    )
    def test_a_key_that_memcached_would_refuse_is_warned_of(self, cache, call, key):
        with warnings.catch_warnings():
            warnings.simplefilter("error", CacheKeyWarning)
            with pytest.raises(CacheKeyWarning):
                call(cache, key)

    @pytest.mark.filterwarnings("ignore::django.core.cache.backends.base.CacheKeyWarning")
    @pytest.mark.parametrize(
        "key", ["two words", "*?[a]\\", "{tag}", "\u00e9\U0001f321", "x" * 1_000_000], ids=range(5)
    )
    def test_and_works_all_the_same(self, cache, key):
        cache.set(key, 1)

        assert cache.get(key) == 1
        assert cache.get_many([key]) == {key: 1}
        assert cache.delete(key) is True
