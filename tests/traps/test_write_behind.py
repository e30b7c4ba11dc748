"""The specification's faults 10 to 13 and 28: a buffer of writes. A test each, which its sample fails."""

import os
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import environ
import pytest

from cacheops.checks import check_buffers
from cacheops.conf import conf
from cacheops.patterns.write_behind import cache as write_behind
from cacheops.patterns.write_behind.buffer import Buffer
from cacheops.patterns.write_behind.cache import WriteBehindCache, dead_letters
from cacheops.patterns.write_behind.worker import Flusher
from tests import clients
from tests.cacheops.patterns.write_behind.conftest import Note, Refused, Sink
from tests.waiting import until
from xyzsite.localregions.manager import LocalRegions
from xyzsite.settings.regions import caches_from_environment

REGION = "us-west-2"
Cache = WriteBehindCache[Note, int]

# A web process that is killed right after it has acknowledged.
ACKNOWLEDGE_AND_DIE = """
import os, signal
import django
django.setup()
from django.conf import settings
from cacheops.patterns.write_behind.cache import WriteBehindCache
from tests.cacheops.patterns.write_behind.conftest import Note
settings.CACHEOPS_PREFIX, settings.CACHEOPS_LOCAL_REGION = os.environ["PREFIX"], os.environ["REGION"]
settings.CACHEOPS_REGIONS = (os.environ["REGION"],)
settings.CACHEOPS_WAIT_SECONDS, settings.CACHEOPS_TIMEOUT = 5, 10
acknowledged = WriteBehindCache("notes", Note, lambda notes: None).write(Note(1))
print("buffered" if acknowledged.buffered else acknowledged.reason, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


def own_region(settings: Any) -> None:
    settings.CACHEOPS_PREFIX = f"t-{uuid.uuid4().hex[:8]}"
    settings.CACHEOPS_REGIONS = (REGION,)
    settings.CACHEOPS_LOCAL_REGION = REGION
    settings.CACHEOPS_WAIT_SECONDS = 5  # a busy machine's replica may be slow to confirm
    settings.CACHEOPS_TIMEOUT = 10


@pytest.fixture
def make(settings: Any) -> Iterator[Callable[..., Cache]]:
    """Return a function that makes a write-behind cache, for which a worker lives."""

    def make(writer: Any) -> Cache:
        cache: Cache = WriteBehindCache("notes", Note, writer, refusals=(Refused,))
        cache.buffer.take("worker", 1, 0, 0)
        return cache

    own_region(settings)
    yield make
    write_behind.registered.pop("notes", None)


def test_10_what_a_process_acknowledged_outlives_it(make: Callable[..., Cache], settings: Any) -> None:
    sink = Sink()
    cache = make(sink.write)
    environment = {**os.environ, "PREFIX": settings.CACHEOPS_PREFIX, "REGION": REGION}
    died = subprocess.run(
        [sys.executable, "-c", ACKNOWLEDGE_AND_DIE], env=environment, capture_output=True, text=True, check=False
    )
    assert (died.stdout.strip(), died.returncode) == ("buffered", -signal.SIGKILL), died.stderr
    Flusher(cache).flush_all()
    assert sorted(sink.stored) == [1]


def test_11_what_arrives_during_a_flush_is_kept(make: Callable[..., Cache]) -> None:
    sink = Sink()

    def write(notes: Any) -> int:
        if not sink.stored:
            cache.write(Note(2))  # another client, while the batch is being written
        return sink.write(notes)

    cache = make(write)
    cache.write(Note(1))
    flusher = Flusher(cache)
    assert flusher.flush_all() == 2
    assert sink.batches == [[1], [2]]


def test_12_no_task_in_a_constructor_and_batches_by_size_and_by_time(make: Callable[..., Cache], settings: Any) -> None:
    settings.CACHEOPS_FLUSH_BATCH, settings.CACHEOPS_FLUSH_SECONDS = 3, 3600
    threads = threading.active_count()
    sink = Sink()
    cache = make(sink.write)
    for number in range(4):  # in a plain thread: there is no event loop, and none is needed
        assert cache.write(Note(number)).buffered
    assert threading.active_count() == threads
    flusher = Flusher(cache)
    assert [flusher.flush_due(), flusher.flush_due()] == [3, 0]  # a full batch; the rest is too few and too young
    settings.CACHEOPS_FLUSH_SECONDS = 0.01
    time.sleep(0.02)
    assert flusher.flush_due() == 1
    assert sink.batches == [[0, 1, 2], [3]]


@pytest.mark.django_db
def test_13_one_bad_record_blocks_no_other(make: Callable[..., Cache], settings: Any) -> None:
    settings.CACHEOPS_FLUSH_SECONDS, settings.CACHEOPS_FLUSH_RETRY_SECONDS = 0, 0.01
    sink = Sink(bad={1})
    cache = make(sink.write)
    cache.write_many([Note(number) for number in range(6)])
    flusher = Flusher(cache)
    flusher.flush_due()
    assert sorted(sink.stored) == [0, 2, 3, 4, 5]
    cache.write(Note(6))
    until(lambda: flusher.flush_due() and dead_letters().exists(), "a dead letter")
    assert sorted(sink.stored) == [0, 2, 3, 4, 5, 6]
    (letter,) = dead_letters()
    assert (letter.reason, letter.attempts) == ("Refused: 1 is bad", conf.flush_attempts)
    assert cache.buffer.stats().depth == 0


@pytest.fixture
def evicting(breakable_regions: LocalRegions, settings: Any, monkeypatch: Any) -> Iterator[Callable[[str], None]]:
    """Return a function that sets the eviction policy of a region that no other test uses meanwhile."""
    for name, value in breakable_regions.environment(REGION).items():
        if name.startswith("REDIS_"):
            monkeypatch.setenv(name, value)
    settings.CACHES = caches_from_environment(environ.Env(), REGION)
    node = clients.node(clients.primary(breakable_regions, REGION))

    def evict(policy: str) -> None:
        node.config_set("maxmemory-policy", policy)

    yield evict
    evict("volatile-lru")


@pytest.mark.parametrize("policy", ["allkeys-lru", "allkeys-lfu", "allkeys-random"])
def test_28_where_any_key_may_be_evicted_the_database_is_written(
    evicting: Callable[[str], None], make: Callable[..., Cache], policy: str
) -> None:
    evicting(policy)
    sink = Sink()
    cache = make(sink.write)
    acknowledged = cache.write(Note(1))
    assert not acknowledged.buffered
    assert policy in acknowledged.reason
    assert sorted(sink.stored) == [1]
    evicting("volatile-lru")
    assert cache.write(Note(2)).buffered
    assert cache.buffer.take("worker", 10, 3600, 3600) == []  # it waits for others to make a batch
    evicting(policy)  # at once, with each write
    assert not cache.write(Note(3)).buffered
    assert len(cache.buffer.take("worker", 10, 3600, 3600)) == 1  # what waits is written before it can be evicted
    (warning,) = [found for found in check_buffers(None) if "'notes'" in found.msg]
    assert (warning.id, policy in warning.msg) == ("cacheops.W004", True)


@pytest.mark.parametrize("policy", ["volatile-lru", "volatile-ttl", "noeviction"])
def test_28_where_only_keys_with_a_time_to_live_are_evicted_it_buffers(
    evicting: Callable[[str], None], make: Callable[..., Cache], policy: str
) -> None:
    evicting(policy)
    cache = make(Sink().write)
    assert cache.write(Note(1)).buffered
    assert isinstance(cache.buffer, Buffer)
    assert cache.buffer.eviction_policy() == policy
    assert not [found for found in check_buffers(None) if "'notes'" in found.msg]
