"""CacheAsideManager: what it keeps, and for how long."""

import uuid
from decimal import Decimal
from typing import Any

import pytest

from cacheops import bypassed
from cacheops.instrumentation.counters import counters
from cacheops.instrumentation.request_stats import collect_request_stats
from cacheops.patterns import AsideEntry, CacheAsideManager
from cacheops.regions import regions
from tests.cacheops.patterns.aside.loading import NOON, Calls, entries

pytestmark = pytest.mark.django_db(databases="__all__")


@pytest.mark.parametrize(
    "value",
    [
        0, "", False, [], {}, 1.5, "°C", b"\x00\xff", NOON, Decimal("1.10"), uuid.UUID(int=7), {1, 2},
        {"at": NOON, "of": (1, [Decimal("2.50")])}, [(1, NOON), (2, None)],
    ],
    ids=repr,
)  # fmt: skip
def test_a_value_is_loaded_once_and_comes_back_as_it_was(value: Any, region: str) -> None:
    manager, calls = CacheAsideManager(), Calls(value)
    assert manager.get_or_set("device:7:data", calls) == value
    again = manager.get_or_set("device:7:data", calls)
    assert again == value
    assert type(again) is type(value)
    assert calls.count == 1


def test_none_is_kept_for_a_time_of_its_own(region: str) -> None:
    calls = Calls(None)
    kept, not_kept = CacheAsideManager(none_ttl=60), CacheAsideManager(none_ttl=0)
    assert [kept.get_or_set("device:7:current", calls) for _ in range(3)] == [None] * 3
    assert calls.count == 1
    assert [not_kept.get_or_set("device:8:current", calls) for _ in range(3)] == [None] * 3
    assert calls.count == 4
    assert set(kept.get_or_set_many(entries("device:9:current"), lambda keys: {}).values()) == {None}
    assert kept.get_or_set("device:9:current", Calls("other")) is None


def test_an_entry_lives_as_long_as_it_is_told(region: str) -> None:
    manager = CacheAsideManager(default_ttl="long_term", none_ttl=60)
    lives: dict[str, float] = {}
    store = regions.local.store
    fill = store.fill

    def recording(entries: Any, *rest: Any) -> Any:
        lives.update((one.entry.rpartition(":")[2], one.ttl) for one in entries)
        return fill(entries, *rest)

    store.fill = recording  # type: ignore[method-assign]
    manager.get_or_set("a:default", Calls())
    manager.get_or_set("a:seconds", Calls(), ttl=600)
    manager.get_or_set("a:none", Calls(None))
    manager.get_or_set("a:nothing", Calls(), ttl=0)
    many = [AsideEntry("a:m-default"), AsideEntry("a:m-named", (), "real_time"), AsideEntry("a:m-none")]
    manager.get_or_set_many(many, lambda keys: {"a:m-default": 1, "a:m-named": 2})
    jitter = 0.1
    expected = {"default": 86400, "seconds": 600, "none": 60, "m-default": 86400, "m-named": 60, "m-none": 60}
    assert lives.keys() == expected.keys()
    assert all(seconds * (1 - jitter) <= lives[name] <= seconds for name, seconds in expected.items())


def test_nothing_is_kept_with_a_ttl_of_0(region: str) -> None:
    manager, calls = CacheAsideManager(), Calls()
    for _ in range(2):
        manager.get_or_set("device:7:data", calls, ttl=0)
    assert calls.count == 2


def test_look_ups_are_counted(region: str) -> None:
    manager = CacheAsideManager()
    counters.reset()
    with collect_request_stats() as stats:
        manager.get_or_set("device:7:data", Calls())
        manager.get_or_set("device:7:data", Calls())
        manager.get_or_set_many(entries("device:7:data", "device:8:data"), Calls().many)
    assert (stats.hits, stats.misses, stats.bypasses) == (2, 2, 0)
    assert counters.hits["device:aside"] == 2
    assert counters.misses["device:aside"] == 2


def test_the_cache_can_be_passed_by(region: str) -> None:
    manager, calls = CacheAsideManager(), Calls()
    with bypassed():
        manager.get_or_set("device:7:data", calls)
        manager.get_or_set_many(entries("device:7:data"), calls.many)
    manager.get_or_set("device:7:data", calls)
    assert (calls.count, len(calls.asked)) == (2, 1)


def test_rows_are_kept_as_a_query_returns_them(region: str) -> None:
    manager = CacheAsideManager(rows=True)
    table = [(1, 2.5, "a", NOON), (2, None, "b", None)]
    for _ in range(2):
        found = manager.get_or_set_many(entries("a:full", "a:empty"), lambda keys: {"a:full": table, "a:empty": []})
        assert {key: list(rows) for key, rows in found.items()} == {"a:full": table, "a:empty": []}
