"""Fingerprints: one fingerprint, one SQL. Nothing is asked of a database."""

from typing import Any

import pytest
from django.core.exceptions import EmptyResultSet
from django.db import NotSupportedError
from django.db.models import F, Q, Value
from django.db.models.functions import Lower, Upper
from hypothesis import given, settings
from hypothesis import strategies as st

from cacheops.orm.fingerprint import Fingerprint, NoFingerprint
from tests.testapp.drawn import CONDITIONS
from tests.testapp.models import Author, Book

ORDERS = st.sampled_from([(), ("pk",), ("-pk",), ("author__name", "pk"), ("pages", "-status")])
CUTS = st.sampled_from([slice(None), slice(0, 3), slice(1, 3), slice(2, None)])
COLUMNS = st.sampled_from([(), ("pk",), ("title", "author__name"), ("pk", "status")])
_seen: dict[Any, tuple[str, Any]] = {}


def sql_of(books: Any) -> tuple[str, Any]:
    try:
        sql, parameters = books.query.sql_with_params()
    except (EmptyResultSet, NotSupportedError):  # it finds nothing; or SQLite has no such condition
        return ("nothing", ())
    return sql, repr(parameters)


@pytest.mark.django_db  # a generic relation asks for its content type
@settings(max_examples=300, deadline=None)
@given(CONDITIONS, ORDERS, CUTS, COLUMNS, st.booleans(), st.booleans())
def test_queries_of_one_fingerprint_have_one_sql(
    condition: Q, order: Any, cut: slice, columns: Any, distinct: bool, related: bool
) -> None:
    def made() -> Any:
        books = Book.objects.filter(condition).order_by(*order)
        books = books.distinct() if distinct else books
        if columns:
            return books.values_list(*columns)[cut]
        return (books.select_related("author") if related else books)[cut]

    first, second = Fingerprint(made().query), Fingerprint(made().query)
    assert first.shape == second.shape
    assert repr(first.parameters) == repr(second.parameters)
    key = (first.shape, repr(first.parameters))
    sql = sql_of(made())
    assert _seen.setdefault(key, sql) == sql


DIFFERENT = [
    Book.objects.all(),
    Book.objects.filter(pages=1),
    Book.objects.filter(pages=2),
    Book.objects.filter(pages__in=[1]),
    Book.objects.filter(pages__in=[1, 2]),
    Book.objects.exclude(pages=1),
    Book.objects.filter(pages__gt=1),
    Book.objects.filter(title="1"),
    Book.objects.filter(author=1),
    Book.objects.filter(author__pk=1, shelf=1),
    Book.objects.filter(Q(author=1) | Q(shelf=1)),
    Book.objects.filter(pages=F("author_id")),
    Book.objects.filter(pages=F("shelf_id")),
    Book.objects.order_by(F("pages").asc()),
    Book.objects.order_by(F("pages").desc()),
    Book.objects.order_by(F("pages").desc(nulls_last=True)),
    Book.objects.order_by(F("rating").asc()),
    Book.objects.annotate(x=Lower("title")),
    Book.objects.annotate(x=Upper("title")),
    Book.objects.annotate(y=Upper("title")),
    Book.objects.annotate(x=Value(1)),
    Book.objects.annotate(x=Value(True)),
    Book.objects.annotate(x=Value("1")),
    Book.objects.distinct(),
    Book.objects.all()[:5],
    Book.objects.all()[1:5],
    Book.objects.select_related("author"),
    Book.objects.select_related("shelf"),
    Book.objects.only("title"),
    Book.objects.defer("title"),
    Book.objects.filter(tags__name="a").filter(tags__name="b"),
    Book.objects.filter(tags__name="a", tags__pk=1),
    Author.objects.all(),
]


def test_different_queries_have_different_fingerprints() -> None:
    found = [Fingerprint(each.query) for each in DIFFERENT]
    assert len({(each.shape, repr(each.parameters)) for each in found}) == len(DIFFERENT)


def test_values_of_one_shape_are_parameters() -> None:
    shapes = {Fingerprint(Book.objects.filter(pages=pages, title__in=titles).query).shape
              for pages, titles in ((1, ["a"]), (2, ["b", "c"]), (3, ["d"]))}  # fmt: skip
    assert len(shapes) == 1


@pytest.mark.parametrize("books", [Book.objects.extra(where=["1=1"]), Book.objects.select_for_update()])
def test_what_is_not_known_has_no_fingerprint(books: Any) -> None:
    with pytest.raises(NoFingerprint):
        Fingerprint(books.query)
