"""A region cut off: nothing passes, nothing is refused, inside all goes on."""

import socket
from urllib.parse import urlsplit

import psycopg
import pytest
import redis

from tests import clients
from tests.waiting import until


def database(regions, region, name="DATABASE_URL"):
    return psycopg.connect(regions.environment(region)[name], autocommit=True, connect_timeout=2)


def test_every_region_reaches_every_other_one(regions):
    for source in ("us-east-1", "us-west-2", "us-east-2"):
        assert clients.cluster(regions, seen_from=source).set(clients.KEYS[1], source)
        assert clients.cluster(regions, seen_from=source).set(clients.KEYS[2], source)
        for target in ("us-west-2", "us-east-2"):
            assert clients.pair(regions, target, seen_from=source).set("key", source)
            assert clients.pair(regions, target, seen_from=source, reader=True).ping()


@pytest.mark.parametrize("cut_off", ["us-west-2", "us-east-1"])
def test_a_partition_cuts_both_directions(regions, cut_off):
    west_from_home = clients.pair(regions, "us-west-2", seen_from="us-east-1", socket_timeout=0.2)
    home_from_west = clients.cluster(regions, seen_from="us-west-2")
    assert west_from_home.ping()
    assert home_from_west.ping()
    regions.partition(cut_off)
    with pytest.raises(redis.TimeoutError):
        west_from_home.ping()
    with pytest.raises(redis.TimeoutError):  # on a new connection
        west_from_home.ping()
    with pytest.raises(clients.FAILURES):
        clients.cluster(regions, seen_from="us-west-2")
    regions.heal()
    assert west_from_home.ping()
    assert home_from_west.ping()


def test_inside_and_among_the_others_all_goes_on(regions):
    regions.partition("us-west-2")
    assert clients.pair(regions, "us-west-2").set("key", "inside")
    assert clients.cluster(regions).set(clients.KEYS[1], "inside")
    assert clients.pair(regions, "us-east-2", seen_from="us-east-1").set("key", "others")
    assert clients.cluster(regions, seen_from="us-east-2").get(clients.KEYS[1]) == "inside"


def open_link(regions):
    """Return a connection from us-east-1 to the primary address of us-west-2 that has just been answered."""
    url = regions.environment("us-east-1")["REDIS_URL_US_WEST_2"]
    link = socket.create_connection(("127.0.0.1", urlsplit(url).port), timeout=5)
    assert ask(link) == b"+PONG\r\n"
    return link


def ask(link):
    link.sendall(b"PING\r\n")
    return link.recv(64)


def test_a_link_stalls_and_is_not_reset(regions):
    with open_link(regions) as link:
        regions.partition("us-west-2")
        link.settimeout(0.2)
        with pytest.raises(TimeoutError):
            ask(link)
        regions.heal()
        link.settimeout(5)
        assert link.recv(64) == b"+PONG\r\n"


def test_a_failover_behind_a_partition_is_seen_when_it_heals(regions):
    with open_link(regions) as link:
        regions.partition("us-west-2")
        regions.failover("us-west-2")
        assert clients.pair(regions, "us-west-2").set("key", "inside")
        link.settimeout(0.2)
        with pytest.raises(TimeoutError):  # no packet comes through, not even the end of the connection
            link.recv(64)
        regions.heal()
        link.settimeout(5)
        assert is_closed(link)
    assert clients.pair(regions, "us-west-2", seen_from="us-east-1").get("key") == "inside"


def is_closed(link):
    try:
        return link.recv(64) == b""
    except ConnectionResetError:
        return True


def test_databases_are_cut_off_too(regions):
    with database(regions, "us-east-1") as primary:
        primary.execute("create table if not exists noted (value text)")
        primary.execute("truncate noted")
        replica = database(regions, "us-west-2", "DATABASE_REPLICA_URL")
        other = database(regions, "us-east-2", "DATABASE_REPLICA_URL")
        regions.partition("us-west-2")
        with pytest.raises(psycopg.OperationalError):
            database(regions, "us-west-2")
        primary.execute("insert into noted values ('during')")
        until(lambda: values(other) == ["during"], "the replica of the other region follows")
        assert values(replica) == []
        regions.heal()
        until(lambda: values(replica) == ["during"], "the replica catches up")
        replica.close()
        other.close()


def values(connection):
    try:
        return [row[0] for row in connection.execute("select value from noted")]
    except psycopg.errors.UndefinedTable:
        return None


def test_a_killed_database_replica_comes_back_and_follows(regions):
    regions.kill("us-east-2-db")
    with database(regions, "us-east-1") as primary:
        primary.execute("create table if not exists kept (value text)")
        primary.execute("truncate kept")
        primary.execute("insert into kept values ('while away')")
    until(lambda: kept(regions) == [("while away",)], "the replica is back with what it missed")


def kept(regions):
    try:
        with database(regions, "us-east-2", "DATABASE_REPLICA_URL") as replica:
            return replica.execute("select value from kept").fetchall()
    except psycopg.Error:
        return None


def test_a_frozen_database_replica_answers_when_resumed(regions):
    replica = database(regions, "us-east-2", "DATABASE_REPLICA_URL")
    regions.pause("us-east-2-db")
    assert clients.row(regions, "us-east-2-db")["state"] == "paused"
    with pytest.raises(psycopg.OperationalError):
        database(regions, "us-east-2", "DATABASE_REPLICA_URL")
    regions.resume("us-east-2-db")
    assert replica.execute("select pg_is_in_recovery()").fetchone() == (True,)
    replica.close()
