"""Readers whose process holds entries itself, and hears from the region's servers what others change (level near)."""

import os
import time
from collections.abc import Iterator

import pytest

from cacheops import CachedQuerySet, after, near
from cacheops.databases import table_keys
from cacheops.exceptions import InvalidOption
from cacheops.instrumentation.counters import counters
from cacheops.profiles import Level, level_from
from cacheops.redis import PushChannel
from cacheops.regions import outbox, regions, store_for
from cacheops.stores.base import MarkedTable, Store, TableTags
from cacheops.stores.near import NearEntries
from tests.races.actors import write_unseen
from tests.testapp.models import Book
from tests.waiting import until

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("books")]
on_redis = pytest.mark.parametrize("one_region", ["redis"], indirect=True)

WRITER = b"12345678"
FOREVER = float("inf")


def title(key: int = 1) -> str:
    return CachedQuerySet(Book).cache(level=near(2)).get(pk=key).title


def is_near() -> bool:
    """Read the first book; say whether this process answered itself."""
    before = counters.total("near")
    title()
    return counters.total("near") > before


def marks() -> list[MarkedTable]:
    return [MarkedTable(table_keys("default", Book._meta.db_table), frozenset({"id=1"}))]


@pytest.fixture
def held(monkeypatch: pytest.MonkeyPatch) -> NearEntries:
    """Return what this process holds: the first book. It does not look for what the region has missed."""
    monkeypatch.setattr(outbox, "CHECK_SECONDS", 3600.0)
    until(is_near, "the process answers itself")
    assert regions.local.store.near is not None
    return regions.local.store.near


@pytest.fixture
def another() -> Iterator[Store]:
    """Return the region's store as another process has it."""
    store = store_for("us-east-1")
    yield store
    store.close()


@pytest.fixture
def deaf(held: NearEntries, monkeypatch: pytest.MonkeyPatch) -> NearEntries:
    """Let no push reach the process, which believes that it has heard all."""
    channel = held._channel
    known = {"_heard": channel._heard, "_addresses": channel._addresses, "confirmed": FOREVER}
    monkeypatch.setattr(channel, "_on_changed", lambda keys: None)
    channel.close()
    channel._thread.join()
    vars(channel).update(known)
    return held


def test_a_store_that_others_do_not_share_is_read_as_ever():
    if regions.local.store.remote:
        until(is_near, "the process answers itself")
    else:
        assert [title(), is_near()] == ["Title 0", False]


@on_redis
def test_what_others_mark_is_not_found_any_more(held, another):
    another.mark(marks(), WRITER, 30.0).result()
    until(lambda: not is_near(), "the push arrives")
    write_unseen("new")
    assert title() == "new"
    another.clear(marks(), WRITER).result()
    until(is_near, "the process answers itself again")
    assert title() == "new"


@on_redis
@pytest.mark.parametrize("whole", [False, True])
def test_what_others_invalidate_by_hand_is_not_found_any_more(held, another, whole):
    write_unseen("new")
    (tables,) = marks()
    another.invalidate([MarkedTable(tables.keys, frozenset() if whole else tables.tags, whole=whole)])
    until(lambda: title() == "new", "the push arrives")


@on_redis
def test_other_readers_leases_change_nothing(held, another):
    (tables,) = marks()
    another.lease([TableTags(tables.keys, ("id=1", "id=2"), ("id",))], "", 310.0, 0.0).result()
    asked_at = time.monotonic()
    until(lambda: held._channel.confirmed > asked_at, "a heartbeat")
    assert [tag.is_outdated for entry in held._memory.entries.values() for tag in entry.tags] == [False, False]


@on_redis
def test_own_writes_are_seen_at_once(deaf):
    assert is_near()
    Book.objects.filter(pk=1).update(title="new")
    assert title() == "new"
    book = Book.objects.get(pk=1)
    until(is_near, "the process answers itself")
    book.title = "newest"
    book.save()
    assert title() == "newest"


@on_redis
def test_a_change_overtakes_the_answer_of_a_look_up(held, another, monkeypatch):
    (tables,) = marks()
    read = regions.local.store.read
    done = []

    def overtaken(keys):
        values = read(keys)
        tag = held._memory.tags.get(tables.key_list()[0])
        if tag is not None:  # changes are told
            another.invalidate([tables])
            until(lambda: tag.is_outdated, "the push arrives")
            write_unseen("new")
            done.append(tag)
        return values

    def overtake():
        another.invalidate([tables])
        until(lambda: not is_near(), "the push arrives")
        with monkeypatch.context() as patch:
            patch.setattr(regions.local.store, "read", overtaken)
            title()
        return done

    until(overtake, "a look-up is overtaken")
    assert title() == "new"


@on_redis
def test_who_has_heard_nothing_asks(deaf):
    assert is_near()
    deaf._channel.confirmed = time.monotonic() - 2.001
    assert not is_near()


@on_redis
def test_who_must_see_another_process_write_asks(deaf):
    with after("7-00000001-0000000000000001"):
        assert not is_near()
    assert is_near()


@on_redis
def test_what_was_missed_is_applied_once_a_second(deaf):
    write_unseen("new", "testapp_book")
    assert title() == "Title 0"
    regions.local.outbox.recheck()
    assert title() == "new"


@on_redis
@pytest.mark.filterwarnings("ignore:This process .* multi-threaded:DeprecationWarning")
def test_a_fork_holds_nothing_of_its_parent(held):
    child = os.fork()
    if child == 0:
        os._exit(1 if held.find(next(iter(held._memory.entries), ""), FOREVER) or held._memory.entries else 0)
    assert os.waitpid(child, 0)[1] == 0
    until(is_near, "the parent goes on")


@on_redis
def test_memory_is_bounded_and_the_least_used_goes_first(held):
    for number in (2, 3):
        title(number)
        title(number)
    first, second, _ = held._memory.entries
    held._max_bytes = held._memory.bytes
    assert held.find(first, FOREVER) is not None
    title(4)
    title(4)
    assert held._memory.bytes <= held._max_bytes
    assert first in held._memory.entries
    assert second not in held._memory.entries


@pytest.mark.parametrize("seconds", [0, -1, 2.5, True, "1"])
def test_seconds_that_mean_nothing_are_refused(seconds):
    with pytest.raises(InvalidOption, match="near needs seconds, above 0 and up to 2"):
        near(seconds)


@pytest.mark.parametrize("given", [-1, True, "32 MB", 1.5])
def test_bytes_that_mean_nothing_are_refused(given):
    with pytest.raises(InvalidOption, match="use a whole number of bytes"):
        NearEntries(PushChannel, given)


def test_the_level_has_a_bound_without_naming_one():
    assert [level_from("near"), str(near())] == [Level("near", 0.5), "near(0.5)"]
