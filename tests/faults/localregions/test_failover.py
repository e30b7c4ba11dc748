"""A dead or frozen primary is replaced, and never serves again as one."""

import itertools
import threading
import time

import pytest
import redis

from tests import clients
from tests.waiting import until
from xyzsite.localregions.exceptions import UnknownName

SHARDS = [("us-east-1", 1), ("us-east-1", 2), ("us-west-2", 1), ("us-east-2", 1)]


def client_of(regions, region):
    return clients.cluster(regions) if region == "us-east-1" else clients.pair(regions, region)


def key_of(region, shard):
    return clients.KEYS[shard] if region == "us-east-1" else "key"


@pytest.mark.parametrize(("region", "shard"), SHARDS)
@pytest.mark.parametrize("fault", ["kill", "pause"])
def test_writes_go_on_when_a_primary_is_lost(regions, region, shard, fault):
    old = clients.primary(regions, region, shard)
    client, key = client_of(regions, region), key_of(region, shard)
    client.set(key, "before")
    until(lambda: clients.replica(regions, region, shard)["lag"] == 0, "the replica has the write")
    getattr(regions, fault)(old["node"])
    until(lambda: clients.write(client, key, "after"), "a write after the fault")
    assert client.get(key) == "after"
    if fault == "pause":
        assert clients.primary(regions, region, shard)["node"] != old["node"]


@pytest.mark.parametrize(("region", "shard"), SHARDS)
def test_a_killed_primary_comes_back_as_a_replica(regions, region, shard):
    old = clients.primary(regions, region, shard)
    regions.kill(old["node"])
    until(lambda: clients.primary(regions, region, shard)["node"] != old["node"], "another primary")
    regions.wait_linked()
    back = clients.row(regions, old["node"])
    assert (back["role"], back["state"], back["in_sync"]) == ("replica", "up", True)
    assert back["pid"] != old["pid"]
    assert clients.node(back).role()[0] == "slave"


def test_a_replica_takes_over_with_the_data(regions):
    west = clients.pair(regions, "us-west-2")
    west.mset({f"kept:{number}": number for number in range(500)})
    assert west.wait(1, 5000) == 1
    regions.kill(clients.primary(regions, "us-west-2")["node"])
    values = until(lambda: read_all(west), "the stable address answers")
    assert values == [str(number) for number in range(500)]


def read_all(client):
    try:
        return client.mget([f"kept:{number}" for number in range(500)])
    except redis.RedisError:
        return None


def test_a_killed_replica_does_not_stop_reads_or_writes(regions):
    regions.kill(clients.replica(regions, "us-west-2")["node"])
    client, reader = clients.pair(regions, "us-west-2"), clients.pair(regions, "us-west-2", reader=True)
    assert client.set("key", "written without a replica")
    until(lambda: value_of(reader) == "written without a replica", "the reader address leads to the primary")
    regions.wait_linked()


def value_of(client):
    try:
        return client.get("key")
    except redis.RedisError:
        return None


def test_the_reader_address_leads_to_the_replica(regions):
    reader = clients.pair(regions, "us-west-2", reader=True)
    until(lambda: role_of(reader) == "slave", "the reader address leads to the replica")
    with pytest.raises(redis.ReadOnlyError):
        reader.set("key", "value")


def role_of(client):
    try:
        return client.role()[0]
    except redis.RedisError:
        return None


def test_a_resumed_primary_is_a_replica_and_the_stable_address_never_leads_to_it(regions):
    old = clients.primary(regions, "us-west-2")
    open_before = clients.pair(regions, "us-west-2")
    open_before.set("key", "before")
    regions.pause(old["node"])
    until(lambda: clients.write(open_before, "key", "after"), "a write after the fault")
    regions.resume(old["node"])
    for _ in range(50):  # some of these fall into the moment in which the old primary wakes
        stable = clients.pair(regions, "us-west-2")
        assert stable.info("server")["tcp_port"] != clients.address(old["address"])[1]
        assert stable.get("key") == "after"
    until(lambda: role_of(clients.node(old)) == "slave", "the old primary follows")
    regions.wait_linked()
    assert clients.node(old).get("key") == "after"


@pytest.mark.parametrize(("region", "shard"), [("us-west-2", 1), ("us-east-1", 1)])
def test_a_resumed_primary_takes_no_write_even_by_its_own_address(regions, region, shard):
    old = clients.primary(regions, region, shard)
    direct, key = clients.node(old), key_of(region, shard)
    direct.set(key, "before")
    regions.pause(old["node"])
    until(lambda: clients.primary(regions, region, shard)["node"] != old["node"], "another primary")
    regions.resume(old["node"])
    accepted = 0
    while role_of(clients.node(old)) != "slave":
        accepted += clients.write(clients.node(old), key, "split")
    assert accepted == 0
    regions.wait_linked()
    assert client_of(regions, region).get(key) == "before"


@pytest.mark.parametrize("sent", ["before the promotion", "after the promotion"])
@pytest.mark.parametrize("region", ["us-west-2", "us-east-1"])
def test_a_write_that_waited_in_a_frozen_primary_is_refused_when_it_wakes(regions, region, sent):
    old, key = clients.primary(regions, region), key_of(region, 1)
    direct = clients.node(old).connection_pool.get_connection()
    regions.pause(old["node"])
    if sent == "before the promotion":
        time.sleep(0.3)  # the supervisor asks every 50 ms, and waits 600 ms for an answer
        direct.send_command("SET", key, "split")
    until(lambda: clients.primary(regions, region)["node"] != old["node"], "another primary")
    if sent == "after the promotion":
        direct.send_command("SET", key, "split")
    regions.resume(old["node"])
    with pytest.raises(redis.RedisError):  # READONLY, MOVED, or a closed connection
        direct.read_response(timeout=5)
    direct.disconnect()


def test_both_nodes_of_a_pair_killed_come_back(regions):
    for name in ("us-east-2-a", "us-east-2-b"):
        regions.kill(name)
    client = clients.pair(regions, "us-east-2")
    until(lambda: clients.write(client, "key", "value"), "a write after both were killed")
    regions.wait_linked()


def test_both_nodes_of_a_shard_killed_come_back(regions):
    client = clients.cluster(regions)
    for name in ("us-east-1-1a", "us-east-1-1b"):
        regions.kill(name)
    until(lambda: clients.write(client, clients.KEYS[1], "value"), "a write to the shard")
    regions.wait_linked()


@pytest.mark.parametrize("region", ["us-east-1", "us-west-2"])
def test_failover_on_demand_loses_no_write(regions, region):
    client, before = client_of(regions, region), clients.primary(regions, region)["node"]
    taken, done = [], threading.Event()

    def write_on():
        for number in itertools.takewhile(lambda _: not done.is_set(), itertools.count()):
            key = f"{{{key_of(region, 1)}}}:{number}"
            if clients.write(client, key, "value"):
                taken.append(key)

    writer = threading.Thread(target=write_on)
    writer.start()
    until(lambda: len(taken) > 200, "some writes before")
    regions.failover(region)
    until_now = len(taken)
    until(lambda: len(taken) > until_now + 200, "some writes after")
    done.set()
    writer.join()
    assert clients.primary(regions, region)["node"] != before
    assert [key for key in taken if client.get(key) != "value"] == []


def test_unknown_names_are_refused_with_the_right_ones(regions):
    with pytest.raises(UnknownName, match=r"us-east-1-1a.*us-west-2-b.*us-east-1-db"):
        regions.kill("us-west-2-c")
    with pytest.raises(UnknownName, match="us-east-1, us-west-2, us-east-2"):
        regions.failover("mars")
