"""A worker: batches, bad items, databases that are away."""

import itertools
from typing import Any

import pytest
from django.db import DatabaseError, InternalError, OperationalError
from psycopg.errors import ReadOnlySqlTransaction

from cacheops.patterns.write_behind.cache import WriteBehindCache, dead_letters
from cacheops.patterns.write_behind.worker import Flusher
from tests.cacheops.patterns.write_behind.conftest import Died, Note, Sink

pytestmark = pytest.mark.django_db
Cache = WriteBehindCache[Note, int]


@pytest.fixture(autouse=True)
def at_once(cache: Cache, settings: Any) -> None:
    """Let what was refused be due again at once, and every write be old enough."""
    settings.CACHEOPS_FLUSH_SECONDS = 0
    settings.CACHEOPS_FLUSH_RETRY_SECONDS = 0
    settings.CACHEOPS_FLUSH_ATTEMPTS = 3
    settings.CACHEOPS_FLUSH_BATCH = 8
    cache.buffer.take("worker", 1, 0, 0)


def write(cache: Cache, *numbers: int) -> None:
    for number in numbers:
        assert cache.write(Note(number)).buffered


def test_batches_hold_as_many_as_the_setting_says(cache: Cache, sink: Sink) -> None:
    write(cache, *range(20))
    assert Flusher(cache).flush_all() == 20
    assert [len(batch) for batch in sink.batches] == [8, 8, 4]
    assert cache.state().depth == 0


def test_two_workers_share_the_work(cache: Cache, sink: Sink) -> None:
    write(cache, *range(16))
    flushers = [Flusher(cache), Flusher(cache)]
    for flusher in itertools.islice(itertools.cycle(flushers), 2):
        assert flusher.flush_due() == 8
    assert sorted(sink.stored) == list(range(16))
    assert len(sink.batches) == 2


def test_a_bad_item_alone_is_refused(cache: Cache, sink: Sink) -> None:
    sink.bad = {3}
    write(cache, *range(8))
    Flusher(cache).flush_due()
    assert sorted(sink.stored) == [0, 1, 2, 4, 5, 6, 7]
    assert cache.state().depth == 1  # it will be tried again


def test_a_bad_item_becomes_a_dead_letter_with_its_reason(cache: Cache, sink: Sink) -> None:
    sink.bad = {3}
    write(cache, 3)
    Flusher(cache).flush_all()
    (letter,) = dead_letters()
    assert (letter.buffer, letter.reason, letter.attempts) == ("notes", "Refused: 3 is bad", 3)
    assert cache.decode(letter.payload.encode()) == Note(3)
    assert (cache.state().depth, cache.state().dead) == (0, 1)


def test_an_item_that_is_good_again_is_written(cache: Cache, sink: Sink) -> None:
    sink.bad = {3}
    write(cache, 3)
    flusher = Flusher(cache)
    flusher.flush_due()
    sink.bad = set()
    flusher.flush_due()
    assert sorted(sink.stored) == [3]
    assert not dead_letters().exists()


def test_bytes_that_are_no_item_become_a_dead_letter(cache: Cache, sink: Sink) -> None:
    cache.buffer.append([b'{"number": "three", "text": "\\u0000"}', b"\xff\0"], 100)
    write(cache, 1)
    Flusher(cache).flush_all()
    assert sorted(sink.stored) == [1]
    assert [letter.payload for letter in dead_letters()] == ['{"number": "three", "text": "\\u0000"}', "\\xff\\0"]


def read_only() -> InternalError:
    """Return what a write raises on a server that a fail-over has left behind."""
    error = InternalError("cannot execute INSERT in a read-only transaction")
    error.__cause__ = ReadOnlySqlTransaction()
    return error


@pytest.mark.parametrize("failure", [OperationalError("the server closed the connection"), read_only()])
def test_a_database_that_is_away_makes_no_dead_letters(cache: Cache, sink: Sink, failure: DatabaseError) -> None:
    write(cache, 1, 2)
    sink.failure = failure
    flusher = Flusher(cache)
    for _ in range(10):
        with pytest.raises(type(failure)):
            flusher.flush_due()
    sink.failure = None
    flusher.flush_all()
    assert sink.batches == [[1, 2]] * 11  # nothing was isolated: no item was to blame
    assert sorted(sink.stored) == [1, 2]
    assert not dead_letters().exists()


def test_what_ends_its_workers_is_tried_alone_and_then_no_more(cache: Cache, sink: Sink) -> None:
    """Workers took it so often and never said that they were done: they seem to have died of it."""
    write(cache, 1, 2)
    for _ in range(3):
        assert len(cache.buffer.take("dies", 8, 0, 0)) == 2
    Flusher(cache).flush_due()
    assert sink.batches == [[1], [2]]
    write(cache, 3)
    for _ in range(6):
        assert len(cache.buffer.take("dies", 8, 0, 0)) == 1
    Flusher(cache).flush_due()
    assert [letter.attempts for letter in dead_letters()] == [7]
    assert 3 not in sink.stored


def test_a_lost_end_writes_twice_and_stores_once(cache: Cache, sink: Sink) -> None:
    """A worker that died between the database's commit and its word to the buffer."""
    write(cache, 1)
    (taken,) = cache.buffer.take("dies", 8, 0, 0)
    sink.write([cache.decode(taken.payload)])
    Flusher(cache).flush_due()
    assert sink.batches == [[1], [1]]
    assert sorted(sink.stored) == [1]


def test_a_worker_that_dies_while_it_writes_leaves_its_batch(cache: Cache, sink: Sink) -> None:
    write(cache, 1, 2)
    sink.died = True
    with pytest.raises(Died):
        Flusher(cache).flush_due()
    sink.died = False
    Flusher(cache).flush_due()
    assert sorted(sink.stored) == [1, 2]
    assert cache.state().depth == 0


def test_a_worker_that_dies_burying_writes_one_letter(cache: Cache, sink: Sink) -> None:
    """Between the letter's commit and its word to the buffer."""
    sink.bad = {3}
    write(cache, 3)
    for _ in range(2):
        cache.buffer.take("dies", 8, 0, 0)
    (one,) = cache.buffer.take("dies", 8, 0, 0)
    dead_letters().create(buffer="notes", region=cache.state().region, entry=one.id, payload="", reason="", attempts=3)
    Flusher(cache).flush_due()
    assert dead_letters().count() == 1
    assert cache.state().depth == 0
