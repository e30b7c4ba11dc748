"""A replica that takes over: it keeps its hits where it held all that counts, and is purged where it did not."""

from collections.abc import Callable

import pytest
from django.core.cache import caches

from cacheops.monitoring.recorder import Flusher
from cacheops.patterns.write_behind.buffer import buffer_of
from cacheops.redis.identity import begin
from cacheops.regions import regions
from cacheops.testing import assert_hits
from tests.recovery.conftest import REGION, Server, recoveries
from tests.testapp.models import Author
from tests.waiting import until

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def server(new_server: Callable[..., Server]) -> Server:
    return new_server()


@pytest.fixture
def replica(new_server: Callable[..., Server], server: Server, use: Callable[..., None]) -> Server:
    """Let this process run in a region of a server and its replica; return the replica."""
    found = new_server()
    found.follow(server)
    assert begin(server.operator)  # only now: with its first replica, a server begins a new history
    use(server, found)
    return found


def note(primary: Server, replica: Server) -> None:
    """Do what a process does every ten seconds, and wait until the replica has it."""
    servers = regions.local.store.servers
    assert servers is not None
    servers.note_replicas()
    until(lambda: replica.is_linked_to(primary), "the replica has caught up")


def take_over(primary: Server, replica: Server, use: Callable[..., None]) -> None:
    """Have a replica take the place of its primary, which is gone."""
    primary.kill()
    replica.promote()
    use(replica)


def test_a_replica_that_was_linked_keeps_its_hits(server: Server, replica: Server, use: Callable[..., None]) -> None:
    author = Author.objects.create(name="Ada")
    caches[REGION].set("kept", 1)
    Author.objects.get(pk=author.pk)
    note(server, replica)
    take_over(server, replica, use)

    with assert_hits(1):
        assert Author.objects.get(pk=author.pk).name == "Ada"
    assert caches[REGION].get("kept") == 1
    assert recoveries() == 0


def test_one_process_names_the_replicas_while_it_records_figures(server: Server, replica: Server) -> None:
    caches[REGION].set("used", 1)
    run_id = replica.operator.info("server")["run_id"]
    now = 1_000_000_000.0
    first, second = Flusher(lambda: now), Flusher(lambda: now)
    for flusher in (first, second):
        flusher._looked_at = 1  # it has counted something before
        assert flusher.flush()
    assert server.operator.hexists("cacheops:identity:{0}", f"run:{run_id}")


def test_a_replica_that_nobody_has_seen_linked_is_purged(
    server: Server, replica: Server, use: Callable[..., None]
) -> None:
    caches[REGION].set("kept", 1)
    until(lambda: replica.is_linked_to(server), "the replica has caught up")
    take_over(server, replica, use)
    assert caches[REGION].get("kept") is None
    assert recoveries() == 1


def test_a_replica_of_a_primary_that_went_back_is_purged_when_it_takes_over(
    server: Server, replica: Server, use: Callable[..., None]
) -> None:
    """Its process is known and has never ended, but it has taken over what its primary has brought back."""
    author = Author.objects.create(name="Ada")
    Author.objects.get(pk=author.pk)
    note(server, replica)

    def save() -> None:
        author.name = "Grace"
        author.save()

    server.go_back(save)
    until(lambda: replica.is_linked_to(server), "the replica follows the server that came back")
    take_over(server, replica, use)

    assert Author.objects.get(pk=author.pk).name == "Grace"
    assert recoveries() == 1


def test_a_whole_shard_that_went_back_is_purged(server: Server, replica: Server, use: Callable[..., None]) -> None:
    author = Author.objects.create(name="Ada")
    Author.objects.get(pk=author.pk)
    note(server, replica)
    server.operator.save()
    replica.operator.save()
    author.name = "Grace"
    author.save()
    server.kill()
    replica.kill()
    server.start()
    replica.start("--replicaof", "127.0.0.1", server.port)

    assert [Author.objects.get(pk=author.pk).name for _ in range(3)] == ["Grace"] * 3
    assert recoveries() == 1


def test_what_write_behind_has_acknowledged_stays(server: Server, replica: Server) -> None:
    buffer = buffer_of(regions.local.store, "t:{write-behind.visits}:", wait_seconds=2)
    buffer.take("worker", 1, 0, 0)  # one lives, so writes are accepted
    buffer.append([b"1", b"2"], bound=10)
    caches[REGION].set("kept", 1)
    server.go_back(lambda: None)
    until(lambda: replica.is_linked_to(server), "the replica follows the server that came back")

    assert caches[REGION].get("kept") is None
    assert [one.payload for one in buffer.take("worker", 10, 0, 3600)] == [b"1", b"2"]
    buffer.close()


def test_a_fail_over_keeps_the_grace_period(server: Server, replica: Server, use: Callable[..., None]) -> None:
    author = Author.objects.create(name="Ada")
    server.go_back(lambda: None)
    Author.objects.get(pk=author.pk)
    until(lambda: replica.is_linked_to(server), "the replica follows the server that came back")
    note(server, replica)
    take_over(server, replica, use)

    Author.objects.get(pk=author.pk)
    assert not list(replica.operator.scan_iter("*testapp_author}:e:*"))
    assert recoveries() == 0  # counted from the last change of settings: before the fail-over it was recovered


def test_readers_are_asked_where_they_hold_what_was_recognised(
    server: Server, replica: Server, use: Callable[..., None]
) -> None:
    use(server, replica, REDIS_READ_FROM="readers")
    cache = caches[REGION]
    cache.set("name", "old")
    until(lambda: replica.is_linked_to(server), "the replica has caught up")
    assert cache.get("name") == "old"
    commands = replica.operator.info("commandstats")
    assert "cmdstat_get" in commands

    replica.operator.replicaof("127.0.0.1", 1)  # its link is lost
    replica.operator.client_kill_filter(_type="normal", skipme=True)
    cache.set("name", "new")
    assert cache.get("name") == "new"
