"""BatchCacheOperations: many keys in one round trip a server, on a cluster, on pairs and in memory."""

import datetime as dt
import decimal
import uuid
from typing import Any

import pytest
from django.core.cache.backends.base import BaseCache
from django.core.cache.backends.locmem import LocMemCache

from cacheops.exceptions import InvalidKey, InvalidOption, UnencodableValue
from cacheops.patterns import BatchCacheOperations
from cacheops.patterns.keys import CacheKeyBuilder

VALUES: dict[str, Any] = {
    "none": None,
    "moment": dt.datetime(2024, 1, 15, 10, tzinfo=dt.UTC),
    "number": decimal.Decimal("1.10"),
    "id": uuid.UUID(int=7),
    "bytes": b"\x00\xff",
    "set": {1, 2},
    "whole": 7,
    "large": 1 << 80,
    "flag": True,
    "nested": {"tuple": (1, [2.5]), "text": "°C"},
}


@pytest.fixture
def batch(cache: BaseCache) -> BatchCacheOperations:
    return BatchCacheOperations(cache)


def test_values_come_back_as_they_were(batch: BatchCacheOperations) -> None:
    assert batch.batch_set(VALUES, ttl="device_data")

    found = batch.batch_get([*VALUES, "absent"])

    assert found == VALUES
    assert {key: type(value) for key, value in found.items()} == {key: type(value) for key, value in VALUES.items()}
    assert 200 < batch.cache.ttl("moment") <= 300  # type: ignore[attr-defined]


def test_keys_of_all_slots_go_and_are_counted(batch: BatchCacheOperations) -> None:
    keys = [CacheKeyBuilder.device_current_key(number) for number in range(1, 301)]
    batch.batch_set(dict.fromkeys(keys, 1))

    assert len(batch.batch_get(keys)) == 300
    assert batch.batch_delete([*keys, keys[0], "absent"]) == 300
    assert batch.batch_get(keys) == {}


def test_nothing_to_do_is_nothing_done(batch: BatchCacheOperations) -> None:
    assert (batch.batch_get([]), batch.batch_set({}), batch.batch_delete([])) == ({}, True, 0)


def test_what_is_there_is_not_overwritten_by_adding(batch: BatchCacheOperations) -> None:
    keys = [CacheKeyBuilder.device_current_key(number) for number in range(1, 301)]
    batch.batch_set(dict.fromkeys(keys[:100], "newer"))

    assert batch.batch_add(dict.fromkeys(keys, "older"), ttl="device_data") == 200
    assert batch.batch_add(dict.fromkeys(keys, "older")) == 0

    found = batch.batch_get(keys)
    assert [found[key] for key in keys] == ["newer"] * 100 + ["older"] * 200
    assert 200 < batch.cache.ttl(keys[-1]) <= 300  # type: ignore[attr-defined]
    assert (batch.batch_add({}), batch.batch_add({"key": 1}, ttl=0)) == (0, 0)
    assert batch.batch_get(["key"]) == {}


def test_a_cache_of_djangos_own_is_added_to_one_by_one() -> None:
    batch = BatchCacheOperations(LocMemCache("plain", {}))
    assert batch.batch_add({"a": 1, "b": 2}) == 2
    assert batch.batch_add({"a": 3, "c": 4}) == 1
    assert batch.batch_get("abc") == {"a": 1, "b": 2, "c": 4}
    assert batch.batch_delete("abd") == 2
    assert batch.batch_get("abc") == {"c": 4}


def test_a_ttl_of_0_keeps_nothing(batch: BatchCacheOperations) -> None:
    batch.batch_set({"key": 1})
    assert batch.batch_set({"key": 2}, ttl=0)
    assert batch.batch_get(["key"]) == {}


@pytest.mark.parametrize("key", ["two words", "k" * 10_000_000, "", "ключ"])
def test_bad_keys_are_named_and_nothing_is_stored(batch: BatchCacheOperations, key: str) -> None:
    for call in (lambda: batch.batch_get([key]), lambda: batch.batch_delete([key])):
        with pytest.raises(InvalidKey):
            call()
    for store in (batch.batch_set, batch.batch_add):
        with pytest.raises(InvalidKey):
            store({"good": 1, key: 2})
    assert batch.batch_get(["good"]) == {}


@pytest.mark.parametrize("ttl", [-1, "no_such_strategy", 31 * 86400, None, True])
def test_bad_ttls_are_named(batch: BatchCacheOperations, ttl: Any) -> None:
    with pytest.raises(InvalidOption):
        batch.batch_set({"key": 1}, ttl=ttl)


@pytest.mark.parametrize("value", [object(), lambda: 1, {"deep": [object()]}], ids=["object", "function", "nested"])
def test_values_that_would_not_come_back_are_named_and_nothing_is_stored(
    batch: BatchCacheOperations, value: Any
) -> None:
    for store in (batch.batch_set, batch.batch_add):
        with pytest.raises(UnencodableValue, match="store plain values"):
            store({"good": 1, "bad": value})
    assert batch.batch_get(["good"]) == {}
