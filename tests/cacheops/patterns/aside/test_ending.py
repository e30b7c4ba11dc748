"""CacheAsideManager: what ends an entry: a call, a pattern, a write to what it depends on."""

import datetime as dt
import threading
from typing import Any

import pytest
from django.db import connections, transaction

from cacheops import bypassed
from cacheops.instrumentation.request_stats import collect_request_stats
from cacheops.orm.samples import RowsOf, TimeBucket
from cacheops.patterns import AsideEntry, CacheAsideManager
from tests.cacheops.patterns.aside.loading import NOON, Calls, entries
from tests.testapp.models import Book, EveryField

pytestmark = pytest.mark.django_db(databases="__all__")
HOUR = dt.timedelta(hours=1)


def test_invalidating_says_whether_there_was_something(region: str) -> None:
    manager, calls = CacheAsideManager(), Calls()
    manager.get_or_set("device:7:data", calls)
    assert manager.invalidate("device:7:data") is True
    assert manager.invalidate("device:7:data") is False
    manager.get_or_set("device:7:data", calls)
    assert calls.count == 2


def test_a_pattern_meets_what_it_names_and_nothing_else(region: str) -> None:
    manager = CacheAsideManager()
    names = ["device:1:data:a", "device:1:data:b", "device:1:current", "device:11:data:a", "user:1:data:a"]
    manager.get_or_set_many(entries(*names), Calls().many)
    assert manager.invalidate_pattern("device:1:data:*") == 2
    calls = Calls()
    manager.get_or_set_many(entries(*names), calls.many)
    assert calls.asked == [names[:2]]
    assert manager.invalidate_pattern("*:1:data:[ab]") == 3
    assert manager.invalidate_pattern("device:1:*") == 1
    assert manager.invalidate_pattern("nothing:*") == 0


@pytest.mark.parametrize("many", [False, True])
@pytest.mark.parametrize("end", ["invalidate", "invalidate_pattern"])
def test_what_is_being_loaded_is_not_kept_once_it_was_invalidated(end: str, many: bool, region: str) -> None:
    manager = CacheAsideManager()

    def load(keys: Any = ()) -> Any:
        getattr(manager, end)("device:7:data")
        return dict.fromkeys(keys, "old") if keys else "old"

    if many:
        manager.get_or_set_many(entries("device:7:data"), load)
    else:
        manager.get_or_set("device:7:data", load)
    assert manager.get_or_set("device:7:data", Calls("new")) == "new"


def titles(depends_on: Any, manager: CacheAsideManager) -> list[str]:
    def load() -> list[str]:
        with bypassed():
            return [book.title for book in Book.objects.filter(author_id=1).order_by("pk")]

    return manager.get_or_set("books:of:1", load, depends_on=depends_on)


@pytest.mark.parametrize(
    "sample", [lambda: Book.objects.filter(author_id=1), lambda: RowsOf(Book, {"author_id": 1})], ids=["query", "rows"]
)
def test_an_entry_follows_the_rows_that_it_depends_on(sample: Any, books: None) -> None:
    manager = CacheAsideManager()
    before = titles([sample()], manager)
    with collect_request_stats() as stats:
        assert titles([sample()], manager) == before
    assert (stats.hits, stats.misses) == (1, 0)
    Book.objects.exclude(author_id=1).update(title="of another")
    with collect_request_stats() as stats:
        titles([sample()], manager)
    assert (stats.hits, stats.misses) == (1, 0)
    Book.objects.filter(author_id=1).update(title="new")
    assert set(titles([sample()], manager)) == {"new"}


@pytest.mark.parametrize("many", [False, True])
def test_a_write_while_loading_leaves_nothing_old(many: bool, books: None) -> None:
    manager = CacheAsideManager()
    sample = RowsOf(Book, {"id": 1})

    def write() -> None:
        Book.objects.filter(pk=1).update(title="written")
        connections.close_all()

    def load(keys: Any = ()) -> Any:
        writer = threading.Thread(target=write)
        writer.start()
        writer.join()
        return dict.fromkeys(keys, "from before") if keys else "from before"

    if many:
        manager.get_or_set_many(entries("books:1", depends_on=[sample]), load)
    else:
        manager.get_or_set("books:1", load, depends_on=[sample])
    assert manager.get_or_set("books:1", Calls("after"), depends_on=[sample]) == "after"


def test_a_transaction_reads_its_own_writes_and_fills_nothing(books: None) -> None:
    manager = CacheAsideManager()
    sample = [RowsOf(Book, {"author_id": 1})]
    before = titles(sample, manager)
    with transaction.atomic():
        Book.objects.filter(author_id=1).update(title="not committed")
        assert set(titles(sample, manager)) == {"not committed"}
        transaction.set_rollback(True)
    assert titles(sample, manager) == before


def test_an_hour_is_left_alone_by_a_write_to_the_next(books: None) -> None:
    manager = CacheAsideManager()
    hours = [NOON + number * HOUR for number in range(4)]
    EveryField.objects.create(moment=hours[0])
    wanted = [
        AsideEntry(f"hour:{number}", [RowsOf(EveryField, {"moment": TimeBucket(hour, 3600)})])
        for number, hour in enumerate(hours)
    ]
    calls = Calls()
    manager.get_or_set_many(wanted, calls.many)
    EveryField.objects.create(moment=hours[2] + HOUR / 2)
    EveryField.objects.filter(moment=hours[0]).delete()
    manager.get_or_set_many(wanted, calls.many)
    assert calls.asked[1:] == [["hour:0", "hour:2"]]
