"""A cluster: each shard has an identity of its own, and only that which came back is purged."""

from collections.abc import Iterator
from typing import Any

import environ
import pytest
from django.core.cache import caches

from cacheops.redis.identity import record_key, slots_of
from cacheops.regions import regions
from cacheops.testing import assert_hits
from tests import clients
from tests.consistency.faults import begin, nodes
from tests.testapp.models import Author
from tests.waiting import until
from xyzsite.settings.regions import caches_from_environment

REGION = "us-east-1"
pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def cluster(breakable_regions: Any, settings: Any) -> Iterator[Any]:
    """Let this process run in a region of a new cluster, which a test may break."""
    begin(nodes(breakable_regions, (REGION,)))
    env = environ.Env()
    patience = {"REDIS_SOCKET_TIMEOUT": "2", "REDIS_RETRY_BUDGET": "5", "REDIS_PAUSE_AFTER_FAILURE": "0"}
    env.ENVIRON = breakable_regions.environment(REGION) | patience
    settings.CACHES = caches_from_environment(env, REGION)
    settings.CACHEOPS_LOCAL_REGION = REGION
    settings.CACHEOPS_REGIONS = (REGION,)
    settings.CACHEOPS_WAIT_REPLICAS = 1
    settings.CACHEOPS_WAIT_SECONDS = 4
    settings.CACHEOPS_TIMEOUT = 5
    settings.CACHEOPS_BREAKER_RECOVERY = 0
    settings.CACHEOPS_METRICS_SECONDS = 0
    yield breakable_regions
    settings.CACHEOPS_REGIONS = ()


def shard_of(key: str) -> int:
    """Return the number of the shard that has a key: the first has the lower half of the slots."""
    servers = regions.local.store.servers
    assert servers is not None
    return 1 if servers.client.keyslot(key) < 8192 else 2


def test_a_shard_that_went_back_is_purged_and_the_other_keeps_its_values(cluster: Any) -> None:
    cache = caches[REGION]
    keys = [f"key-{number}" for number in range(20)]
    cache.set_many(dict.fromkeys(keys, "old"))
    author = Author.objects.create(name="Ada")
    Author.objects.get(pk=author.pk)
    table = next(iter(regions.local.schemes), "") or "co:{default.testapp_author}:"
    lost = shard_of(table)
    for row in nodes(cluster, (REGION,)):
        clients.node(row).save()
    author.name = "Grace"
    author.save()
    assert Author.objects.get(pk=author.pk).name == "Grace"
    cache.set_many(dict.fromkeys(keys, "new"))

    cluster.crash(REGION, lost)
    cluster.wait_linked()

    assert [Author.objects.get(pk=author.pk).name for _ in range(3)] == ["Grace"] * 3
    kept = until(lambda: cache.get_many(keys), "the cluster serves again")
    assert set(kept.values()) == {"new"}
    assert {shard_of(cache.make_key(key)) for key in kept} == {3 - lost}


def test_a_fail_over_of_both_shards_keeps_hits(cluster: Any) -> None:
    author = Author.objects.create(name="Ada")
    Author.objects.get(pk=author.pk)
    caches[REGION].set_many({str(number): number for number in range(20)})
    cluster.failover(REGION)
    cluster.wait_linked()
    with assert_hits(1):
        Author.objects.get(pk=author.pk)
    assert len(caches[REGION].get_many(map(str, range(20)))) == 20


def test_replicas_are_named_in_each_shard(cluster: Any) -> None:
    servers = regions.local.store.servers
    assert servers is not None
    assert servers.note_replicas() == 0  # all are named
    replicas = [row for row in nodes(cluster, (REGION,)) if row["role"] == "replica"]
    for row in replicas:
        cluster.kill(row["node"])
    for row in replicas:
        until(lambda row=row: clients.row(cluster, row["node"])["pid"] not in (row["pid"], None), "it is back")
    cluster.wait_linked()
    rows = nodes(cluster, (REGION,))
    shards = [[clients.node(row) for row in rows if row["shard"] == number] for number in (1, 2)]

    def all_named() -> bool:
        servers.note_replicas()  # a connection to a server that has ended answers nothing, once
        return all(named(shard) == {f"run:{node.info('server')['run_id']}" for node in shard} for shard in shards)

    until(all_named, "all servers that run are named, and none that is gone")


def named(shard: list[Any]) -> set[str]:
    """Return the processes that a shard's primary names."""
    (primary,) = (node for node in shard if node.info("replication")["role"] == "master")
    record = primary.hkeys(record_key(slots_of(primary, cluster=True)))
    return {name for name in record if name.startswith("run:")}
