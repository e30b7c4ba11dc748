"""What the monitor asks of servers is allowed to the application's user of deploy/redis/users.acl."""

import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import redis
from django.test import Client

from cacheops.databases import table_keys
from cacheops.instrumentation.counters import counters
from cacheops.monitoring.monitor import CacheMonitor
from cacheops.monitoring.recorder import flusher
from cacheops.panel.polling import answers
from cacheops.panel.region_page import region_page
from cacheops.regions import regions
from cacheops.stores.base import EncodedEntry, TableTags
from tests.cacheops.panel.conftest import PANEL
from tests.deploy.conftest import Node
from tests.deploy.test_redis_files import form_cluster
from tests.waiting import until
from users.models import User

pytestmark = pytest.mark.django_db(databases=["default", "other"])

Servers = tuple[str, list[Node]]  # the region whose form they have, and its nodes


@pytest.fixture(scope="module", params=["us-west-2", "us-east-1"])
def servers(request: Any, start: Callable[..., Node]) -> Servers:
    """Start a primary with its reader, or a cluster of two shards, from the files of deploy/redis."""
    if request.param == "us-west-2":
        primary = start("pair")
        return request.param, [primary, start("pair", "--replicaof", "127.0.0.1", str(primary.port))]
    nodes = [start("cluster") for _ in range(4)]
    form_cluster([f"127.0.0.1:{node.port}@{node.bus}" for node in nodes])
    with redis.RedisCluster("127.0.0.1", nodes[0].port, username="app", password="app-secret") as client:
        for number in range(20):  # a replica is named once it has heard anything of its primary
            client.set(f"xyz:key{number}", 1, ex=60)
    for node in nodes:
        with node.client("app") as own:
            until(lambda asked=own: sizes_of_shards(asked) == [2, 2], "each shard names its replica")
    return request.param, nodes


def sizes_of_shards(client: redis.Redis) -> list[int]:
    return [len(shard) - 2 for shard in client.execute_command("CLUSTER", "SLOTS")]  # first and last slot, then nodes


@pytest.fixture
def region(servers: Servers, settings: Any) -> Iterator[str]:
    """Have the servers be the process's region, under the application's user."""
    name, nodes = servers
    urls = [f"redis://app:app-secret@127.0.0.1:{node.port}/0" for node in nodes]
    settings.CACHES = {**settings.CACHES, name: {**settings.CACHES[name], "LOCATION": urls}}
    settings.CACHEOPS_REGIONS = (name,)
    settings.CACHEOPS_LOCAL_REGION = name
    settings.CACHEOPS_BREAKER_RECOVERY = 0  # who waits for the servers asks again at once
    settings.CACHEOPS_PREFIX = f"co:t-{uuid.uuid4().hex[:8]}"
    counters.reset()
    flusher.reset()
    yield name
    counters.reset()
    flusher.reset()


@pytest.fixture
def monitor(region: str, settings: Any) -> CacheMonitor:
    """Return the monitor of a region that holds an entry with its tags, and figures."""
    store, keys = regions.local.store, table_keys("default", "devices_device")
    store.lease([TableTags(keys, ("serial=1",), ("serial",))], keys.loader("a"), 60, 0).result()
    store.fill([EncodedEntry(keys.entry("a"), b"x" * 20_000, 60)]).result()
    counters.hit("devices.device:get", 0.001)
    assert flusher.flush()
    return CacheMonitor()


def test_every_node_tells_of_itself(monitor: CacheMonitor, servers: Servers) -> None:
    until(lambda: monitor.state().health == "healthy", "the region is healthy")
    state = monitor.state()
    assert state.error == ""
    assert sorted(node.server for node in state.nodes) == sorted(f"127.0.0.1:{node.port}" for node in servers[1])
    assert all(node.used_memory and node.maxmemory and not node.error for node in state.nodes)
    assert state.now is not None
    assert state.now.total.hits == 1
    found = monitor.get_memory_analysis()
    assert found["memory_fragmentation_ratio"]
    assert not any(node["error"] for node in found["nodes"].values())


def test_keys_are_scanned_and_measured(monitor: CacheMonitor) -> None:
    assert monitor.get_key_distribution()["devices.device:entries"] == 1
    entries = next(group for group in monitor.distribution().groups if group.kind == "entries")
    assert entries.bytes > 20_000


def test_the_slow_log_is_read_from_every_node(monitor: CacheMonitor, servers: Servers, region: str) -> None:
    for node in servers[1]:
        with node.client("operations") as client:
            client.config_set("slowlog-log-slower-than", 0)
    regions.local.store.inspection.nodes()
    assert {slow.server for slow in monitor.slow_log(1_000)} == {f"127.0.0.1:{node.port}" for node in servers[1]}
    for node in servers[1]:
        with node.client("operations") as client:
            client.config_set("slowlog-log-slower-than", 10_000)
    page = region_page(region, "1h", User(is_superuser=True))
    assert page.card.error == ""
    assert page.slow
    assert page.distribution is not None


@pytest.fixture
def forbidden(servers: Servers) -> Iterator[None]:
    """Have the servers refuse what only the monitor needs, as a stricter access list does."""
    rules = ("slowlog|get", "scan")
    for node in servers[1]:
        with node.client("operations") as client:
            client.execute_command("ACL", "SETUSER", "app", *[f"-{rule}" for rule in rules])
    yield
    for node in servers[1]:
        with node.client("operations") as client:
            client.execute_command("ACL", "SETUSER", "app", *[f"+{rule}" for rule in rules])


@pytest.mark.usefixtures("forbidden")
def test_what_is_refused_is_told(monitor: CacheMonitor, region: str, admin_client: Client) -> None:
    answers.forget()
    content = admin_client.get(f"{PANEL}regions/{region}/").content.decode()
    assert monitor.state().health == "healthy"
    for text in ("The keys were not counted: ", "There is no slow log to show: "):
        assert f"{text}The region&#x27;s server refused: " in content
    assert "No slow command" not in content
