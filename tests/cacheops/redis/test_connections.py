"""Connections: shared or not, limited, seen; decoding; readers; addresses through tunnels; TLS; Valkey."""

import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from django.core.cache import CacheHandler
from redis import Redis

from cacheops.exceptions import InvalidOption, StoreUnavailable
from tests.cacheops.redis.conftest import entry
from tests.cacheops.redis.test_failover import until
from xyzsite.localregions import programs
from xyzsite.localregions.manager import LocalRegions
from xyzsite.localregions.plan import Options

REGIONS = ("us-east-1", "us-west-2")


@pytest.mark.parametrize("region", REGIONS)
def test_aliases_with_equal_options_share_connections_and_others_do_not(broken, region):
    same = entry(broken, region)
    other = same | {"OPTIONS": same["OPTIONS"] | {"SOCKET_TIMEOUT": 0.75}}
    handler = CacheHandler({"default": same, "again": same | {"KEY_PREFIX": "again"}, "other": other})
    for alias in handler:
        handler[alias].set("key", alias)

    assert handler["default"].client.servers is handler["again"].client.servers
    assert handler["default"].client.servers is not handler["other"].client.servers
    (pool,) = {id(node.connection_pool) for node in handler["other"].client.servers.primaries()[:1]}
    assert pool not in {id(node.connection_pool) for node in handler["default"].client.servers.nodes()}


@pytest.mark.parametrize("region", REGIONS)
def test_threads_share_connections_up_to_the_limit_and_wait_beyond_it(make, region):
    cache = make(region, MAX_CONNECTIONS=2, POOL_WAIT=30, IGNORE_EXCEPTIONS=False)
    errors: list[Exception] = []

    def work() -> None:
        try:
            for number in range(30):
                cache.set("key", number)
                cache.get_many([f"key{index}" for index in range(10)])
        except StoreUnavailable as error:
            errors.append(error)

    threads = [threading.Thread(target=work) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert errors == []
    figures = cache.pool_figures()
    assert max(figure.idle + figure.in_use for figure in figures) == 2
    assert {figure.limit for figure in figures} == {2}


@pytest.mark.parametrize(("region", "servers"), [("us-east-1", 4), ("us-west-2", 2)])
def test_pool_figures_follow_what_is_in_use(make, region, servers):
    cache = make(region, own=region)
    cache.set("key", 1)
    node = cache.client.servers.node_of(cache.make_key("key"))
    connection = node.connection_pool.get_connection()
    try:
        busy = [figure for figure in cache.pool_figures() if figure.in_use]
    finally:
        node.connection_pool.release(connection)

    assert [figure.in_use for figure in busy] == [1]
    assert busy[0].server.endswith(str(node.connection_pool.connection_kwargs["port"]))
    # Where an earlier test has killed a node, the others hear of its return by gossip, a moment after it is in sync.
    until(lambda: cache.client.servers.refresh() or len(cache.pool_figures()) == servers, f"{servers} servers known")
    assert [figure for figure in cache.pool_figures() if figure.in_use] == []


def test_a_pool_without_a_free_connection_says_so(make):
    cache = make("us-west-2", MAX_CONNECTIONS=1, POOL_WAIT=0.01, RETRIES=1, IGNORE_EXCEPTIONS=False)
    pool = cache.client.servers.client.connection_pool
    connection = pool.get_connection()
    try:
        with pytest.raises(StoreUnavailable, match="No connection available"):
            cache.get("key")
    finally:
        pool.release(connection)


@pytest.fixture
def interrupt() -> Iterator[Callable[[], None]]:
    """Return a call after which this thread is interrupted shortly, as by Ctrl-C."""

    def raised(number: int, frame: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, raised)
    yield lambda: signal.setitimer(signal.ITIMER_REAL, 0.05) and None
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, before)


@pytest.mark.parametrize("region", REGIONS)
@pytest.mark.parametrize("many", [False, True])
def test_an_interrupted_caller_gives_its_connections_back(make, interrupt, region, many):
    cache = make(region, own=region, SOCKET_TIMEOUT=60, MAX_CONNECTIONS=1, POOL_WAIT=0.01, IGNORE_EXCEPTIONS=False)
    values = {f"key{number}": number for number in range(20)}
    cache.set_many(values)
    made = [cache.make_key(key) for key in values]
    waits = ("BLPOP", cache.make_key("list"), 60)

    interrupt()
    with pytest.raises(KeyboardInterrupt) as caught:
        cache.client.transport.run_many([waits, *[("GET", key) for key in made]] if many else [waits])
    assert sum(figure.in_use for figure in cache.pool_figures()) == 0, caught.traceback
    assert cache.get_many(values) == values  # no answer is that of another


@pytest.mark.parametrize("region", REGIONS)
def test_connections_have_the_specified_settings(broken, region):
    options = entry(broken, region)["OPTIONS"] | {"SOCKET_TIMEOUT": 5.0, "SOCKET_CONNECT_TIMEOUT": 5.0}
    cache = CacheHandler({"default": entry(broken, region, **options)})["default"]
    (pool, *_) = [node.connection_pool for node in cache.client.servers.primaries()]

    held = pool.connection_kwargs
    assert pool.max_connections == 50
    assert (held["socket_timeout"], held["socket_connect_timeout"], held["socket_keepalive"]) == (5, 5, True)
    assert (held["health_check_interval"], held["decode_responses"]) == (30, False)


@pytest.mark.parametrize("region", REGIONS)
def test_decoding_is_for_raw_clients_and_values_stay_bytes(make, region):
    cache = make(region, DECODE_RESPONSES=True)
    cache.set_many({"key": b"\xff", "number": 7})

    assert cache.get_many(["key", "number"]) == {"key": b"\xff", "number": 7}
    assert cache.get("key") == b"\xff"
    assert cache.incr("number") == 8
    assert sorted(cache.iter_keys("*")) == ["key", "number"]
    raw = cache.client.get_client()
    assert raw.get(cache.make_key("number")) == "8"
    with cache.lock("lock", timeout=5) as lock:
        assert lock.owned()


@pytest.mark.parametrize("region", REGIONS)
def test_reads_may_go_to_readers(broken, make, region):
    cache = make(region, own=region, READ_FROM="readers", IGNORE_EXCEPTIONS=False)
    cache.set("key", "value")
    until(lambda: cache.get("key") == "value", "the reader has the value")
    readers = [row["node"] for row in broken.status() if row["region"] == region and row["role"] == "replica"]

    def all_asked_readers() -> bool:
        before = gets(broken, region)
        for _ in range(30):
            cache.get("key")
            cache.get_many(["key"])
        asked = {node: count - before[node] for node, count in gets(broken, region).items()}
        assert sum(asked.values()) == 60
        if sum(asked[node] for node in readers) == 60:
            return True
        cache.client.servers.refresh()  # a replica that was replaced just before is known to its cluster a little later
        return False

    until(all_asked_readers, "reads go to the readers")


def test_a_lost_reader_is_no_loss(broken, make):
    cache = make("us-west-2", own="us-west-2", READ_FROM="readers", IGNORE_EXCEPTIONS=False)
    cache.set("key", "value")
    (reader,) = [row for row in broken.status() if row["region"] == "us-west-2" and row["role"] == "replica"]
    broken.kill(reader["node"])

    assert cache.get("key") == "value"
    assert cache.get_many(["key"]) == {"key": "value"}


def test_what_was_written_is_read_by_default(make):
    cache = make("us-west-2", own="us-west-2", IGNORE_EXCEPTIONS=False)

    for number in range(300):
        cache.set("key", number)
        assert cache.get("key") == number


@pytest.mark.parametrize("own", ["us-west-2", "us-east-2"])
def test_a_cluster_is_reached_through_tunnels(make, own):
    cache = make("us-east-1", own=own, IGNORE_EXCEPTIONS=False)
    cache.set_many({f"key{number}": number for number in range(50)})

    assert cache.client.server_options.address_map
    announced = {old for old, _ in cache.client.server_options.address_map}
    assert not announced & {figure.server for figure in cache.pool_figures()}
    assert len(cache.get_many([f"key{number}" for number in range(50)])) == 50


@pytest.mark.debian
def test_tls_and_passwords(tmp_path: Path):
    if not programs.find_redis().tls:
        pytest.skip("this Redis server has no TLS")
    regions = LocalRegions(tmp_path)
    regions.up(Options(tls=True, password="a secret/with:signs@", volatile=True))
    try:
        for region in REGIONS:
            cache = CacheHandler({"default": entry(regions, region, IGNORE_EXCEPTIONS=False)})["default"]
            use(cache)
            assert cache.client.server_options.urls[0].startswith("rediss://")
    finally:
        regions.down()


def test_valkey(tmp_path: Path):
    valkey = [path for path in programs.redis_paths() if "valkey" in path.name]
    if not valkey:
        pytest.skip("there is no Valkey server")
    regions = LocalRegions(tmp_path)
    regions.up(Options(redis_server=str(valkey[0]), volatile=True))
    try:
        for region in REGIONS:
            use(CacheHandler({"default": entry(regions, region, IGNORE_EXCEPTIONS=False)})["default"])
    finally:
        regions.down()


def use(cache) -> None:
    """Try a bit of everything."""
    data = {f"key{number}": number for number in range(50)}
    assert cache.set_many(data) == []
    assert cache.get_many(data) == data
    assert cache.incr("key1") == 2
    assert cache.touch("key1", None) is True
    with cache.lock("lock", timeout=5):
        assert cache.get("key2") == 2
    assert cache.delete_pattern("key*") == 50


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ({"READ_FROM": "anywhere"}, "READ_FROM is 'anywhere'"),
        ({"MAX_CONNECTIONS": 0}, "MAX_CONNECTIONS is 0"),
        ({"SOCKET_TIMEOUT": -1}, "SOCKET_TIMEOUT is -1"),
        ({"RETRIES": -1}, "RETRIES is -1"),
        ({"ADDRESS_MAP": {"a:1": "b:2"}}, "ADDRESS_MAP is for clusters only"),
        ({"CLIENT_CERT": "/etc/shop.crt"}, "CLIENT_CERT and CLIENT_KEY belong together"),
        ({"SOCKET_TIMEOUTS": 5}, "SOCKET_TIMEOUTS, which RegionCache does not know"),
        ({"CONNECTION_POOL_KWARGS": {}}, "CONNECTION_POOL_KWARGS, which RegionCache does not know"),
    ],
)
def test_a_wrong_option_is_named(make, option, message):
    with pytest.raises(InvalidOption, match=message):
        make("us-west-2", **option).get("key")


def gets(regions: LocalRegions, region: str) -> dict[str, int]:
    """Return how many GET and MGET each node of a region has served."""
    counts = {}
    for row in regions.status():
        if row["region"] == region:
            host, _, port = row["address"].rpartition(":")
            with Redis(host, int(port)) as client:
                stats = client.info("commandstats")
            counts[row["node"]] = sum(stats.get(f"cmdstat_{name}", {"calls": 0})["calls"] for name in ("get", "mget"))
    return counts


@pytest.mark.parametrize("region", REGIONS)
def test_without_a_client_class_the_first_use_finds_out_whether_it_is_a_cluster(make, region):
    named = make(region)
    found = make(region, CLIENT_CLASS="cacheops.backends.client.RegionClient")
    assert not found.known_pools()
    found.set("key", "value")
    assert found.get("key") == "value"
    assert found.client.servers.options.cluster is named.client.servers.options.cluster
    assert found.client.servers.share_a_slot is named.client.servers.share_a_slot
    found.set_many({f"key{number}": number for number in range(20)})
    assert len(found.get_many([f"key{number}" for number in range(20)])) == 20
    assert found.known_pools()


def test_servers_that_did_not_answer_are_asked_again_whether_they_are_a_cluster(broken, make):
    broken.partition("us-west-2")
    cache = make("us-west-2", CLIENT_CLASS="cacheops.backends.client.RegionClient")
    assert cache.get("key", "nothing") == "nothing"
    assert not cache.known_pools()
    broken.heal()
    until(lambda: cache.set("key", "value"), "the region answers")
    assert cache.get("key") == "value"
