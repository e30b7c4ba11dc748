"""iterator(): a hit is served at once, a miss is filled when its end is reached."""

from typing import Any, cast

import pytest
from django.db import connections

from cacheops.instrumentation.counters import counters
from cacheops.reading.reader import reading_by
from tests.testapp.cached import is_hit
from tests.testapp.models import Book, EveryField

pytestmark = pytest.mark.django_db(databases="__all__")


def test_a_finished_iterator_fills_for_iterators_and_lists(library: str) -> None:
    books = Book.objects.using(library).order_by("pk")
    assert len(list(books.iterator(chunk_size=3))) == 8
    assert is_hit(library, lambda: list(books.iterator(chunk_size=2)))
    assert is_hit(library, lambda: list(books.all()))


def test_an_iterator_left_early_fills_nothing(library: str) -> None:
    books = Book.objects.using(library).order_by("pk")
    assert next(books.iterator(chunk_size=2)).pk == 1
    assert not is_hit(library, lambda: list(books.all()))


def test_a_write_during_the_iteration_leaves_no_entry(library: str) -> None:
    books = Book.objects.using(library).order_by("pk")
    rows = books.iterator(chunk_size=2)
    next(rows)
    books.filter(pk=8).update(title="meanwhile")
    list(rows)
    assert not is_hit(library, lambda: list(books.all()))
    assert books.all()[7].title == "meanwhile"


def test_what_the_reader_does_to_its_rows_is_not_stored(library: str) -> None:
    books = Book.objects.using(library).order_by("pk")
    for book in books.iterator(chunk_size=3):
        book.extra["mine"] = True
    assert not any("mine" in book.extra for book in books.iterator())


def test_a_long_result_is_streamed_and_not_kept(library: str, settings) -> None:
    settings.CACHEOPS_MAX_ENTRY_BYTES = 5000
    rows = EveryField.objects.using(library)
    rows.bulk_create(EveryField(char="x" * 200) for _ in range(50))
    filled = counters.fills.total()
    assert len(list(rows.order_by("pk").iterator(chunk_size=10))) == 51
    assert counters.fills.total() == filled
    assert not is_hit(library, lambda: list(rows.order_by("pk").iterator()))


def test_a_database_that_sends_all_at_once_gives_a_list(library: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections[library].features, "can_use_chunked_reads", False)
    books = Book.objects.using(library).order_by("pk")
    rows = books.query.get_compiler(using=library).execute_sql(chunked_fetch=True, chunk_size=3)
    assert isinstance(rows, list)
    assert len([row for part in rows for row in part]) == 8
    assert is_hit(library, lambda: list(books.all()))


def test_another_reader_answers_the_iterator_at_once(library: str) -> None:
    asked: list[str] = []

    class Reader:
        def read(self, request: Any, load: Any) -> Any:
            asked.append(request.label)
            return load()[:5]

    with reading_by(cast("Any", Reader())):
        books = Book.objects.using(library).order_by("pk")
        assert [book.pk for book in books.iterator(chunk_size=2)] == [1, 2, 3, 4, 5]
        parts = books.query.get_compiler(using=library).execute_sql(chunked_fetch=True, chunk_size=2)
        assert [len(part) for part in parts] == [5]
    assert asked == ["testapp.book:fetch"] * 2
