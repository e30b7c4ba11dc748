"""Queries that look alike and are not, and conditions that say less than they seem to."""

import datetime as dt
from typing import Any

import pytest
from django.core.exceptions import FieldError
from django.db import connections, models
from django.db.models import CharField, F, Func, Q, Value, Window
from django.db.models.functions import RowNumber
from django.utils import timezone
from django.utils.functional import lazy

from cacheops import invalidate_all
from cacheops.reading.options import loaded_from
from tests.testapp import world
from tests.testapp.cached import from_database, is_hit
from tests.testapp.compare import plain
from tests.testapp.models import Book, Seat, Sticker, Ticket
from tests.testapp.rare import active_language

pytestmark = pytest.mark.django_db(databases="__all__")


@pytest.mark.parametrize(
    "condition",
    [
        Q(r=2, status="out") | Q(r=3, status="draft"),
        Q(r=2, status="out") | Q(status="draft"),
        Q(r__lt=4) & (Q(r=2, status="out") | Q(r=3, status="draft")),
    ],
    ids=["both", "one", "within"],
)
def test_rows_that_a_window_looks_at_count(condition: Q, library: str) -> None:
    books = Book.objects.using(library)
    books.filter(pk=1).update(status="gone")

    def read() -> Any:
        numbered = books.annotate(r=Window(RowNumber(), order_by=F("pk").asc())).filter(condition)
        return list(numbered.order_by("pk").values_list("pk", "r"))

    assert plain(read()) == from_database(read)
    assert is_hit(library, read)
    books.filter(pk=1, status="gone").delete()
    assert plain(read()) == from_database(read)


def named(name: str) -> type[Func]:
    """Make a class: all that are made here have one qualified name."""

    class Spoken(Func):
        function = name
        output_field = CharField()

    return Spoken


def test_classes_of_one_name_are_told_apart(library: str) -> None:
    for name in ("UPPER", "LOWER", "UPPER"):
        spoken = named(name)

        def read(spoken: type[Func] = spoken) -> Any:
            return list(Book.objects.using(library).annotate(x=spoken("title")).order_by("pk").values_list("x"))

        assert plain(read()) == from_database(read)
    assert is_hit(library, read)


def test_time_zones_of_one_name_are_told_apart(library: str) -> None:
    books = Book.objects.using(library)
    books.update(published=dt.datetime(2024, 12, 31, 22, tzinfo=dt.UTC))
    for hours in (0, 5):
        with timezone.override(dt.timezone(dt.timedelta(hours=hours), "local")):
            assert books.filter(published__year=2025).count() == (len(books.all()) if hours else 0)


def test_combined_queries_are_what_django_makes_of_them(library: str) -> None:
    def read() -> Any:
        thin, thick = (Book.objects.using(library).filter(pages=pages) for pages in (100, 200))
        return list(thin.union(thick).order_by("-title").values_list("pk")[:2])

    for _ in range(2):
        assert plain(read()) == from_database(read)


@pytest.mark.django(6, 1)
def test_a_fetch_mode_stays(library: str) -> None:
    for _ in range(2):
        book = Book.objects.using(library).fetch_mode(models.FETCH_RAISE).get(pk=1)
        with pytest.raises(FieldError, match="author"):
            assert book.author
        assert Book.objects.using(library).get(pk=1).author.name == "Ada"


def test_a_lazy_text_is_that_of_the_moment(library: str) -> None:
    answer = Value(lazy(active_language.get, str)(), output_field=CharField())

    def read() -> Any:
        return set(Book.objects.using(library).annotate(answer=answer).values_list("answer", flat=True))

    for language in ("en", "de", "en"):
        token = active_language.set(language)
        assert read() == {language}
        assert is_hit(library, read)
        active_language.reset(token)


def test_a_lazy_text_that_makes_sql_belongs_to_the_shape(library: str) -> None:
    for template, is_cached in (("lower(%(expressions)s)", True), ("hex(random()) || %(expressions)s", False)):
        made = Func("title", template=lazy(str, str)(template), output_field=CharField())

        def read(made: Func = made) -> Any:
            return list(Book.objects.using(library).annotate(made=made).filter(pk=1).values_list("made"))

        if connections[library].vendor == "sqlite" or is_cached:
            read()
            assert is_hit(library, read) == is_cached


def test_a_relation_by_two_columns_is_cached(library: str) -> None:
    seats, tickets = Seat.objects.using(library), Ticket.objects.using(library)
    one, other = (seats.create(row=1, number=number) for number in (2, 3))
    tickets.create(row=1, number=2)
    reads = [
        lambda: [[seat.pk, list(seat.tickets.all())] for seat in seats.order_by("number").prefetch_related("tickets")],
        lambda: [ticket.seat for ticket in tickets.order_by("pk").prefetch_related("seat")],
        lambda: list(tickets.filter(seat=one).order_by("pk")),
        lambda: list(tickets.filter(seat__in=[one, other]).order_by("pk")),
        lambda: list(other.tickets.order_by("pk")),
    ]
    for read in reads:
        expected = from_database(read)
        assert plain(read()) == expected
        assert is_hit(library, read)
        assert plain(read()) == expected
    tickets.create(row=1, number=3)
    for read in reads:
        assert plain(read()) == from_database(read)


def test_a_table_whose_name_is_written_with_quotes_is_not_cached(library: str) -> None:
    stickers = Sticker.objects.using(library)
    stickers.create(text="old")
    for text in ("new", "newer"):
        assert not is_hit(library, lambda: list(stickers.all()))
        stickers.update(text=text)
        assert stickers.get().text == text


def test_a_figure_is_loaded_from_where_the_block_says(library: str) -> None:
    """A follower region loads from the primary: a figure of plain conditions, too."""
    other = {"default": "other", "other": "default"}[library]
    world.empty(other)
    for _ in range(2):  # the second by a plan that is known
        with loaded_from({library: other}):
            invalidate_all()
            books = Book.objects.using(library).filter(author_id=1)
            assert (books.count(), books.exists(), books.values("pk").count()) == (0, False, 0)
