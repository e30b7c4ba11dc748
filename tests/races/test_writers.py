"""Races between writers, and writers whose commit goes wrong."""

from collections.abc import Callable

import pytest
from django.db import OperationalError, connection
from django.db.transaction import atomic

from cacheops.instrumentation.counters import counters
from tests.races.actors import Actor, Gate, at_commit
from tests.testapp.cached import is_hit
from tests.testapp.models import Book

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("books")]


def on_shelf(shelf: int) -> set[int]:
    return set(Book.objects.filter(shelf_id=shelf).values_list("pk", flat=True))


def title() -> str:
    return Book.objects.get(pk=1).title


def save(book: Book) -> None:
    book.save()


def save_the_column(book: Book) -> None:
    book.save(update_fields=["shelf"])


def update(book: Book) -> None:
    Book.objects.filter(pk=book.pk).update(shelf_id=book.shelf_id)


def bulk_update(book: Book) -> None:
    Book.objects.bulk_update([book], ["shelf"])


def delete(book: Book) -> None:
    book.delete()


@pytest.mark.parametrize("write", [save, save_the_column, update, bulk_update, delete])
def test_two_writers_move_a_row_twice(write: Callable[[Book], None]):
    """The second one loaded the row before the first moved it: where the row stood is read under the lock."""
    old = Book.objects.get(pk=1)
    assert (old.shelf_id, on_shelf(1) & {1}, on_shelf(2) & {1}, on_shelf(3) & {1}) == (1, {1}, set(), set())
    gate, moved = Gate(), Gate()

    def first():
        at_commit(before=gate)
        Book.objects.filter(pk=1).update(shelf_id=2)

    def second():
        old.shelf_id = 3
        with atomic():
            write(old)
            moved()

    moving = Actor(first)
    gate.wait()
    following = Actor(second)
    following.wait_locked()
    gate.open()
    moving.result()
    moved.wait()
    assert 1 in on_shelf(2)  # committed by the first; the second has not committed yet
    assert 1 in on_shelf(2)
    moved.open()
    following.result()
    assert 1 not in on_shelf(1)
    assert 1 not in on_shelf(2)
    assert (1 in on_shelf(3)) == (write is not delete)


def test_a_row_appears_between_the_lock_and_the_update():
    """The UPDATE meets a row that its SELECT FOR UPDATE did not: where it stood is not known, so all is marked."""
    gate, moved = Gate(), Gate()
    Book.objects.filter(pk=1).update(title="Same")
    assert 2 in on_shelf(2)  # the condition is known, so an update asks where rows stood

    def first():
        at_commit(before=gate)
        with atomic():
            Book.objects.filter(pk=1).update(pages=1)  # the second one's SELECT waits for it
            Book.objects.filter(pk=2).update(title="Same")

    def second():
        with atomic():
            assert Book.objects.filter(title="Same").update(shelf_id=3) == 2
            moved()

    appearing = Actor(first)
    gate.wait()
    following = Actor(second)
    following.wait_locked()
    gate.open()
    appearing.result()
    moved.wait()
    assert 2 in on_shelf(2)  # its move is not committed yet
    assert is_hit("default", lambda: on_shelf(2))
    moved.open()
    following.result()
    assert 2 not in on_shelf(2)


def test_a_clear_is_overtaken_by_another_mark():
    """Two writers of one tag: the first one's clear leaves the second one's mark."""
    assert 1 in on_shelf(1)
    gate, done = Gate(), Gate()

    def slow():
        at_commit(before=gate, after=done)
        Book.objects.filter(pk=4).update(shelf_id=2)

    assert 4 in on_shelf(1)
    writer = Actor(slow)
    gate.wait()
    Book.objects.filter(pk=1).update(shelf_id=2)  # marks, commits and clears the same tags
    counters.reset()
    assert on_shelf(1) >= {4}
    assert (counters.bypasses.total(), counters.misses.total()) == (1, 0)
    gate.open()
    done.wait()
    assert 4 not in on_shelf(1)
    assert counters.bypasses.total() == 2
    done.open()
    writer.result()
    assert not on_shelf(1) & {1, 4}
    assert is_hit("default", lambda: on_shelf(1))


def test_a_commit_whose_answer_is_lost_leaves_the_marks():
    """Nobody knows whether it was committed: readers ask the database until the mark's deadline."""
    assert title() == "Title 0"

    def lose_the_answer():
        raise connection.Database.OperationalError("the connection was lost")

    def write():
        at_commit(after=lose_the_answer)
        Book.objects.filter(pk=1).update(title="new")

    assert isinstance(Actor(write).error(), OperationalError)
    counters.reset()
    assert (title(), title()) == ("new", "new")
    assert counters.bypasses.total() == 2


def test_a_connection_that_ends_before_the_commit_leaves_the_marks():
    assert title() == "Title 0"

    def end_the_connection():
        pid = connection.connection.info.backend_pid
        Actor(lambda: connection.cursor().execute("SELECT pg_terminate_backend(%s)", [pid])).result()

    def write():
        at_commit(before=end_the_connection)
        Book.objects.filter(pk=1).update(title="new")

    assert isinstance(Actor(write).error(), OperationalError)
    counters.reset()
    assert title() == "Title 0"
    assert counters.bypasses.total() == 1
