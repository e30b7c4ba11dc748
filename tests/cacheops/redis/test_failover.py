"""A failover heals by itself: the same cache object goes on with the new primary."""

import contextlib
import threading
from urllib.parse import urlsplit

import pytest

from cacheops.exceptions import LockLost
from cacheops.redis.thread_transport import ThreadTransport
from tests import clients
from tests.cacheops.redis.conftest import primary
from tests.waiting import until

REGIONS = ("us-east-1", "us-west-2")
PATIENT = {"IGNORE_EXCEPTIONS": False, "RETRIES": 1000, "RETRY_BUDGET": 10.0, "RETRY_BACKOFF_CAP": 0.05}


@pytest.mark.parametrize("region", REGIONS)
@pytest.mark.parametrize("fault", ["kill", "pause"])
def test_the_cache_serves_again_after_the_loss_of_a_primary(broken, make, region, fault):
    cache = make(region)
    keys = [f"key{number}" for number in range(20)]
    cache.set_many(dict.fromkeys(keys, "before"))
    getattr(broken, fault)(primary(broken, region))

    until(lambda: cache.set_many(dict.fromkeys(keys, "after")) == [], "every key is written")
    until(lambda: cache.get_many(keys) == dict.fromkeys(keys, "after"), "every key is read")
    assert [cache.get(key) for key in keys] == ["after"] * 20


@pytest.mark.parametrize("region", REGIONS)
def test_a_planned_failover_costs_no_error(broken, make, region):
    cache = make(region, **PATIENT)
    done = threading.Event()
    written: list[int] = []
    errors: list[Exception] = []

    def write() -> None:
        try:
            while not done.is_set() or len(written) < 100:
                number = len(written)
                cache.set(f"key{number % 50}", number)
                assert cache.get(f"key{number % 50}") == number
                cache.get_many([f"key{index}" for index in range(10)])
                cache.set_many({"a": number, "b": number})
                cache.incr("a")
                lock = cache.lock("lock", timeout=3600)
                assert lock.acquire()
                with contextlib.suppress(LockLost):  # the answer to a release may be lost; the lock is not
                    lock.release()
                written.append(number)
        except Exception as error:  # noqa: BLE001 - whatever it is, the test reports it
            errors.append(error)

    writer = threading.Thread(target=write)
    writer.start()
    until(lambda: len(written) > 20 or errors, "the writer writes")
    broken.failover(region)
    reached = len(written)
    until(lambda: len(written) > reached + 50 or errors, "the writer goes on")
    done.set()
    writer.join()

    assert errors == []


@pytest.mark.parametrize("region", REGIONS)
def test_connections_that_were_cut_while_idle_are_replaced(broken, make, region):
    cache = make(region, IGNORE_EXCEPTIONS=False, RETRIES=1)
    cache.set_many({f"key{number}": number for number in range(20)})
    for node in cache.client.servers.primaries():
        own = str(node.client_id())
        for connected in node.client_list(_type="normal"):
            if connected["id"] != own:
                node.client_kill_filter(_id=connected["id"])
        node.client_kill_filter(_id=own, skipme=False)

    assert cache.get("key1") == 1
    assert len(cache.get_many([f"key{number}" for number in range(20)])) == 20


@pytest.fixture(params=["us-east-1", "us-west-2"])
def moving(request, broken, make):
    """Return a cache, used directly and through tunnels, with a key whose slot is being moved to another server."""
    cache = make("us-east-1", own=request.param, IGNORE_EXCEPTIONS=False, RETRIES=0)
    cache.set("key", "value")
    servers, key = cache.client.servers, cache.make_key("key")
    source = servers.node_of(key)
    (target,) = [node for node in servers.primaries() if node is not source]
    slot, ids = servers.client.keyslot(key), {node: node.execute_command("CLUSTER MYID") for node in (source, target)}
    target.execute_command("CLUSTER SETSLOT", slot, "IMPORTING", ids[source])
    source.execute_command("CLUSTER SETSLOT", slot, "MIGRATING", ids[target])
    source.execute_command("MIGRATE", "127.0.0.1", target.config_get("port")["port"], key, 0, 5000)
    yield cache
    target.execute_command("CLUSTER SETSLOT", slot, "STABLE")
    source.execute_command("CLUSTER SETSLOT", slot, "STABLE")


def test_a_slot_that_is_being_moved_is_served(moving):
    key = moving.make_key("key")
    engine = ThreadTransport(moving.client.servers)

    assert moving.get("key") == "value"
    assert moving.get_many(["key", "other"]) == {"key": "value"}
    assert moving.incr("count", ignore_key_check=True) == 1
    assert moving.set_many({"key": 7, "other": 1}) == []
    assert engine.run(("GET", key), key) == b"7"
    assert moving.delete_many(["key", "other"]) == 2
    engine.close()


def test_a_primary_that_the_layout_lacks_is_found(broken, make):
    """The layout was learned while the replicas were away; later they take over, and answers lead to them."""
    replicas = [clients.replica(broken, "us-east-1", shard)["node"] for shard in (1, 2)]
    for node in replicas:
        broken.pause(node)
    until(lambda: sizes_of_shards(broken) == [1, 1], "the cluster leaves the replicas out")
    cache = make("us-east-1", **PATIENT)  # a primary that was away takes no commands for its first second or two
    cache.set("key", 1)
    engine, key = ThreadTransport(cache.client.servers), cache.make_key("key")
    assert engine.run(("GET", key), key) == b"1"
    for node in replicas:
        broken.resume(node)
    broken.wait_linked()
    until(lambda: not taken_for_dead(broken), "no server takes another one for dead")

    broken.failover("us-east-1")

    assert engine.run(("SET", key, 2), key) == b"OK"
    assert cache.get("key") == 2
    engine.close()


def taken_for_dead(broken) -> set[str]:
    """Return which servers of the cluster others take for dead: of a primary they think so for two node time-outs."""
    found = set()
    for row in broken.status():
        if row["region"] == "us-east-1" and row["shard"]:
            with clients.node(row) as node:
                others = node.execute_command("CLUSTER NODES")
                found |= {name for name, told in others.items() if {"fail", "fail?"} & set(told["flags"].split(","))}
    return found


def sizes_of_shards(broken) -> list[int]:
    with clients.node(clients.primary(broken, "us-east-1")) as node:
        return [len(shard) - 2 for shard in node.execute_command("CLUSTER SLOTS")]  # first and last slot, then nodes


def test_another_node_is_asked_when_the_first_address_is_gone(broken, make):
    cache = make("us-east-1", IGNORE_EXCEPTIONS=False, RETRIES=20)
    cache.set("key", 1)
    port = urlsplit(cache.client.server_options.urls[0]).port
    broken.kill(next(row["node"] for row in broken.status() if row["address"].endswith(f":{port}")))

    until(lambda: cache.set("key", 2), "another node says who serves the key")
    assert cache.get("key") == 2
