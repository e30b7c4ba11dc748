"""How an unknown server is recovered: once, whoever else comes; not at all where the user may not."""

import logging
import threading
from collections.abc import Callable
from typing import Any

import pytest
import redis
from django.core.cache import caches

from cacheops.exceptions import ServerRefused, StoreUnavailable
from cacheops.redis import recovery, servers
from cacheops.redis.identity import KeySet, Verdict, begin, record_key, slots_in
from cacheops.redis.options import ServerOptions
from cacheops.testing import begin_empty
from tests.recovery.conftest import REGION, Server, recoveries
from tests.testapp.models import Author

pytestmark = pytest.mark.django_db(transaction=True)


def run_id(server: Server) -> str:
    return str(server.operator.info("server")["run_id"])


def test_another_process_purges_and_this_one_waits(region: Server) -> None:
    """Its lock is another's; when it is done, or has died, this process goes on."""
    cache = caches[REGION]
    cache.set("kept", 1)
    region.go_back(lambda: None)
    lock = f"{record_key()}:lock:{run_id(region)}"
    region.operator.set(lock, "another's", px=60_000)

    with pytest.raises(StoreUnavailable, match="another process purges it"):
        cache.client.get("kept")
    assert cache.get("kept") is None
    assert region.operator.exists("xyz:1:kept")
    assert recoveries() == 0

    region.operator.delete(lock)
    assert cache.client.get("kept") is None
    assert recoveries() == 1


def test_who_has_lost_its_lock_accepts_nothing(region: Server, monkeypatch: Any) -> None:
    """It was too slow: another purges by now, and may not be done."""
    caches[REGION].set_many({str(number): 1 for number in range(100)})
    region.go_back(lambda: None)
    lock = f"{record_key()}:lock:{run_id(region)}"

    def taken_by_another(key: bytes) -> tuple[Any, ...]:
        region.operator.set(lock, "another's")
        return ("UNLINK", key)

    monkeypatch.setattr(recovery, "BATCH", 10)
    history = region.operator.info("replication")["master_replid"]
    verdict = Verdict("primary", run_id(region), history, 0.0, ("all",))
    client = redis.Redis(port=region.port)
    run = recovery._Run(client, record_key(), verdict, [KeySet("all", "xyz:*", taken_by_another)])
    run.run()
    assert "too slow" in str(run.error)
    assert not region.operator.hexists(record_key(), f"run:{run_id(region)}")
    assert region.operator.get(lock) == "another's"


def test_many_threads_recover_a_server_once(region: Server) -> None:
    cache = caches[REGION]
    cache.set("kept", 1)
    region.go_back(lambda: None)
    found: list[Any] = []
    threads = [threading.Thread(target=lambda: found.append(caches[REGION].get("kept"))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [None] * 8
    assert recoveries() == 1


@pytest.mark.parametrize("command", ["-info", "-scan", "-eval"])
def test_a_user_that_may_not_recognise_a_server_goes_without_it(region: Server, command: str, caplog: Any) -> None:
    author = Author.objects.create(name="Ada")
    assert Author.objects.get(pk=author.pk).name == "Ada"
    region.operator.execute_command("ACL", "SETUSER", "operator", "on", ">operator", "~*", "&*", "+@all")
    region.go_back(lambda: author.save())
    region.permit(command)
    Author.objects.filter(pk=author.pk).update(name="Grace")

    with caplog.at_level(logging.WARNING, "cacheops"):
        assert Author.objects.get(pk=author.pk).name == "Grace"
    assert "NOPERM" in caplog.text
    with pytest.raises(ServerRefused):
        caches[REGION].client.get("any")


def test_a_permission_that_is_missing_is_named(region: Server) -> None:
    region.operator.client_kill_filter(_type="normal", skipme=True)
    region.permit("-info")
    with pytest.raises(ServerRefused, match=r"needs EVAL, INFO and SCAN.*redis-restarts"):
        caches[REGION].client.get("any")


def test_nothing_is_leased_on_a_server_that_nobody_said_was_new(
    new_server: Callable[..., Server], use: Callable[..., None], settings: Any
) -> None:
    server = new_server()
    use(server)
    Author.objects.filter(pk=1).first()
    assert recoveries() == 1
    assert not list(server.operator.scan_iter("*testapp_author}:e:*"))


def test_only_an_empty_server_is_new(new_server: Callable[..., Server]) -> None:
    server = new_server()
    server.operator.set("key", "value")
    assert not begin(server.operator)


def test_a_suite_says_that_its_servers_are_new(new_server: Callable[..., Server], use: Callable[..., None]) -> None:
    server = new_server()
    use(server)
    assert begin_empty(REGION)
    Author.objects.filter(pk=1).first()
    assert list(server.operator.scan_iter("*testapp_author}:e:*"))
    assert not begin_empty(REGION)


def test_a_cache_that_is_added_later_is_purged_by_itself(region: Server, settings: Any) -> None:
    caches[REGION].set("kept", 1)
    region.operator.hdel(record_key(), "new")
    region.operator.hset(record_key(), mapping={"purged:generations": "1", "purged:xyz:*:*": "1"})
    region.operator.set("more:1:old", "1")
    settings.CACHES = settings.CACHES | {"more": settings.CACHES[REGION] | {"KEY_PREFIX": "more"}}
    region.operator.client_kill_filter(_type="normal", skipme=True)

    assert caches["more"].get("old") is None
    assert caches[REGION].get("kept") == 1
    assert not region.operator.exists("more:1:old")


def test_a_client_without_caches_recognises_nothing(new_server: Callable[..., Server]) -> None:
    server = new_server()
    servers(ServerOptions(urls=(server.url,))).client.set("key", "value")
    assert server.operator.keys() == ["key"]


def test_slots_are_those_of_the_shard_whichever_of_its_nodes_tells() -> None:
    nodes = """\
b1 127.0.0.1:7001@17001,,shard-id=1 {first}slave a1 0 1 1 connected
a1 127.0.0.1:7000@17000,,shard-id=1 {second}master - 0 1 1 connected 0-99 200 [93-<-c1]
c1 127.0.0.1:7002@17002,,shard-id=2 master - 0 1 2 connected 100-199 201-16383
"""
    slots = [range(100), range(200, 201)]
    assert slots_in(nodes.format(first="myself,", second="")) == (True, slots)
    assert slots_in(nodes.format(first="", second="myself,")) == (False, slots)
    assert record_key(slots) != record_key([range(100, 200)])


def test_a_new_connection_asks_who_the_server_is_and_nothing_else(region: Server) -> None:
    region.operator.config_resetstat()
    assert caches[REGION].get("nothing") is None
    stats = region.operator.info("everything")
    assert (stats["cmdstat_eval"]["calls"], stats["cmdstat_get"]["calls"]) == (1, 1)
    assert not {"cmdstat_ping", "cmdstat_client|setinfo"} & stats.keys()
    assert not [name for name in stats if name.startswith("errorstat_")]  # Redis 7.0 does not know CLIENT SETINFO
