"""Acknowledging: what is buffered, what is written at once, and what is said of it."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from cacheops.conf import conf
from cacheops.exceptions import BufferFull
from cacheops.patterns import BatchCacheOperations
from cacheops.patterns.write_behind import cache as write_behind
from cacheops.patterns.write_behind.buffer import Buffer
from cacheops.patterns.write_behind.cache import Acknowledged, NewestItems, WriteBehindCache
from tests.cacheops.patterns.write_behind.conftest import Note, Sink


@dataclass(frozen=True)
class Named:
    """An item of a device."""

    device_id: int
    name: str


NOTE = Note(1, "Grüße 🌡", datetime(2026, 3, 1, 12, 0, 0, 123456, tzinfo=UTC))


def test_a_write_is_buffered_and_comes_back_typed(cache: WriteBehindCache[Note, int], sink: Sink) -> None:
    assert cache.write(NOTE) == Acknowledged(buffered=True)
    (taken,) = cache.buffer.take("worker", 10, 0, 0)
    assert cache.decode(taken.payload) == NOTE
    assert sink.batches == []


def test_the_specification_s_name_takes_the_fields_of_a_device_s_item(
    region: str, sink: Sink, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(write_behind, "registered", write_behind.WriteBehindCaches())
    named: list[Named] = []
    cache = WriteBehindCache("named", Named, named.extend)
    assert not cache.update_device_data(7, {"name": "Quay"}).buffered  # no worker runs
    assert named == [Named(7, "Quay")]
    with pytest.raises(msgspec.ValidationError, match="Expected `str`"):
        cache.update_device_data(7, {"name": 1})


def test_the_newest_item_of_a_name_is_known_before_it_is_stored(cache: WriteBehindCache[Note, int], sink: Sink) -> None:
    cache._newest_of = lambda note: (note.text, f"{note.number:03}")
    cache.write(Note(2, "a"))
    cache.write(Note(1, "a"))  # late: whoever is last, the newest stays
    cache.write_many([Note(10, "b"), Note(12, "b"), Note(11, "b")])
    assert [cache.newest(name) for name in ("a", "b", "c")] == [Note(2, "a"), Note(12, "b"), None]
    assert cache.newest_many(["a", "b", "c"]) == {"a": Note(2, "a"), "b": Note(12, "b")}
    assert cache.newest_many([]) == {}
    many = [str(number) for number in range(2500)]  # more than one command takes
    assert BatchCacheOperations(NewestItems(cache)).batch_get([*many, "b"]) == {"b": Note(12, "b")}
    assert NewestItems(cache).get("a") == Note(2, "a")
    assert isinstance(cache.buffer, Buffer)
    lives = cache.buffer._transport.run_many([("PTTL", f"{cache.buffer.base}n:a")])
    assert lives[0] > 0


def test_without_a_worker_the_database_is_written(cache: WriteBehindCache[Note, int], sink: Sink) -> None:
    cache.buffer.leave("worker")
    assert cache.write(NOTE) == Acknowledged(False, "no worker would take it: run `manage.py flush_writes`", result=1)
    assert sink.stored == {1: NOTE}


def test_past_the_bound_it_is_refused(cache: WriteBehindCache[Note, int], sink: Sink, settings: Any) -> None:
    settings.CACHEOPS_BUFFER_BOUND = 2
    cache.buffer.take("worker", 1, 0, 0)  # the setting has changed: another store, the same keys
    cache.write_many([Note(1), Note(2)])
    with pytest.raises(BufferFull) as refused:
        cache.write(Note(3))
    assert refused.value.retry_after > 0
    assert sink.batches == []  # nor does it burden the database, which is what is slow


def test_no_replica_no_buffer(cache: WriteBehindCache[Note, int], sink: Sink, settings: Any) -> None:
    settings.CACHEOPS_WAIT_REPLICAS = 0
    acknowledged = cache.write(NOTE)
    assert not acknowledged.buffered
    assert "CACHEOPS_WAIT_REPLICAS" in acknowledged.reason
    assert sink.stored == {1: NOTE}


def test_memory_is_not_durable(settings: Any, sink: Sink) -> None:
    """The embedded form: there is nothing that a crash of the process would leave."""
    settings.CACHES = {**settings.CACHES, "us-east-1": {"BACKEND": "cacheops.backends.MemoryCache"}}
    settings.CACHEOPS_REGIONS = ("us-east-1",)
    settings.CACHEOPS_LOCAL_REGION = "us-east-1"
    cache = WriteBehindCache("notes", Note, sink.write)
    try:
        acknowledged = cache.write(NOTE)
        assert (acknowledged.buffered, acknowledged.result) == (False, 1)
        assert "memory" in acknowledged.reason
    finally:
        del write_behind.registered["notes"]


def test_with_redis_dead_the_database_is_written(settings: Any, sink: Sink) -> None:
    """Nothing listens at the address; after a few tries it is not even asked."""
    use_dead_servers(settings, "us-west-2")
    settings.CACHEOPS_WAIT_REPLICAS = 1
    cache = WriteBehindCache("notes", Note, sink.write)
    try:
        for number in range(10):
            assert not cache.write(Note(number)).buffered
        assert len(sink.stored) == 10
        assert "has not answered lately" in cache.write(Note(11)).reason
    finally:
        del write_behind.registered["notes"]


def test_a_cluster_that_was_never_reached_is_written_past(settings: Any, sink: Sink) -> None:
    use_dead_servers(settings, "us-east-1")
    cache = WriteBehindCache("notes", Note, sink.write)
    try:
        assert not cache.write(NOTE).buffered
        assert cache.newest("any") is None
        assert BatchCacheOperations(NewestItems(cache)).batch_get(["any", "other"]) == {}
        assert sink.stored == {1: NOTE}
    finally:
        del write_behind.registered["notes"]


def use_dead_servers(settings: Any, region: str) -> None:
    entry = settings.CACHES[region]
    settings.CACHES = {**settings.CACHES, region: {**entry, "LOCATION": ["redis://127.0.0.1:1/0"]}}
    settings.CACHEOPS_REGIONS = (region,)
    settings.CACHEOPS_LOCAL_REGION = region


@pytest.mark.django_db
def test_state(cache: WriteBehindCache[Note, int]) -> None:
    cache.write_many([Note(1), Note(2)])
    (state,) = [one for one in write_behind.state() if one.name == "notes"]
    assert (state.region, state.depth, state.taken, state.workers) == (conf.local_region, 2, 0, 1)
    assert (state.dead, state.problem) == (0, "")
    assert state.oldest_seconds >= 0
    assert isinstance(cache.buffer, Buffer)
    cache.buffer.leave("worker")
    assert "no worker" in cache.state().problem
