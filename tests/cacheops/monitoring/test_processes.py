"""What processes tell of their breakers and connections is added up; telling it asks no region."""

import contextlib
import json
import socket
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from io import StringIO
from types import SimpleNamespace
from typing import Any

import pytest
from django.core.cache import caches
from django.core.management import call_command

from cacheops.instrumentation.counters import counters
from cacheops.monitoring.fleet import Fleet, fleet_state
from cacheops.monitoring.monitor import CacheMonitor
from cacheops.monitoring.nodes import own_counts, pools_of
from cacheops.monitoring.prometheus import exposition
from cacheops.monitoring.recorder import flusher
from cacheops.monitoring.timeseries import MINUTE, Increment, Period, last_periods, time_series_of
from cacheops.panel.overview import fleet_of
from cacheops.redis import ClusterServers
from cacheops.regions import regions
from cacheops.stores.redis import RedisStore
from tests.waiting import until

# Holds one connection of the pool in use and one idle, and a line of the engine to one server; tells of it, and waits.
HOLDER = """
    import json, sys, django
    from django.conf import settings

    settings.configure(**json.loads(sys.argv[1]), INSTALLED_APPS=["django.contrib.contenttypes", "cacheops"])
    django.setup()
    from cacheops.instrumentation.counters import counters
    from cacheops.monitoring.recorder import flusher
    from cacheops.regions import regions
    from cacheops.redis.optimized_client import OptimizedRedisClient

    flusher._clock = lambda: float(sys.argv[2])
    regions.local.store.read(["t:{a.b}:e:c"])
    client = OptimizedRedisClient.of(regions.local.name).client
    with client.pipeline() as held:
        held.watch("t:{a.b}:e:c")
        client.ping()
        counters.hit("a.b:get", 0.001)
        assert flusher.flush()
        print("told", flush=True)
        sys.stdin.read()
"""


@pytest.fixture(autouse=True)
def moment(monkeypatch: pytest.MonkeyPatch) -> float:
    """Have all of a test be in one minute; return the moment."""
    flusher.reset()  # it may have told of this process before: then it would tell again
    now = time.time()
    monkeypatch.setattr("cacheops.monitoring.stats.time", SimpleNamespace(time=lambda: now))
    monkeypatch.setattr(flusher, "_clock", lambda: now)
    return now


@pytest.fixture
def two_holders(settings: Any, moment: float) -> Iterator[None]:
    """Have two processes hold connections to us-west-2, and tell of them."""
    given = json.dumps(
        {
            "CACHES": {"us-west-2": settings.CACHES["us-west-2"]},
            "CACHEOPS_REGIONS": ["us-west-2"],
            "CACHEOPS_LOCAL_REGION": "us-west-2",
            "CACHEOPS_PREFIX": settings.CACHEOPS_PREFIX,
            "CACHEOPS_METRICS_SECONDS": 0,
            "CACHEOPS_TIMEOUT": 2.0,
        }
    )
    with contextlib.ExitStack() as stack:
        holders = [
            stack.enter_context(
                subprocess.Popen(
                    [sys.executable, "-c", textwrap.dedent(HOLDER), given, str(moment)],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    cwd=settings.BASE_DIR,
                )
            )
            for _ in range(2)
        ]
        for holder in holders:
            assert holder.stdout is not None
            assert holder.stdout.readline() == b"told\n"
        yield  # their standard input is closed when the stack is left: they end


@pytest.mark.django_db(databases="__all__")
@pytest.mark.usefixtures("two_holders")
def test_connections_of_all_processes_are_added_up_and_shown(settings: Any) -> None:
    settings.CACHEOPS_REGIONS = ("us-west-2",)
    settings.CACHEOPS_LOCAL_REGION = "us-west-2"
    told = fleet_state("us-west-2")["us-west-2"]
    limit = sum(pool["pool_limit"] for pool in pools_of(regions.local).values())
    assert limit
    # Of the engine each has a line for the entry, and one for the figures, to the primary.
    assert told == Fleet(processes=2, open=0, pool_limit=2 * limit, pool_idle=2, pool_in_use=2, lines=4)

    state = CacheMonitor().state()
    assert fleet_of("us-west-2", {"us-west-2": state, "another": state}) == told + told
    text = exposition().decode()
    for name, value in (("limit", 2 * limit), ("idle", 2), ("in_use", 2)):
        assert f'cacheops_pool_{name}{{region="us-west-2",target="us-west-2"}} {value}.0' in text
    assert 'cacheops_engine_connections{region="us-west-2",target="us-west-2"} 4.0' in text
    call_command("cache_stats", stdout=(said := StringIO()))
    row = next(line.split() for line in said.getvalue().splitlines() if line.split()[:2] == ["us-west-2", "2"])
    assert row == ["us-west-2", "2", "closed", "2", "2", str(2 * limit), "4"]
    call_command("cache_stats", json=True, stdout=(said := StringIO()))
    (found,) = json.loads(said.getvalue())["regions"]
    assert found["processes"]["us-west-2"]["pool_in_use"] == 2


def test_a_minute_counts_once_as_many_have_told_as_in_the_one_before(region: str, moment: float) -> None:
    time_series = time_series_of(regions[region].store)
    before, now = last_periods(moment, MINUTE, 2)

    def tell(period: Period, name: str, **counts: int) -> None:
        time_series.add([Increment(period.base, name, period.lives, {f"p|{region}": counts})])

    tell(before, "first", processes=2, open=2, lines=8)
    tell(now, "second", processes=1, open=0, lines=3)
    assert fleet_state(region)[region] == Fleet(2, open=2, lines=8)
    tell(now, "third", processes=1, open=0, lines=3)
    assert fleet_state(region)[region] == Fleet(2, open=0, lines=6)


def test_telling_asks_no_region(settings: Any) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.setblocking(False)
        for name in ("us-east-1", "us-west-2"):  # a cluster, and a pair
            location = [f"redis://127.0.0.1:{listening.getsockname()[1]}"]
            settings.CACHES = {**settings.CACHES, name: {**settings.CACHES[name], "LOCATION": location}}
            regions[name].breaker.failed()
            counts = own_counts(regions[name])
            assert (counts["processes"], counts["lines"]) == (1, 0)
            with pytest.raises(BlockingIOError):
                listening.accept()


def test_lines_that_were_closed_are_not_counted(region: str) -> None:
    store = regions[region].store
    if not store.remote:
        assert own_counts(regions[region]) == {"processes": 1, "open": 0}
        return
    store.read(["t:{a.b}:e:c"])
    caches[region].get("any")
    counts = own_counts(regions[region])
    store.close()
    assert own_counts(regions[region])["lines"] == counts["lines"] - 1
    assert counts["pool_idle"] >= 1


def test_a_replica_that_joins_a_cluster_is_seen(settings: Any) -> None:
    settings.CACHEOPS_TIMEOUT = 2.0  # servers of its own, which know nothing of other tests' fate
    store = regions["us-east-1"].store
    assert isinstance(store, RedisStore)
    servers = store.servers
    assert isinstance(servers, ClusterServers)
    known = servers.client.nodes_manager.nodes_cache

    def roles() -> set[str]:
        return {info["role"] for info in store.inspection.nodes()}

    for node in servers.client.get_replicas():
        del known[node.name]
    assert roles() == {"master"}
    servers.client._refreshed_at -= 61  # seconds
    until(lambda: roles() == {"master", "slave"}, "both roles tell of themselves")


def test_a_process_tells_once_a_minute(region: str) -> None:
    for _ in range(3):
        counters.hit("a.b:get", 0.001)
        assert flusher.flush()
    assert fleet_state(region)[region].processes == 1
