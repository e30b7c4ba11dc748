"""Readers that take an outdated entry for some seconds, while one of them loads it anew."""

import time

import pytest

from cacheops import CachedQuerySet, invalidate_all, stale_ok
from cacheops.exceptions import InvalidOption
from cacheops.profiles import profile_from
from cacheops.protocol.keys import OUTDATED
from cacheops.regions import regions
from tests.races.actors import Actor, Gate, at_commit, at_select
from tests.testapp.cached import is_hit, keys_held
from tests.testapp.models import Book
from tests.waiting import until

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("books")]


def title(seconds: float = 60.0) -> str:
    return CachedQuerySet(Book).cache(level=stale_ok(seconds)).get(pk=1).title


def rename(name: str) -> None:
    Book.objects.filter(pk=1).update(title=name)


def load_until(gate: Gate) -> str:
    with at_select(after=gate):
        return title()


def fill() -> None:
    until(lambda: title() and is_hit("default", title), "the entry is cached")


def test_while_one_loads_the_others_take_what_was():
    fill()
    rename("new")
    gate = Gate()
    loader = Actor(lambda: load_until(gate))
    gate.wait()
    assert title() == "Title 0"
    assert is_hit("default", title)
    gate.open()
    assert loader.result() == "new"
    assert title() == "new"
    assert is_hit("default", title)


def test_while_a_writer_commits_they_take_what_was():
    fill()
    after = Gate()

    def write():
        at_commit(after=after)
        rename("new")

    writer = Actor(write)
    after.wait()
    assert title() == "Title 0"
    assert is_hit("default", title)
    after.open()
    writer.result()
    assert title() == "new"


def test_after_so_many_seconds_it_is_not_taken():
    """Two writes, and between them another query of the row: the first write is what counts for the entry."""
    brief = 0.2
    until(lambda: title(brief) and is_hit("default", lambda: title(brief)), "the entry is cached")
    rename("newer")
    time.sleep(brief + 0.05)
    assert list(Book.objects.filter(pk=1).values_list("title", flat=True)) == ["newer"]
    rename("newest")
    gate = Gate()
    loader = Actor(lambda: load_until(gate))
    gate.wait()
    reader = Actor(lambda: title(brief))
    gate.open()
    assert loader.result() == reader.result() == "newest"


def test_readers_without_it_never_do():
    fill()
    rename("new")
    gate = Gate()
    loader = Actor(lambda: load_until(gate))
    gate.wait()
    waiting = Actor(lambda: Book.objects.get(pk=1).title)
    gate.open()
    assert loader.result() == waiting.result() == "new"


def test_what_was_invalidated_by_hand_is_not_taken():
    fill()
    invalidate_all()
    Book.objects.filter(pk=1).update(title="new")
    gate = Gate()
    loader = Actor(lambda: load_until(gate))
    gate.wait()
    reader = Actor(title)
    gate.open()
    assert loader.result() == reader.result() == "new"


def test_a_lost_note_costs_only_speed():
    """Evicted, or gone with its server: the reader waits for the loader, as others do."""
    fill()
    rename("new")
    store = regions.local.store
    store.delete(keys_held(store, OUTDATED))
    gate = Gate()
    loader = Actor(lambda: load_until(gate))
    gate.wait()
    reader = Actor(title)
    gate.open()
    assert loader.result() == reader.result() == "new"


@pytest.mark.parametrize("seconds", [0, -1, 3601, True, "30", None])
def test_times_that_make_no_sense_are_named(seconds):
    with pytest.raises(InvalidOption, match="stale_ok"):
        stale_ok(seconds)


def test_a_profile_may_have_the_level():
    profile = profile_from({"ops": "get", "level": ("stale_ok", 30)})
    assert (profile.level, profile.stale) == ("stale_ok", 30.0)
