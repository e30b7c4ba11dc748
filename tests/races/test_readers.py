"""Races between a reader's steps and a writer."""

import pytest
from django.db import OperationalError
from django.db.transaction import atomic

from cacheops.databases import table_keys
from cacheops.instrumentation.counters import counters
from cacheops.protocol.keys import LOADER
from cacheops.reading import fetch
from cacheops.regions import regions
from cacheops.stores.base import TableTags
from cacheops.stores.memory import MAX_SCHEMES
from tests.races.actors import Actor, Gate, at_commit, at_select
from tests.testapp.cached import is_hit, keys_held
from tests.testapp.models import Book
from tests.waiting import until

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("books")]


@pytest.fixture(autouse=True, params=[2, 0], ids=["lease after", "lease ahead"])
def _asks(request, monkeypatch):
    """Readers ask for their lease after a look-up that has found nothing, or together with it."""
    monkeypatch.setattr(fetch, "MISSES_AHEAD", request.param)


def title() -> str:
    return Book.objects.get(pk=1).title


def rename(name: str) -> None:
    Book.objects.filter(pk=1).update(title=name)


def read_with(**gates: Gate) -> str:
    with at_select(**gates):
        return title()


@pytest.mark.parametrize("place", ["before", "after"])
def test_a_write_while_a_reader_loads(place):
    """The reader stands between lease and load, or between load and fill: what it fills is never a hit."""
    gate = Gate()
    reader = Actor(lambda: read_with(**{place: gate}))
    gate.wait()
    rename("new")
    gate.open()
    assert reader.result() == ("new" if place == "before" else "Title 0")
    assert title() == "new"
    assert title() == "new"
    assert is_hit("default", title)


def test_a_hit_keeps_no_lock():
    """Also where the lease was asked for before the look-up found the entry."""
    assert title() == title() == "Title 0"
    assert is_hit("default", title)
    assert keys_held(regions.local.store, LOADER) == []


def test_a_load_that_fails_keeps_no_lock(settings):
    settings.CACHEOPS_LOADER_SECONDS = 600

    def fail():
        assert len(keys_held(regions.local.store, LOADER)) == 1
        raise OperationalError

    with at_select(before=fail), pytest.raises(OperationalError):
        title()
    until(lambda: not keys_held(regions.local.store, LOADER), "the next reader is let in")


def test_a_table_has_no_room_for_another_condition(monkeypatch):
    """The very read that finds it out is filled, and depends on the whole table."""
    region = regions.local
    monkeypatch.setattr(region, "full", set())
    keys = table_keys("default", "testapp_book")
    schemes = tuple(f"column{number}" for number in range(MAX_SCHEMES))
    assert isinstance(region.store.lease([TableTags(keys, (), schemes)], "", 60.0, 0.0).result(), bytes)
    counters.reset()
    assert title() == "Title 0"
    assert (counters.misses.total(), counters.bypasses.total()) == (1, 0)
    assert is_hit("default", title)
    rename("new")
    assert title() == "new"


def test_a_write_between_look_up_and_lease(monkeypatch):
    """The reader has missed, and leases only after the write: it loads and fills what is new."""
    monkeypatch.setattr(fetch, "MISSES_AHEAD", 2)
    gate, store = Gate(), regions.local.store
    lease = store.lease

    def held(*args):
        monkeypatch.setattr(store, "lease", lease)
        gate()
        return lease(*args)

    monkeypatch.setattr(store, "lease", held)
    reader = Actor(title)
    gate.wait()
    rename("new")
    gate.open()
    assert reader.result() == "new"
    assert is_hit("default", title)
    assert title() == "new"


def test_a_read_while_a_writer_commits():
    """Marked and not cleared: readers ask the database and fill nothing, on both sides of the commit."""
    assert title() == "Title 0"
    before, after = Gate(), Gate()

    def write():
        at_commit(before=before, after=after)
        rename("new")

    writer = Actor(write)
    before.wait()
    counters.reset()
    assert (title(), is_hit("default", title)) == ("Title 0", False)
    before.open()
    after.wait()
    assert (title(), is_hit("default", title)) == ("new", False)
    assert (counters.bypasses.total(), counters.misses.total()) == (4, 0)
    after.open()
    writer.result()
    assert title() == "new"
    assert is_hit("default", title)


def test_a_lease_from_before_a_write_is_filled_while_another_writes():
    """The first write's clear must not make the old lease right again while, or after, the second one is under way."""
    gate, second = Gate(), Gate()
    reader = Actor(lambda: read_with(after=gate))
    gate.wait()
    rename("first")

    def write():
        at_commit(after=second)
        rename("second")

    writer = Actor(write)
    second.wait()
    gate.open()
    assert reader.result() == "Title 0"
    assert title() == "second"
    second.open()
    writer.result()
    assert title() == "second"


def test_a_scheme_first_used_while_a_writer_is_marked():
    """The writer does not know of the new condition, so nothing is cached under it until the writer is done."""
    gate = Gate()

    def write():
        at_commit(before=gate)
        Book.objects.filter(pk=1).update(pages=777)

    def found() -> int:
        return Book.objects.filter(pages=777).count()

    assert title()  # one scheme is known, the other not
    writer = Actor(write)
    gate.wait()
    counters.reset()
    assert (found(), found()) == (0, 0)
    assert counters.bypasses.total() == 2
    gate.open()
    writer.result()
    assert found() == 1
    assert is_hit("default", found)


def test_a_scheme_first_used_between_a_statement_and_its_mark():
    """The writer has not noted that column's values; its mark hears of the scheme, and takes the whole table."""
    gate = Gate()

    def found() -> int:
        return Book.objects.filter(pages=200, status="out").count()

    def write():
        with atomic():
            Book.objects.filter(pk=4).update(pages=201)
            gate()

    assert title()
    writer = Actor(write)
    gate.wait()
    old = found()
    assert is_hit("default", found)
    gate.open()
    writer.result()
    assert found() == old - 1


def test_the_registry_is_lost_during_a_lease():
    """A writer that finds no registry knows no conditions: it takes away the generation that the reader has leased."""
    gate = Gate()

    def on_shelf() -> list[int]:
        return list(Book.objects.filter(shelf_id=1).order_by("pk").values_list("pk", flat=True))

    def read():
        with at_select(after=gate):
            return on_shelf()

    reader = Actor(read)
    gate.wait()
    lose_registry()
    Book.objects.filter(pk=1).update(shelf_id=2)
    gate.open()
    assert 1 in reader.result()
    assert 1 not in on_shelf()
    assert 1 not in on_shelf()


def test_the_registry_is_lost_before_a_write():
    """Entries of conditions that the registry no longer names do not outlive the write."""

    def on_shelf() -> list[int]:
        return list(Book.objects.filter(shelf_id=1).order_by("pk").values_list("pk", flat=True))

    assert 1 in on_shelf()
    lose_registry()
    assert title()  # makes a registry that does not name the shelf
    Book.objects.filter(pk=1).update(shelf_id=2)
    assert 1 not in on_shelf()


def lose_registry() -> None:
    """Lose a table's registry in the store, and in what this process remembers of it."""
    keys = table_keys("default", "testapp_book")
    store = regions.local.store
    if store.remote:
        assert store.delete([keys.registry]) == 1
    else:
        del store._registries[keys.base]
    regions.local.schemes.clear()


def test_a_dead_writers_mark_ends(settings, monkeypatch):
    """A writer that dies between its commit and its clear is in the way until its deadline; nobody reads the past."""
    from cacheops.writing.intent import WriteIntent

    settings.CACHEOPS_MARK_SECONDS = 0.5
    assert title() == "Title 0"
    with monkeypatch.context() as dying:
        dying.setattr(WriteIntent, "clear", lambda self: None)
        rename("new")
    counters.reset()
    assert title() == "new"
    assert counters.bypasses.total() == 1
    until(lambda: is_hit("default", title), "the mark has ended and the entry is filled")
    assert title() == "new"
