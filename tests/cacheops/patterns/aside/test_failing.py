"""CacheAsideManager: a region that does not answer, and input that makes no sense."""

import uuid
from typing import Any

import pytest

from cacheops.exceptions import InvalidKey, InvalidOption, StoreUnavailable
from cacheops.orm.samples import RowsOf, TimeBucket
from cacheops.patterns import CacheAsideManager
from tests.cacheops.patterns.aside.loading import NOON, Calls, entries
from tests.testapp.models import Book

pytestmark = pytest.mark.django_db(databases="__all__")
NOWHERE = {
    "BACKEND": "cacheops.backends.RegionCache",
    "LOCATION": ["redis://127.0.0.1:1", "redis://127.0.0.1:1"],
    "OPTIONS": {"CLIENT_CLASS": "cacheops.backends.PairClient"},
}


def test_a_dead_region_costs_nothing_but_the_cache(settings: Any) -> None:
    settings.CACHES = {**settings.CACHES, "nowhere": NOWHERE}
    settings.CACHEOPS_REGIONS = ("nowhere",)
    settings.CACHEOPS_LOCAL_REGION = "nowhere"
    manager, calls = CacheAsideManager(), Calls()
    for _ in range(2):
        assert manager.get_or_set("device:7:data", calls) == "loaded"
        assert manager.get_or_set_many(entries("device:8:data"), calls.many) == {"device:8:data": "device:8:data!"}
    assert (calls.count, len(calls.asked)) == (2, 2)
    for forget in (manager.invalidate, manager.invalidate_pattern):
        with pytest.raises(StoreUnavailable, match="nowhere"):
            forget("device:7:data")


@pytest.mark.servers
def test_all_regions_are_told(settings: Any) -> None:
    settings.CACHEOPS_PREFIX = f"t-{uuid.uuid4().hex[:8]}"
    manager = CacheAsideManager()
    everywhere = ("us-east-1", "us-west-2", "us-east-2")
    for end in (manager.invalidate, manager.invalidate_pattern):
        for name in everywhere:
            settings.CACHEOPS_LOCAL_REGION = name
            manager.get_or_set("device:7:data", Calls("old"))
        assert end("device:7:data") == 1
        for name in everywhere:
            settings.CACHEOPS_LOCAL_REGION = name
            assert manager.get_or_set("device:7:data", Calls("new")) == "new"
        manager.invalidate("device:7:data")


@pytest.mark.parametrize("key", ["", "with space", "x" * 10_000_000, "a*", None, 7])
def test_a_bad_key_is_named(key: Any, region: str) -> None:
    with pytest.raises(InvalidKey):
        CacheAsideManager().get_or_set(key, Calls())


@pytest.mark.parametrize("ttl", [-1, "no_strategy", 1e9])
def test_a_bad_ttl_is_named(ttl: Any, region: str) -> None:
    with pytest.raises(InvalidOption):
        CacheAsideManager().get_or_set("device:7:data", Calls(), ttl=ttl)


@pytest.mark.parametrize(
    "conditions", [{"no_such": 1}, {"rating": 1.5}, {"title": TimeBucket(NOON, 3600)}, {"tags": 1}]
)
def test_a_condition_that_can_not_be_followed_is_named(conditions: Any, region: str) -> None:
    with pytest.raises(InvalidOption):
        CacheAsideManager().get_or_set("books:all", Calls(), depends_on=[RowsOf(Book, conditions)])
