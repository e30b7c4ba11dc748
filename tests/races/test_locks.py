"""Loaders' locks: one reader loads while others wait, and lets them in however its load ends."""

from dataclasses import replace
from typing import Any

import pytest

from cacheops.databases import table_keys
from cacheops.exceptions import CommandRefused
from cacheops.instrumentation.counters import counters
from cacheops.profiles import Profile, profile_of
from cacheops.protocol.keys import LOADER, TableKeys
from cacheops.reading import fetch
from cacheops.reading.fetch_many import fetch_many
from cacheops.reading.request import Request
from cacheops.regions import regions
from cacheops.stores.base import MarkedTable, TableTags
from cacheops.stores.memory import MAX_SCHEMES
from tests.races.actors import Actor, Gate
from tests.testapp.cached import keys_held
from tests.testapp.models import Book
from tests.waiting import until

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("books")]

ROWS = [(1, "one")]


@pytest.fixture(autouse=True)
def _locks_do_not_run_out(settings: Any) -> None:
    settings.CACHEOPS_LOADER_SECONDS = 600.0


def table() -> TableKeys:
    return table_keys("default", "testapp_book")


def request(number: int = 1, **options: Any) -> Request:
    profile = profile_of(Book)
    assert isinstance(profile, Profile)
    tags = TableTags(table(), (f"id={number}",), ("id",))
    return Request(f"digest{number}", (tags,), replace(profile, **options), "testapp.book:get", ("default",))


def locks() -> list[str]:
    return keys_held(regions.local.store, LOADER)


def loads_nothing(*places: Any) -> Any:
    raise AssertionError("it is in the cache")


def test_a_reader_waits_for_what_another_loads(monkeypatch: pytest.MonkeyPatch) -> None:
    loads, waits, look_up = Gate(), Gate(), fetch.look_up

    def load() -> list[tuple[Any, ...]]:
        loads()
        return ROWS

    def look_again(*args: Any, waiting: bool = False) -> Any:
        if waiting:
            waits()
        return look_up(*args, waiting=waiting)

    loading = Actor(lambda: fetch.fetch(request(), load))
    loads.wait()
    assert locks() == [request().loader]
    monkeypatch.setattr(fetch, "look_up", look_again)
    waiting = Actor(lambda: fetch.fetch(request(), loads_nothing))
    waits.wait()
    loads.open()
    assert loading.result() == ROWS
    waits.open()
    assert list(waiting.result()) == ROWS
    until(lambda: not locks(), "the lock is let go")


def test_a_hit_leaves_the_lock_of_another_reader(monkeypatch: pytest.MonkeyPatch) -> None:
    """It has sent for a lease ahead, without a lock: its profile wants none."""
    monkeypatch.setattr(fetch, "MISSES_AHEAD", 0)
    single = request(lock=False)
    assert fetch.fetch(single, lambda: ROWS) == ROWS
    assert regions.local.store.lock([single.loader], 600.0) == [True]
    assert list(fetch.fetch(single, loads_nothing)) == ROWS
    assert locks() == [single.loader]


def test_a_batch_whose_load_fails_keeps_no_lock() -> None:
    def fail(places: Any) -> Any:
        assert len(locks()) == 2
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fetch_many([request(1), request(2)], fail)
    until(lambda: not locks(), "the next reader is let in")


def test_a_read_whose_load_fails_keeps_no_lock() -> None:
    def fail() -> Any:
        assert len(locks()) == 1
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fetch.fetch(request(1), fail)
    until(lambda: not locks(), "the next reader is let in")


def rows_of(places: Any) -> list[Any]:
    return [ROWS for _ in places]


def test_a_batch_whose_lease_fails_keeps_no_lock(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: Any) -> Any:
        raise CommandRefused("The registry is of another type.")

    monkeypatch.setattr(regions.local.store, "lease_many", refuse)
    assert fetch_many([request(1), request(2)], rows_of) == [ROWS, ROWS]
    until(lambda: not locks(), "the next reader is let in")


def test_a_batch_keeps_no_lock_of_what_a_writer_has_marked() -> None:
    store = regions.local.store
    store.mark([MarkedTable(table(), frozenset({"id=1"}))], b"writer", 60.0).result()
    counters.reset()
    assert fetch_many([request(1)], rows_of) == [ROWS]
    assert (counters.misses.total(), counters.bypasses.total()) == (0, 1)
    until(lambda: not locks(), "the next reader is let in")


@pytest.fixture
def no_room(books: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave the table no room for another condition."""
    region = regions.local
    monkeypatch.setattr(region, "full", set())
    schemes = tuple(f"column{number}" for number in range(MAX_SCHEMES))
    assert isinstance(region.store.lease([TableTags(table(), (), schemes)], "", 60.0, 0.0).result(), bytes)


@pytest.mark.usefixtures("no_room")
def test_a_read_of_a_table_without_room_for_its_condition() -> None:
    """The very read that finds it out is filled, and depends on the whole table."""
    assert fetch.fetch(request(1), lambda: ROWS) == ROWS
    assert list(fetch.fetch(request(1), loads_nothing)) == ROWS
    Book.objects.filter(pk=3).update(title="new")
    assert fetch.fetch(request(1), list) == []


@pytest.mark.usefixtures("no_room")
def test_a_batch_in_a_table_without_room_for_its_condition() -> None:
    """The very batch that finds it out is filled, and depends on the whole table."""
    wanted = [request(1), request(2)]
    assert fetch_many(wanted, rows_of) == [ROWS, ROWS]
    assert list(map(list, fetch_many(wanted, loads_nothing))) == [ROWS, ROWS]
    Book.objects.filter(pk=3).update(title="new")
    assert [len(fetch_many([one], lambda places: [[]])[0]) for one in wanted] == [0, 0]
