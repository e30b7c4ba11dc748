"""What INFO says, as figures: roles, lag behind the own primary, rates between two looks."""

import pytest

from cacheops.monitoring.nodes import NodeStats, node_stats_of, primary_offset, rates_between, slow_command

REPLICA = {
    "server": "10.0.0.2:6379",
    "role": "slave",
    "master_host": "10.0.0.1",
    "master_port": 6379,
    "slave_repl_offset": 900,
    "master_link_status": "up",
    "master_last_io_seconds_ago": 1,
    "used_memory": 50,
    "maxmemory": 200,
    "mem_fragmentation_ratio": 1.5,
    "db0": {"keys": 7, "expires": 7, "avg_ttl": 0},
}


def test_a_replica_lags_behind_its_own_primary() -> None:
    offset = primary_offset(REPLICA, {"10.0.0.1:6379": 1000, "10.0.0.3:6379": 5000}, [1000, 5000])
    figures = node_stats_of(REPLICA, offset)
    assert (figures.role, figures.lag_bytes, figures.link_up, figures.keys) == ("replica", 100, True, 7)
    assert figures.memory_share == 0.25


def test_behind_an_endpoint_the_only_primary_is_meant() -> None:
    """A pair's settings name endpoints, and INFO names addresses."""
    assert primary_offset(REPLICA, {"primary.example.org:6379": 1000}, [1000]) == 1000
    assert primary_offset(REPLICA, {"a:1": 1, "b:1": 2}, [1, 2]) is None


def test_a_node_that_does_not_answer_says_why() -> None:
    assert node_stats_of({"server": "a:1", "error": "refused"}) == NodeStats("a:1", error="refused")


def test_rates_are_of_the_time_between() -> None:
    before = {"at": 10_000, "evicted_keys": 100, "total_commands_processed": 1000}
    after = {"at": 20_000, "evicted_keys": 130, "total_commands_processed": 6000}
    rates = rates_between(before, after)
    assert rates is not None
    assert (rates.seconds, rates.evicted, rates.operations, rates.expired) == (10.0, 3.0, 500.0, 0.0)


def test_a_node_that_was_restarted_began_at_nothing() -> None:
    rates = rates_between({"at": 0, "evicted_keys": 1000}, {"at": 10_000, "evicted_keys": 20})
    assert rates is not None
    assert rates.evicted == 2.0


def test_two_looks_at_one_moment_have_no_rates() -> None:
    assert rates_between({"at": 5}, {"at": 5}) is None


@pytest.mark.parametrize(
    ("command", "key"),
    [
        (b"MGET co:{default.a}:e:x co:{default.a}:t:*", "co:{default.a}:e:x"),
        (b"EVALSHA 0123 2 co:{default.a}:r co:{default.a}:t:*", "co:{default.a}:r"),
        (b"PING", ""),
    ],
)
def test_the_slow_log_shows_a_command_and_its_key_without_values(command: bytes, key: str) -> None:
    slow = slow_command("a:1", {"id": 1, "start_time": 100, "duration": 12_000, "command": command})
    assert (slow.command, slow.key, slow.microseconds) == (command.split()[0].decode(), key, 12_000)
