"""A region whose servers sentinels find: hits, fail-over, sentinels that are away. All on real ones."""

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.core.cache import CacheHandler, caches
from django.core.checks import run_checks
from django.db import connection

from cacheops.backends import RegionCache
from cacheops.exceptions import StoreUnavailable
from cacheops.instrumentation.counters import counters
from cacheops.instrumentation.request_stats import collect_request_stats
from cacheops.redis import PushChannel
from cacheops.regions import regions
from cacheops.testing import assert_hits, assert_misses
from tests.recovery.conftest import recoveries
from tests.redis_server import Server
from tests.sentinels import SERVICE, Sentinels
from tests.testapp.models import Author, Shelf
from tests.waiting import until
from xyzsite.localregions import tls
from xyzsite.localregions.programs import find_redis


def entry(url: str, **options: Any) -> dict[str, Any]:
    patient = {"SOCKET_TIMEOUT": 2.0, "SOCKET_CONNECT_TIMEOUT": 2.0, "PAUSE_AFTER_FAILURE": 0.0}
    return {
        "BACKEND": "cacheops.backends.RegionCache",
        "LOCATION": url,
        "KEY_PREFIX": "shop",
        "OPTIONS": patient | options,
    }


@pytest.fixture
def use(settings: Any, _django_db_helper: None) -> Iterator[Callable[..., None]]:
    """Return a call that lets this process run in a region at an address."""

    def run_on(url: str, replicas: int = 1, **options: Any) -> None:
        settings.CACHES = settings.CACHES | {"default": entry(url, **options)}
        settings.CACHEOPS_REGIONS, settings.CACHEOPS_LOCAL_REGION = ("default",), "default"
        settings.CACHEOPS_WAIT_REPLICAS, settings.CACHEOPS_CLOUDWATCH_CLUSTERS = {"default": replicas}, {}
        settings.CACHEOPS_WAIT_SECONDS, settings.CACHEOPS_TIMEOUT = 0.2, 2
        settings.CACHEOPS_MARK_SECONDS = 5  # for which a mark stands whose clear was lost with the primary
        settings.CACHEOPS_BREAKER_RECOVERY = settings.CACHEOPS_METRICS_SECONDS = 0
        counters.reset()

    yield run_on
    settings.CACHEOPS_REGIONS = ()  # the regions close what this thread holds open


@pytest.fixture
def region(sentinels: Sentinels, use: Callable[..., None]) -> Sentinels:
    """Let this process run in a region of these sentinels."""
    use(sentinels.url)
    return sentinels


@pytest.fixture
def make(sentinels: Sentinels) -> Callable[..., RegionCache]:
    """Return a call that makes a cache on these sentinels' service: make(READ_FROM="readers")."""

    def made(**options: Any) -> RegionCache:
        cache: Any = CacheHandler({"default": entry(sentinels.url, IGNORE_EXCEPTIONS=False, **options)})["default"]
        return cache

    return made


@pytest.mark.django_db(transaction=True)
def test_a_row_is_a_hit_until_it_is_written(region: Sentinels) -> None:
    author = Author.objects.create(name="Ada")
    with assert_misses(1):
        Author.objects.get(pk=author.pk)
    with assert_hits(1):
        Author.objects.get(pk=author.pk)
    author.name = "Grace"
    author.save()
    with assert_misses(1):
        assert Author.objects.get(pk=author.pk).name == "Grace"
    assert run_checks(tags=["cacheops"], databases=["default"]) == []


class Traffic:
    """One thread that writes a row, and others that read it: none may read what was replaced before it began."""

    def __init__(self, author: Author) -> None:
        self.author, self.committed, self.stale = author, 0, list[tuple[int, int]]()
        self.reads = 0
        self._done = threading.Event()
        self._errors: list[Exception] = []
        self._threads = [threading.Thread(target=self._run, args=[work]) for work in (self._write, *[self._read] * 2)]

    def __enter__(self) -> "Traffic":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *raised: object) -> None:
        self._done.set()
        for thread in self._threads:
            thread.join()
        assert self._errors == []

    def _run(self, work: Callable[[], None]) -> None:
        try:
            while not self._done.is_set():
                work()
        except Exception as error:  # noqa: BLE001 - whatever it is, the test reports it
            self._errors.append(error)
        finally:
            connection.close()

    def _write(self) -> None:
        number = self.committed + 1
        Author.objects.filter(pk=self.author.pk).update(name=str(number))
        self.committed = number
        self._done.wait(0.01)

    def _read(self) -> None:
        least = self.committed
        found = int(Author.objects.get(pk=self.author.pk).name)
        self.reads += 1
        if found < least:
            self.stale.append((found, least))


def is_hit(author: Author) -> bool:
    with collect_request_stats() as stats:
        Author.objects.get(pk=author.pk)
    return stats.hits == 1


@pytest.mark.django_db(transaction=True)
def test_the_death_of_the_primary_costs_hits_and_no_truth(region: Sentinels) -> None:
    """Nor does the one that comes back alone, as a primary of old data, before the sentinels have told it better."""
    kept, author = Shelf.objects.create(), Author.objects.create(name="0")
    servers = regions.local.store.servers
    Shelf.objects.get(pk=kept.pk)
    servers.note_replicas()
    before = region.primary
    until(lambda: region.replica.is_linked_to(before), "the replica knows its own name")
    before.operator.save()
    with Traffic(author) as traffic:
        until(lambda: traffic.committed > 3, "the writer writes")
        region.fail_over()
        before.start()
        reached = traffic.committed, traffic.reads
        until(lambda: traffic.committed > reached[0] + 3 and traffic.reads > reached[1] + 20, "it goes on")
        assert "cmdstat_eval" not in before.operator.info("commandstats")  # no connection was opened to it
        before.kill()
        region.heal()
        reached = traffic.committed, traffic.reads
        until(lambda: traffic.committed > reached[0] + 3 and traffic.reads > reached[1] + 20, "it goes on")
    assert traffic.stale == []
    with assert_hits(1):
        Shelf.objects.get(pk=kept.pk)
    until(lambda: is_hit(author), "hits come back")
    assert int(Author.objects.get(pk=author.pk).name) == traffic.committed
    assert recoveries() == 0


def test_caches_readers_and_pushes_follow_the_primary(sentinels: Sentinels, make: Callable[..., RegionCache]) -> None:
    cache, told = make(RETRIES=1000, RETRY_BUDGET=30.0, READ_FROM="readers"), list[Any]()
    servers = cache.client.servers
    assert cache.known_pools() == []
    channel = PushChannel(servers, lambda keys: told.extend([None] if keys is None else keys))

    def hears() -> bool:
        return channel.hears("shop:1:", "shop:1:key") and channel.confirmed > 0

    until(hears, "the channel hears")
    assert told == []  # it has connected once
    cache.set("key", 1)
    until(lambda: cache.get("key") == 1, "the replica has it")
    assert "cmdstat_get" in sentinels.replica.operator.info("commandstats")
    assert {info["role"]: info["server"] for info in servers.infos()} == {
        "master": f"127.0.0.1:{sentinels.primary.port}",
        "slave": f"127.0.0.1:{sentinels.replica.port}",
    }
    assert {figure.in_use for figure in cache.pool_figures()} == {0}
    lock = cache.lock("lock", timeout=60)
    assert lock.acquire()

    after = sentinels.fail_over()
    cache.set("key", 2)
    assert cache.get("key") == 2
    lock.release()
    assert next(figure.server for figure in cache.pool_figures()) == f"127.0.0.1:{after.port}"
    assert {figure.in_use for figure in cache.pool_figures()} == {0}
    until(hears, "the channel hears again")
    told.clear()
    cache.set("key", 3)
    until(lambda: told[:1] == [cache.make_key("key").encode()], "the push arrives")
    channel.close()
    assert channel._thread is not None
    channel._thread.join()


@pytest.mark.django_db(transaction=True)
def test_a_sentinel_that_is_away_costs_nothing_and_without_any_connections_go_on(
    region: Sentinels, make: Callable[..., RegionCache]
) -> None:
    author = Author.objects.create(name="Ada")
    region.all[0].kill()
    regions.local.store.close()  # it connects anew
    Author.objects.get(pk=author.pk)
    caches["default"].set("key", 1)
    for each in region.all[1:]:
        each.kill()
    with assert_hits(1):
        Author.objects.get(pk=author.pk)
    assert caches["default"].get("key") == 1
    author.name = "Grace"
    author.save()
    assert Author.objects.get(pk=author.pk).name == "Grace"
    with assert_hits(1):
        Author.objects.get(pk=author.pk)

    regions.local.store.close()
    with pytest.raises(StoreUnavailable, match=f"No master found for '{SERVICE}' : 127.0.0.1:"):
        regions.local.store.read(["co:{a}:e:1"])
    assert Author.objects.get(pk=author.pk).name == "Grace"
    assert caches["default"].client.servers.problem() == ""
    new = make(RETRIES=1)
    with pytest.raises(StoreUnavailable):
        new.get("key")
    assert [figure.in_use for figure in new.pool_figures()] == [0]


@pytest.mark.django_db
def test_sentinels_that_ask_for_a_password_get_their_own(sentinels: Sentinels, use: Callable[..., None]) -> None:
    for each in sentinels.all:
        each.client.execute_command("ACL", "SETUSER", "default", "resetpass", ">secret")
    try:
        use(sentinels.url)
        (message,) = run_checks(tags=["cacheops"], databases=["default"])
        assert f"the sentinel 127.0.0.1:{sentinels.all[0].port} refuses: Authentication required" in message.msg
        use(sentinels.url + "?sentinel_password=secret")
        assert run_checks(tags=["cacheops"], databases=["default"]) == []
        assert caches["default"].set("key", 1)
    finally:
        for each in sentinels.all:
            each.client.execute_command("ACL", "SETUSER", "default", "nopass")


@pytest.mark.django_db
def test_a_service_that_sentinels_do_not_know_is_found_where_they_are_asked(
    sentinels: Sentinels, use: Callable[..., None]
) -> None:
    use(sentinels.url.replace(SERVICE, "store"))
    assert run_checks(tags=["cacheops"], databases=[]) == []
    (message,) = run_checks(tags=["cacheops"], databases=["default"])
    assert message.id == "cacheops.E027"
    assert message.msg == "'default': the sentinels know no service 'store', but shop."
    with pytest.raises(StoreUnavailable, match="No master found for 'store'"):
        regions.local.store.read(["co:{a}:e:1"])


@pytest.mark.django_db
def test_replicas_that_no_setting_counts_are_found_where_the_servers_are_asked(
    tmp_path: Path, use: Callable[..., None]
) -> None:
    """Sentinel may replace a primary that lives, so whichever replica takes over must have confirmed."""
    whole = Sentinels(tmp_path)
    try:
        use(whole.url, replicas=0)
        (message,) = run_checks(tags=["cacheops"], databases=["default"])
        assert (message.id, message.hint) == ("cacheops.W001", "Set CACHEOPS_WAIT_REPLICAS = {'default': 1}, or more.")
        use(whole.url, replicas=1)
        assert run_checks(tags=["cacheops"], databases=["default"]) == []
        whole.servers.append(Server(tmp_path / "c").start())
        whole.servers[2].follow(whole.servers[0])
        (message,) = run_checks(tags=["cacheops"], databases=["default"])
        assert message.id == "cacheops.W009"
        assert message.msg.startswith("'default' has 2 replicas, and CACHEOPS_WAIT_REPLICAS says 1: when Sentinel")
        use(whole.url, replicas=2)
        assert run_checks(tags=["cacheops"], databases=["default"]) == []
    finally:
        whole.end()


@pytest.mark.debian
@pytest.mark.django_db(transaction=True)
def test_sentinels_and_their_servers_may_speak_tls_alone(tmp_path: Path, use: Callable[..., None]) -> None:
    if not find_redis().tls:
        pytest.skip("this Redis server has no TLS")
    certificates = tmp_path / "tls"
    tls.make(certificates)
    whole = Sentinels(tmp_path, certificates)
    try:
        whole.empty()
        use(whole.url, CA_CERTS=str(certificates / "ca.crt"))
        author = Author.objects.create(name="Ada")
        Author.objects.get(pk=author.pk)
        with assert_hits(1):
            Author.objects.get(pk=author.pk)
        use(whole.url, RETRIES=0)  # and nothing says which authority is to be trusted
        with pytest.raises(StoreUnavailable):
            regions.local.store.read(["co:{a}:e:1"])
    finally:
        whole.end()
