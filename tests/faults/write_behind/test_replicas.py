"""What the replica is for: without its word the database is written, with it the primary may die."""

import uuid
from collections.abc import Iterator
from typing import Any

import environ
import pytest

from cacheops.exceptions import StoreError
from cacheops.patterns.write_behind import cache as write_behind
from cacheops.patterns.write_behind.cache import WriteBehindCache
from cacheops.patterns.write_behind.worker import Flusher
from tests import clients
from tests.cacheops.patterns.write_behind.conftest import Note, Sink
from tests.waiting import until
from xyzsite.localregions.manager import LocalRegions
from xyzsite.settings.regions import caches_from_environment

REGION = "us-west-2"
Cache = WriteBehindCache[Note, int]


@pytest.fixture
def sink() -> Sink:
    return Sink()


@pytest.fixture
def cache(breakable_regions: LocalRegions, sink: Sink, settings: Any, monkeypatch: Any) -> Iterator[Cache]:
    """Return a write-behind cache on servers that the test may break, for which a worker lives."""
    for name, value in breakable_regions.environment(REGION).items():
        if name.startswith("REDIS_"):
            monkeypatch.setenv(name, value)
    settings.CACHES = caches_from_environment(environ.Env(), REGION)
    settings.CACHEOPS_PREFIX = f"t-{uuid.uuid4().hex[:8]}"
    settings.CACHEOPS_REGIONS = (REGION,)
    settings.CACHEOPS_LOCAL_REGION = REGION
    settings.CACHEOPS_WAIT_REPLICAS = 1
    settings.CACHEOPS_TIMEOUT = 10
    settings.CACHEOPS_BREAKER_RECOVERY = 0  # what a busy machine answers late pauses nobody
    settings.CACHEOPS_WAIT_SECONDS = 5
    made: Cache = WriteBehindCache("notes", Note, sink.write)
    made.buffer.take("worker", 1, 0, 0)
    yield made
    del write_behind.registered["notes"]


def test_without_the_replicas_word_the_database_is_written_and_nothing_is_doubled(
    cache: Cache, sink: Sink, breakable_regions: LocalRegions, settings: Any
) -> None:
    settings.CACHEOPS_WAIT_SECONDS = 0.2
    replica = clients.replica(breakable_regions, REGION)["node"]
    breakable_regions.pause(replica)
    try:
        acknowledged = cache.write(Note(1, "first"))
        assert (acknowledged.buffered, acknowledged.result) == (False, 1)
        assert acknowledged.reason == "0 of 1 replicas confirmed it in time"
        # The next callers do not wait for what was in vain just now.
        assert cache.write(Note(2)).reason == "the replicas did not confirm a write lately"
    finally:
        breakable_regions.resume(replica)
    breakable_regions.wait_linked()
    assert Flusher(cache).flush_all() == 1  # the first is in the stream all the same
    assert sink.batches == [[1], [2], [1]]
    assert sorted(sink.stored) == [1, 2]


def test_what_was_acknowledged_outlives_the_primary(cache: Cache, sink: Sink, breakable_regions: LocalRegions) -> None:
    for number in range(20):
        assert cache.write(Note(number)).buffered
    taken = cache.buffer.take("worker", 5, 0, 3600)  # a worker has some of them
    cache.buffer.done([one.id for one in taken[:2]])
    breakable_regions.kill(clients.primary(breakable_regions, REGION)["node"])
    flusher = Flusher(cache)

    def flushed() -> bool:
        try:
            flusher.flush_all()
        except StoreError:  # another primary takes over
            return False
        return len(sink.stored) >= 18

    until(flushed, "all is flushed from the new primary")
    assert set(range(20)) - set(sink.stored) <= {0, 1}  # of which the worker had said that they are done
    assert cache.buffer.stats().depth == 0
