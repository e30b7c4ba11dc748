"""Regions that are far from each other: what a link passes on takes its way, in order, and nothing is lost."""

import time

import psycopg
import pytest

from tests import clients
from tests.waiting import until
from xyzsite.localregions.exceptions import LocalRegionsError

FAR = 300  # milliseconds


def seconds_of(ask):
    began = time.monotonic()
    ask()
    return time.monotonic() - began


def patient(regions, region, seen_from):
    return clients.pair(regions, region, seen_from=seen_from, socket_timeout=30)


def test_a_link_takes_its_way_and_a_region_does_not(regions):
    far, near = patient(regions, "us-west-2", "us-east-1"), patient(regions, "us-west-2", "us-west-2")
    regions.distance("us-west-2", FAR)
    assert seconds_of(far.ping) >= 2 * FAR / 1000  # the connection first
    assert seconds_of(far.ping) >= FAR / 1000
    assert near.ping()
    between = regions.environment("us-west-2")["DATABASE_URL"]
    with psycopg.connect(between, autocommit=True) as database:
        assert seconds_of(lambda: database.execute("SELECT 1")) >= FAR / 1000
    regions.distance("us-west-2", 0)
    assert far.ping()


def test_what_is_sent_together_arrives_together(regions):
    far = patient(regions, "us-west-2", "us-east-1")
    far.ping()
    regions.distance("us-west-2", FAR)
    with far.pipeline(transaction=False) as pipeline:
        for number in range(100):
            pipeline.set("key", number)
            pipeline.get("key")
        assert pipeline.execute()[1::2] == [str(number) for number in range(100)]


@pytest.mark.parametrize("disturbance", [{}, {"jitter": 20}, {"loss": 30}])
def test_bytes_come_whole_and_in_order(regions, disturbance):
    far = patient(regions, "us-east-2", "us-east-1")
    regions.distance("us-east-2", 10, **disturbance)
    value = "".join(str(number) for number in range(1_500_000))  # more than a link holds under way
    far.set("key", value)
    assert far.get("key") == value
    far.delete("key")


def test_what_is_under_way_waits_for_the_end_of_a_partition(regions):
    far, near = patient(regions, "us-west-2", "us-east-1"), patient(regions, "us-west-2", "us-west-2")
    far.set("key", "before")
    regions.distance("us-west-2", 4 * FAR)
    connection = far.connection_pool.get_connection()
    connection.send_command("SET", "key", "under way")
    regions.partition("us-west-2")
    time.sleep(3 * FAR / 1000)  # it would have arrived
    assert near.get("key") == "before"
    regions.heal()
    assert connection.read_response() == "OK"
    assert near.get("key") == "under way"
    far.connection_pool.release(connection)


def test_a_replica_follows_across_the_distance(regions):
    regions.distance("us-west-2", FAR)
    with psycopg.connect(regions.environment("us-east-1")["DATABASE_URL"], autocommit=True) as home:
        home.execute("DROP TABLE IF EXISTS far")
        home.execute("CREATE TABLE far AS SELECT 1")
    with psycopg.connect(regions.environment("us-west-2")["DATABASE_REPLICA_URL"], autocommit=True) as replica:
        exists = "SELECT to_regclass('far') IS NOT NULL"
        until(lambda: replica.execute(exists).fetchone()[0], "the replica has the table")


@pytest.mark.parametrize("given", [(-1, 0, 0), (float("nan"), 0, 0), (10, -1, 0), (10, 0, 100), (20_000, 0, 0)])
def test_what_is_no_distance_is_refused(regions, given):
    milliseconds, jitter, loss = given
    with pytest.raises(LocalRegionsError, match=r"milliseconds from 0|percentage"):
        regions.distance("us-west-2", milliseconds, jitter=jitter, loss=loss)
    with pytest.raises(LocalRegionsError, match="There is no region"):
        regions.distance("mars", 1)
