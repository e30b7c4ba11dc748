"""TTLManager on caches, and OptimizedRedisClient: on a cluster, on pairs and in memory."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from cacheops.exceptions import InvalidKey, InvalidOption, UnencodableValue
from cacheops.redis.optimized_client import OptimizedRedisClient
from cacheops.ttl import TTLManager

manager = TTLManager({"brief": 10})


def test_a_kind_of_data_has_its_ttl_and_may_be_overridden(cache: Any) -> None:
    assert manager.set_with_smart_ttl(cache, "device:1", {"a": 1}, "device_data")
    assert manager.set_with_smart_ttl(cache, "device:2", {"a": 2}, "device_data", custom_ttl=1000)
    assert manager.set_with_smart_ttl(cache, "device:3", {"a": 3}, "brief")
    assert 200 < cache.ttl("device:1") <= 300
    assert 900 < cache.ttl("device:2") <= 1000
    assert 0 <= cache.ttl("device:3") <= 10
    manager.set_with_smart_ttl(cache, "device:3", {"a": 3}, "brief", custom_ttl=0)
    assert cache.get("device:3") is None


def test_access_lengthens_what_is_left_up_to_the_strategys_ttl_and_never_shortens_it(cache: Any) -> None:
    cache.set("key", 1, 100)
    assert manager.extend_ttl_on_access(cache, "key", "device_data")
    assert 100 < cache.ttl("key") <= 150
    for _ in range(5):
        manager.extend_ttl_on_access(cache, "key", "device_data")
    assert 200 < cache.ttl("key") <= 300
    cache.set("key", 1, 1000)
    assert manager.extend_ttl_on_access(cache, "key", "device_data")
    assert cache.ttl("key") > 300
    cache.set("for ever".replace(" ", "-"), 1, None)
    assert manager.extend_ttl_on_access(cache, "for-ever", "device_data")
    assert cache.ttl("for-ever") is None
    assert not manager.extend_ttl_on_access(cache, "absent", "device_data")


def test_readers_at_one_time_do_not_undo_each_others(cache: Any) -> None:
    cache.set("key", 1, 40)
    with ThreadPoolExecutor(4) as threads:
        list(threads.map(lambda _: manager.extend_ttl_on_access(cache, "key", "device_data", 0.1), range(20)))
    assert 245 < cache.ttl("key") <= 270  # 40 s, longer by a tenth 20 times; 19 times would be 244


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (("key", 1, "no_such"), InvalidOption),
        (("key", 1, -1), InvalidOption),
        (("key", 1, "brief", -1), InvalidOption),
        (("key", object(), "brief"), UnencodableValue),
        (("two words", 1, "brief"), InvalidKey),
        (("k" * 10_000_000, 1, "brief"), InvalidKey),
    ],
    ids=lambda value: str(value)[:20],
)
def test_bad_input_is_named(cache: Any, arguments: Any, error: type[Exception]) -> None:
    with pytest.raises(error):
        manager.set_with_smart_ttl(cache, *arguments)


def test_bad_extensions_are_named(cache: Any) -> None:
    for factor in (-0.5, float("inf"), True):
        with pytest.raises(InvalidOption, match="extension_factor"):
            manager.extend_ttl_on_access(cache, "key", "brief", factor)
    with pytest.raises(InvalidKey):
        manager.extend_ttl_on_access(cache, "two words", "brief")


@pytest.mark.servers
@pytest.mark.parametrize("region", ["us-east-1", "us-west-2", "us-east-2"])
def test_the_client_tells_the_figures_of_its_pools(region: str) -> None:
    shared = OptimizedRedisClient.of(region)
    shared.client.set("client:test", "1", ex=10)
    stats = shared.get_pool_stats()
    assert stats["created_connections"] == stats["available_connections"] + stats["in_use_connections"] >= 1
    assert stats["max_connections"] == sum(one["limit"] for one in stats["servers"])


@pytest.mark.servers
def test_a_client_of_its_own_holds_a_connection_while_it_waits_for_an_answer() -> None:
    host, _, port = OptimizedRedisClient.of("us-west-2").get_pool_stats()["servers"][0]["server"].rpartition(":")
    own = OptimizedRedisClient(host, int(port), 7, retries=1)
    assert own.client.ping()
    with own.client.pipeline() as held:
        held.watch("anything")
        assert {name: own.get_pool_stats()[name] for name in ("max_connections", "in_use_connections")} == {
            "max_connections": 7,
            "in_use_connections": 1,
        }
    assert own.get_pool_stats()["available_connections"] == 1


def test_a_cache_in_memory_has_no_connections(settings: Any) -> None:
    memory = {"BACKEND": "cacheops.backends.MemoryCache"}
    settings.CACHES = {"default": memory}
    found = OptimizedRedisClient.of("default")
    assert found.get_pool_stats()["created_connections"] == 0
    with pytest.raises(InvalidOption, match="in memory"):
        found.client.ping()


@pytest.mark.parametrize(
    ("host", "port", "options"),
    [
        ("", 6379, {}),
        ("a b", 6379, {}),
        ("h", 0, {}),
        ("h", "x", {}),
        ("h", 1, {"max_connections": 0}),
        ("h", 1, {"x": 1}),
    ],
)
def test_a_client_that_can_not_work_is_refused(host: str, port: Any, options: dict[str, Any]) -> None:
    with pytest.raises(InvalidOption):
        OptimizedRedisClient(host, port, **options)
