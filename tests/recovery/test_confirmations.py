"""What replicas confirm: all that was written before the question, by whichever connection."""

import logging
import os
import signal
import threading
from collections.abc import Callable
from typing import Any

import pytest

from cacheops.exceptions import Unconfirmed
from cacheops.instrumentation.counters import counters
from cacheops.redis import servers
from cacheops.redis.options import ServerOptions
from cacheops.regions import regions
from cacheops.stores.circuit_breaker import CircuitState
from cacheops.stores.redis import RedisStore
from cacheops.testing.store_contract import TTL, new_table, new_writer, write
from tests.redis_server import Server
from tests.testapp.models import Author
from tests.waiting import until


def test_a_replica_that_lacks_what_another_thread_has_written_confirms_nothing(
    server: Server, new_server: Callable[..., Server]
) -> None:
    """A row of the queue goes when the replicas hold what was applied: by another thread, it may be."""
    replica = new_server()
    replica.follow(server)
    store = RedisStore("test", servers(ServerOptions(urls=(server.url,))), wait_replicas=1, wait_seconds=0.05)
    patient = RedisStore("test", store.servers, wait_replicas=1, wait_seconds=5)
    assert patient.confirmations() == 1
    assert store.confirmations() == 1

    pid = replica.operator.info("server")["process_id"]
    os.kill(pid, signal.SIGSTOP)
    try:
        hasty = RedisStore("test", store.servers)
        other = threading.Thread(target=hasty.mark, args=([write(new_table(), "a=1")], new_writer(), TTL))
        other.start()
        other.join()
        assert store.confirmations() == 0
    finally:
        os.kill(pid, signal.SIGCONT)
    assert patient.confirmations() == 1
    store.close()
    patient.close()


def test_replicas_that_were_waited_for_in_vain_are_hardly_waited_for_at_once_again(
    server: Server, new_server: Callable[..., Server], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each write would, in turn. Once a second all of the time is waited; replicas that confirm have it again."""
    monkeypatch.setattr("cacheops.stores.redis.HOLD_SECONDS", 3600.0)
    store = RedisStore("test", servers(ServerOptions(urls=(server.url,))), wait_replicas=1, wait_seconds=0.1)
    writer, ends = new_writer(), set()
    for _ in range(2):
        with pytest.raises(Unconfirmed, match="0 of 1 replicas confirmed") as refused:
            store.mark([write(new_table(), "a=1")], writer, TTL).result()
        assert refused.value.kind == "UNCONFIRMED"
        assert store._wait() == ("WAIT", 1, 5)
        ends.add(store._held_until)
    assert len(ends) == 1, "what was hardly waited for prolongs nothing"
    new_server().follow(server)
    until(store.replicated, "the replica confirms")
    assert store._wait() == ("WAIT", 1, 100)
    store.mark([write(new_table(), "a=1")], writer, TTL).result()
    store.close()


@pytest.mark.django_db(transaction=True)
def test_a_server_at_rest_without_its_replica_is_not_taken_for_one_that_is_away(
    server: Server, use: Callable[..., None], settings: Any, caplog: Any
) -> None:
    """It looks once in a while whose WAIT is over (`hz`), which is later than an answer is waited for."""
    server.operator.config_set("hz", 1)
    use(server)
    settings.CACHEOPS_WAIT_REPLICAS = 1
    settings.CACHEOPS_WAIT_SECONDS, settings.CACHEOPS_TIMEOUT = 0.9, 1
    author, other = Author.objects.create(name="Ada"), Author.objects.create(name="Grace")
    with caplog.at_level(logging.INFO, logger="cacheops"):
        for number in range(3):
            author.name = f"Ada {number}"
            author.save()
            for row in (author, other):
                assert [one.name for one in Author.objects.filter(pk=row.pk)] == [row.name]

    assert (regions.local.breaker.failures, regions.local.breaker.state) == (0, CircuitState.CLOSED)
    lines = [record.getMessage() for record in caplog.records if record.name == "cacheops"]
    assert ["0 of 1 replicas confirmed" in line for line in lines] == [True], "one line a minute"
    refusals = counters.totals()["e|refusals"]
    assert (refusals.keys(), refusals["UNCONFIRMED"] >= 3) == ({"UNCONFIRMED"}, True)
