"""Queries drawn at random, nearly alike: those of one key have one meaning."""

import datetime as dt
from collections.abc import Callable
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from django.core.serializers.json import DjangoJSONEncoder
from django.db import models
from django.db.models import Case, Exists, F, Func, OuterRef, Q, QuerySet, Subquery, Sum, Value, When
from django.db.models.functions import Cast, Coalesce, Concat, Lower
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.testapp.alike import (
    AUTUMN,
    ENCODED,
    INTEGERS,
    NOON,
    ONE_PLACE,
    SOME_ID,
    TEN,
    TEXTS,
    TWO_PLACES,
    Colour,
    Decoder,
    Encoder,
    Mood,
    Size,
    column,
    document,
    key_of,
    meaning_of,
)
from tests.testapp.models import Book

EQUALS: list[Any] = [0, 0.0, -0.0, False, 1, 1.0, True, Decimal(1), Decimal("1.0"), "1", "1.0", "true", b"1"]
MOMENTS: list[Any] = [
    NOON,
    TEN,
    *(NOON.astimezone(ZoneInfo(name)) for name in ("Africa/Tripoli", "Asia/Tokyo")),
    AUTUMN,
    AUTUMN.replace(fold=1),
]
TEXTED: list[Any] = [*MOMENTS, dt.time(1), dt.time(1, fold=1), dt.timedelta(1), dt.date(2020, 1, 1), SOME_ID]
TEXTS_OF = [str(one) for one in TEXTED] + ["P1D", "2020-01-01", "2026-01-01T10:00:00Z"]
MEMBERS: list[Any] = [Mood.GOOD, "good", Size.ONE, Colour.RED, "red"]
NESTED = st.recursive(
    st.sampled_from([*EQUALS[:-1], *TEXTED, *TEXTS_OF, *MEMBERS, None]),
    lambda inner: st.one_of(
        st.lists(inner, max_size=2),
        st.lists(inner, max_size=2).map(tuple),
        st.dictionaries(st.sampled_from(["at", "1", 1]), inner, max_size=2),
    ),
    max_leaves=3,
)
OUTPUTS: list[Any] = [
    models.IntegerField(),
    models.BigIntegerField(),
    models.FloatField(),
    models.BooleanField(),
    models.TextField(),
    models.CharField(max_length=5),
    models.CharField(max_length=6),
    ONE_PLACE,
    TWO_PLACES,
    models.JSONField(),
    models.JSONField(decoder=Decoder),
    models.JSONField(encoder=DjangoJSONEncoder),
    ENCODED,
    models.DateTimeField(),
    INTEGERS,
    TEXTS,
]
VALUES = st.sampled_from([*EQUALS, *TEXTED, *TEXTS_OF, *MEMBERS]) | st.dates(dt.date(2020, 1, 1), dt.date(2020, 1, 3))
FIELDS = st.sampled_from(OUTPUTS)
COLUMNS = st.sampled_from(["pages", "id", "author_id", "title", "status"])
CONDITIONS = st.one_of(
    st.builds(lambda column, given: Q(**{column: given}), st.sampled_from(["pages", "id"]), st.sampled_from([0, 1, 2])),
    st.builds(lambda given: Q(title=given), st.sampled_from(["1", "1 ", "a", "A", ""])),
    st.builds(lambda given: Q(pages__isnull=given), st.booleans()),
    st.builds(lambda given: Q(pages__in=given), st.lists(st.sampled_from([0, 1, None]), min_size=1, max_size=2)),
    st.builds(lambda given: Q(author__name=given), st.sampled_from(["1", "a"])),
)
TREES = st.recursive(
    CONDITIONS,
    lambda inner: st.one_of(
        st.builds(lambda one: ~one, inner),
        st.builds(lambda one, other: one & other, inner, inner),
        st.builds(lambda one, other: one | other, inner, inner),
    ),
    max_leaves=4,
)
# Each makes an expression of a value and a field: two that are nearly alike differ in one of them.
Leaf = tuple[Any, Any]
LEAVES = st.tuples(VALUES, FIELDS)
EXPRESSIONS = st.one_of(
    st.just(lambda leaf: Value(leaf[0], output_field=leaf[1])),
    st.builds(lambda column: lambda leaf: Cast(column, leaf[1]), COLUMNS),
    st.builds(lambda column: lambda leaf: Func(F(column), Value(leaf[0]), function="ROUND"), COLUMNS),
    st.just(lambda leaf: Func(F("id"), template="%(expressions)s + %(by)s", by=leaf[0], output_field=leaf[1])),
    st.builds(lambda column: lambda leaf: Coalesce(Lower(column), Value(leaf[0]), output_field=leaf[1]), COLUMNS),
    st.just(lambda leaf: Concat("title", Value(leaf[0]), output_field=leaf[1])),
    st.builds(lambda tree: lambda leaf: Case(When(tree, then=Value(leaf[0], output_field=leaf[1]))), TREES),
    st.builds(lambda tree: lambda leaf: Exists(Book.objects.filter(tree, author=OuterRef("author"))), TREES),
    st.builds(lambda tree: lambda leaf: Subquery(Book.objects.filter(tree).values("pages")[:1]), TREES),
    st.builds(lambda tree: lambda leaf: Sum("pages", filter=tree, default=leaf[0], output_field=leaf[1]), TREES),
)


@st.composite
def queries(draw: st.DrawFn) -> Callable[[Leaf], QuerySet[Any]]:
    """Draw how to make a query: anew each time, since compiling changes it."""
    excluded, tree = draw(st.booleans()), draw(TREES)
    expression = draw(EXPRESSIONS)
    order = draw(st.sampled_from([(), ("pk",), ("-pk",), ("title", "pk")]))
    cut = draw(st.sampled_from([slice(None), slice(0, 1), slice(1, 2)]))
    names = draw(st.sampled_from([(), ("pk",), ("title", "x"), ("x", "title")]))

    def make(leaf: Leaf) -> QuerySet[Any]:
        found = Book.objects.exclude(tree) if excluded else Book.objects.filter(tree)
        found = found.annotate(x=expression(leaf)).order_by(*order)
        return (found.values_list(*names) if names else found)[cut]

    return make


_meanings: dict[str, Any] = {}


@pytest.mark.django_db
@settings(max_examples=400, deadline=None)
@given(queries(), LEAVES, LEAVES)
def test_one_key_has_one_meaning(make: Callable[[Leaf], QuerySet[Any]], one: Leaf, other: Leaf) -> None:
    for leaf in (one, other):
        key = key_of(make(leaf))
        if key is not None:
            meaning = meaning_of(make(leaf))
            assert _meanings.setdefault(key, meaning) == meaning


@pytest.mark.django_db
@settings(max_examples=300, deadline=None)
@given(NESTED, st.sampled_from([Encoder, DjangoJSONEncoder]), st.sampled_from([document, column]))
def test_one_key_has_one_document(given: Any, encoder: Any, make: Callable[..., QuerySet[Any]]) -> None:
    key = key_of(make(given, encoder))
    if key is not None:
        meaning = meaning_of(make(given, encoder))
        assert _meanings.setdefault(key, meaning) == meaning
