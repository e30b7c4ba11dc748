"""Saves in one statement: wrong expected values are seen by the statement itself, and goes the long way."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from django.db import DatabaseError, OperationalError, connection
from django.db.transaction import atomic

from cacheops.databases import table_keys
from cacheops.instrumentation.counters import counters
from cacheops.orm import optimistic_save
from cacheops.regions import regions
from tests.races.actors import Actor, Gate
from tests.testapp.cached import is_hit, statements
from tests.testapp.models import Book
from tests.waiting import until

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("books")]
CHECK = "clock_timestamp()"  # stands in the statement of an optimistic save
TRIGGER = """
CREATE FUNCTION move_book() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN NEW.shelf_id = 2; RETURN NEW; END';
CREATE TRIGGER move_book BEFORE UPDATE ON testapp_book FOR EACH ROW EXECUTE FUNCTION move_book()
"""
NO_TRIGGER = "DROP TRIGGER move_book ON testapp_book; DROP FUNCTION move_book"


@pytest.fixture(autouse=True)
def _rested() -> Iterator[None]:
    optimistic_save.cooldowns.until.clear()
    yield
    optimistic_save.cooldowns.until.clear()


def titles(shelf: int) -> dict[int, str]:
    return dict(Book.objects.filter(shelf_id=shelf).values_list("pk", "title"))


def rename(book: Book, fields: tuple[str, ...] | None = ("title",)) -> None:
    book.title = "new"
    book.save(update_fields=fields)


@contextmanager
def at_update(before: Callable[[], Any] = bool, after: Callable[[], Any] = bool) -> Iterator[None]:
    """Do something around this thread's next statement that is an UPDATE and commits by itself."""
    waiting = [True]

    def wrapper(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        if not sql.startswith("UPDATE") or connection.in_atomic_block or not waiting:
            return execute(sql, params, many, context)
        waiting.clear()
        before()
        answer = execute(sql, params, many, context)
        after()
        return answer

    with connection.execute_wrapper(wrapper):
        yield


@pytest.mark.parametrize("fields", [None, ("title",)], ids=["all columns", "one column"])
def test_it_is_one_statement(fields):
    book = Book.objects.get(pk=1)
    assert titles(1)[1] == "Title 0"
    with statements("default") as ran:
        rename(book, fields)
    assert len(ran) == 1
    assert CHECK in ran[0]
    assert titles(1)[1] == "new"
    assert is_hit("default", lambda: titles(1))


@pytest.mark.parametrize("fields", [None, ("shelf", "title")], ids=["all columns", "its column"])
def test_a_row_that_the_save_moves_goes_the_long_way(fields):
    book = Book.objects.get(pk=1)
    assert (1 in titles(1), 1 in titles(2)) == (True, False)
    book.shelf_id = 2
    rename(book, fields)
    assert (1 in titles(1), titles(2)[1]) == (False, "new")


@pytest.mark.parametrize("fields", [None, ("title",)], ids=["all columns", "one column"])
def test_a_row_that_was_moved_before_the_statement(fields):
    """Marked for shelf 1; but it stands on shelf 2 by now, whose entry was filled meanwhile."""
    book, gate = Book.objects.get(pk=1), Gate()
    assert titles(2).get(1) is None  # a condition that the writer knows

    def write():
        with at_update(before=gate):
            rename(book, fields)

    writer = Actor(write)
    gate.wait()
    Book.objects.filter(pk=1).update(shelf_id=2)
    assert titles(2)[1] == "Title 0"
    assert is_hit("default", lambda: titles(2))
    gate.open()
    writer.result()
    expected = (None, "new") if fields else ("new", None)  # who saves all columns moves it back
    assert (titles(1).get(1), titles(2).get(1)) == expected


def test_a_row_that_is_moved_while_the_statement_waits_for_its_lock():
    book, moved = Book.objects.get(pk=1), Gate()
    assert titles(2).get(1) is None

    def move():
        with atomic():
            Book.objects.filter(pk=1).update(shelf_id=2)
            moved()

    mover = Actor(move)
    moved.wait()
    writer = Actor(lambda: rename(book))
    writer.wait_locked()
    moved.open()
    mover.result()
    writer.result()
    assert (titles(1).get(1), titles(2)[1]) == (None, "new")


def test_readers_between_the_commit_and_the_clear():
    book, gate = Book.objects.get(pk=1), Gate()
    assert titles(1)[1] == "Title 0"

    def write():
        with at_update(after=gate):
            rename(book)

    writer = Actor(write)
    gate.wait()
    counters.reset()
    assert titles(1)[1] == "new"
    assert counters.bypasses.total() == 1
    gate.open()
    writer.result()


def test_a_trigger_that_moves_the_row():
    """It changes the value after, which no instance tells: the statement refuses itself."""
    book = Book.objects.get(pk=1)
    assert titles(2).get(1) is None
    with connection.cursor() as cursor:
        cursor.execute(TRIGGER)
    try:
        assert titles(2).get(1) is None
        rename(book)
        assert titles(2)[1] == "new"
        assert optimistic_save.cooldowns.until
    finally:
        with connection.cursor() as cursor:
            cursor.execute(NO_TRIGGER)


def test_a_statement_that_waits_longer_than_its_marks_may_stand(settings):
    settings.CACHEOPS_MARK_SECONDS = 1.0
    book, held = Book.objects.get(pk=1), Gate()

    def hold():
        with atomic():
            Book.objects.select_for_update().get(pk=1)
            held()

    holder = Actor(hold)
    held.wait()
    writer = Actor(lambda: rename(book))
    writer.wait_locked()
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_sleep(1)")
    held.open()
    holder.result()
    writer.result()
    assert optimistic_save.cooldowns.until  # it has refused itself
    assert titles(1)[1] == "new"


def test_a_condition_that_this_process_has_not_heard_of():
    """Another process has registered it since: the expected values say nothing of its column."""
    book = Book.objects.get(pk=1)
    assert titles(1)

    def drafts() -> dict[int, str]:
        return dict(Book.objects.filter(status="draft").values_list("pk", "title"))

    assert drafts()[1] == "Title 0"
    keys = table_keys("default", "testapp_book")
    regions.local.set_schemes(keys, frozenset({"shelf_id"}))
    rename(book)
    assert drafts()[1] == "new"


def test_a_row_that_is_gone():
    book = Book.objects.get(pk=1)
    Book.objects.filter(pk=1).delete()
    with pytest.raises(DatabaseError, match="did not affect any rows"):
        rename(book)


def test_a_connection_lost_in_the_statement_leaves_the_marks():
    """Nobody knows whether it was committed."""
    book = Book.objects.get(pk=1)
    assert titles(1)[1] == "Title 0"

    def lose() -> None:
        raise OperationalError("the connection was lost")

    def write():
        with at_update(after=lose):
            rename(book)

    assert isinstance(Actor(write).error(), OperationalError)
    counters.reset()
    assert titles(1)[1] == "new"
    assert counters.bypasses.total() == 1


def test_a_lock_that_is_not_to_be_had_takes_the_marks_off():
    book, held = Book.objects.get(pk=1), Gate()
    assert titles(1)[1] == "Title 0"

    def hold():
        with atomic():
            Book.objects.select_for_update().get(pk=1)
            held()

    def write():
        with connection.cursor() as cursor:
            cursor.execute("SET lock_timeout = '10ms'")
        rename(book)

    holder = Actor(hold)
    held.wait()
    assert isinstance(Actor(write).error(), OperationalError)
    titles(1)
    until(lambda: is_hit("default", lambda: titles(1)), "the marks are gone")
    held.open()
    holder.result()


def test_a_region_that_is_away_is_told_by_the_queue(monkeypatch):
    """Its invalidation must be in the transaction of the write: one statement has none."""
    book = Book.objects.get(pk=1)
    monkeypatch.setattr(type(regions.local.breaker), "failures", 1)
    with statements("default") as ran:
        rename(book)
    assert not any(CHECK in sql for sql in ran)
