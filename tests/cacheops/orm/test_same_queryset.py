"""One queryset that is run again is one query: compiling it leaves no trace in its key."""

from collections.abc import Callable
from typing import Any

import pytest
from django.db.models import (
    Avg,
    Case,
    CharField,
    Count,
    Exists,
    ExpressionWrapper,
    F,
    FilteredRelation,
    FloatField,
    Func,
    Max,
    OuterRef,
    Q,
    QuerySet,
    Subquery,
    Sum,
    Value,
    When,
    Window,
)
from django.db.models.functions import Cast, Coalesce, Concat, Lower, TruncYear

from cacheops.orm.fingerprint import Fingerprint
from cacheops.protocol.keys import ENTRY
from cacheops.regions import regions
from tests.testapp.cached import is_hit, keys_held
from tests.testapp.models import Archive, Author, Book, BookByAuthor, Library

pytestmark = pytest.mark.django_db(databases="__all__")

OWN_BOOKS = Book.objects.filter(author=OuterRef("pk")).order_by("pk")
QUERIES: dict[str, Callable[[], QuerySet[Any]]] = {
    "arithmetic": lambda: Book.objects.annotate(n=F("pages") + 1),
    "nested": lambda: Book.objects.annotate(n=(F("pages") + 1) * F("rating") - Value(2.0)).filter(n__gt=1),
    "wrapped": lambda: Book.objects.annotate(n=ExpressionWrapper(F("pages") * 2, output_field=FloatField())),
    "subquery": lambda: Author.objects.annotate(n=Subquery(OWN_BOOKS.values("title")[:1])),
    "subquery_filtered": lambda: Author.objects.annotate(n=Subquery(OWN_BOOKS.values("pages")[:1])).filter(n__gt=1),
    "subquery_in": lambda: Author.objects.filter(pk__in=Book.objects.filter(pages__gt=1).values("author")),
    "exists": lambda: Author.objects.annotate(has=Exists(OWN_BOOKS)).filter(has=True),
    "counted": lambda: Author.objects.annotate(n=Count("books"), most=Max("books__pages"), mean=Avg("books__pages")),
    "case": lambda: Book.objects.annotate(n=Case(When(pages__gt=1, then=F("pages") * 2), default=Value(3))),
    "window": lambda: Book.objects.annotate(n=Window(Sum("pages"), partition_by=F("author"), order_by="pk")),
    "functions": lambda: Book.objects.annotate(
        n=Coalesce(Lower("title"), Concat("status", Value("-"))), y=TruncYear("published")
    ),
    "cast": lambda: Book.objects.annotate(n=Cast("pages", CharField())).order_by(F("pages").desc(nulls_last=True)),
    "func": lambda: Book.objects.annotate(n=Func(F("title"), function="UPPER")),
    "conditions": lambda: Book.objects.filter(Q(pages__gt=F("rating") * 2) | ~Q(pages=F("pages") + 1)),
    "ordered_by_a_relation": lambda: Book.objects.order_by("author__name", "pk"),
    "related": lambda: Book.objects.select_related("author", "shelf"),
    "ordered_in_a_subquery": lambda: Author.objects.annotate(
        n=Subquery(Book.objects.filter(author=OuterRef("pk")).order_by("shelf__label", "pk").values("pk")[:1])
    ),
    "ordered_in_a_condition": lambda: Author.objects.filter(
        pk__in=Book.objects.order_by("shelf__label", "pk").values("author")[:3]
    ),
    "ordered_by_an_expression": lambda: Book.objects.order_by(Lower("author__name").desc(), "shelf__label"),
    "related_and_filtered": lambda: Book.objects.filter(author__name__gt="a").select_related("author", "shelf"),
    "of_two_tables": lambda: Library.objects.all(),
    "of_three_tables": lambda: Archive.objects.order_by("name", "pk"),
    "ordered_by_its_model": lambda: BookByAuthor.objects.all(),
    "ordered_by_a_filtered_relation": lambda: Author.objects.annotate(
        thick=FilteredRelation("books", condition=Q(books__pages__gt=1))
    ).order_by("thick__shelf__label", "pk"),
    "combined": lambda: (
        Book.objects.filter(pk=1).annotate(n=F("pages") + 1).union(Book.objects.annotate(n=F("pages") + 2))
    ),
}


@pytest.mark.parametrize("name", QUERIES)
def test_the_second_run_is_a_hit_and_one_entry_is_kept(name: str, library: str) -> None:
    books = QUERIES[name]().using(library)
    shape = Fingerprint(books.query).shape
    list(books.iterator())  # runs the queryset itself, not a copy
    assert is_hit(library, lambda: list(books.iterator()))
    assert is_hit(library, lambda: list(books.all()))
    assert is_hit(library, lambda: list(QUERIES[name]().using(library)))
    own = [key for key in keys_held(regions.local.store, ENTRY) if ".testapp_" in key]
    assert len(own) == 1
    assert Fingerprint(books.query).shape == shape
