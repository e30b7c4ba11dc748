"""Pairs of queries that are nearly alike: where SQL, parameters or what makes the values differ, so do their keys."""

import datetime as dt
import json
from collections.abc import Callable
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from django.contrib.postgres.fields import ArrayField
from django.core.serializers.json import DjangoJSONEncoder
from django.db import models
from django.db.models import Case, F, Func, Max, QuerySet, Sum, Value, When
from django.db.models.functions import Cast, Coalesce

from cacheops.orm.fastpath.aggregates import aggregate_key
from cacheops.reading.options import bypassed
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
    Scaled,
    document,
    key_of,
    meaning_of,
    value,
)
from tests.testapp.models import Book, Story
from tests.testapp.postgres import PostgresField
from tests.testapp.rare import active_language


def decoder(factor: int) -> type[json.JSONDecoder]:
    """Return one of many classes of one name."""

    class Scaling(json.JSONDecoder):
        def decode(self, text: str) -> Any:  # type: ignore[override]
            return super().decode(text) * factor

    return Scaling


def typed(field: Any) -> type[Func]:
    """Return one of many classes of one name, which hold no code."""

    class Typed(Func):
        function = "ABS"
        output_field = field

    return Typed


def ratio(divisor: Any) -> QuerySet[Any]:
    template = "(%(expressions)s / %(divisor)s)"
    half = Func(F("id"), template=template, divisor=divisor, output_field=models.FloatField())
    return Book.objects.annotate(x=half).values("x")


def within(held: Any) -> QuerySet[Any]:
    found = Func(F("id"), template="%(expressions)s IN %(held)s", held=held, output_field=models.BooleanField())
    return Book.objects.annotate(x=found).values("x")


PAIRS: dict[str, tuple[Callable[[], QuerySet[Any]], Callable[[], QuerySet[Any]]]] = {
    "2 and 2.0": (lambda: ratio(2), lambda: ratio(2.0)),
    "1 and True": (lambda: ratio(1), lambda: ratio(True)),
    "0.0 and -0.0": (lambda: ratio(0.0), lambda: ratio(-0.0)),
    "arrays of what": (lambda: value([1], INTEGERS), lambda: value([1], TEXTS)),
    "decoders": (
        lambda: value({"a": 1}, models.JSONField()),
        lambda: value({"a": 1}, models.JSONField(decoder=Decoder)),
    ),
    "decoders of casts": (
        lambda: Book.objects.annotate(x=Cast("title", models.JSONField())).values("x"),
        lambda: Book.objects.annotate(x=Cast("title", models.JSONField(decoder=Decoder))).values("x"),
    ),
    "decimal places": (lambda: value([1], ArrayField(ONE_PLACE)), lambda: value([1], ArrayField(TWO_PLACES))),
    "a decimal's places": (lambda: value(Decimal(1), ONE_PLACE), lambda: value(Decimal(1), TWO_PLACES)),
    "lists of what": (
        lambda: Book.objects.annotate(x=F("id")).filter(x__in=[Decimal(1)]),
        lambda: Book.objects.annotate(x=Cast("id", models.TextField())).filter(x__in=["1"]),
    ),
    "lists of expressions": (
        lambda: Book.objects.filter(pages__in=[F("author_id"), 1]),
        lambda: Book.objects.filter(pages__in=[F("shelf_id"), 1]),
    ),
    "an aggregate's default": (
        lambda: Book.objects.values("status").annotate(x=Coalesce(Sum("pages"), 0, output_field=models.FloatField())),
        lambda: Book.objects.values("status").annotate(x=Coalesce(Sum("pages"), 0.0, output_field=models.FloatField())),
    ),
    "zones of a text": (lambda: value(NOON, models.TextField()), lambda: value(TEN, models.TextField())),
    "zones by name": (
        lambda: value(TEN.astimezone(ZoneInfo("Asia/Tokyo")), models.TextField()),
        lambda: value(TEN.astimezone(ZoneInfo("Africa/Tripoli")), models.TextField()),
    ),
    "folds": (lambda: value(AUTUMN, models.TextField()), lambda: value(AUTUMN.replace(fold=1), models.TextField())),
    "zones in a document": (lambda: document(NOON), lambda: document(TEN)),
    "zones in a document's list": (lambda: document([NOON]), lambda: document([TEN])),
    "zones in a document's key": (
        lambda: Book.objects.annotate(d=Cast("extra", models.JSONField(encoder=DjangoJSONEncoder))).filter(d__at=NOON),
        lambda: Book.objects.annotate(d=Cast("extra", models.JSONField(encoder=DjangoJSONEncoder))).filter(d__at=TEN),
    ),
    "folds in a document": (lambda: document(AUTUMN, Encoder), lambda: document(AUTUMN.replace(fold=1), Encoder)),
    "a moment and its text": (
        lambda: document(dt.datetime(2026, 1, 1, 0, 0, 0, 123456)),
        lambda: document("2026-01-01T00:00:00.123456"),
    ),
    "a time of day and its text": (
        lambda: document(dt.time(0, 0, 0, 123456)),
        lambda: document("00:00:00.123456"),
    ),
    "a span and its text": (lambda: document(dt.timedelta(1)), lambda: document("P1D")),
    "a number and its text": (lambda: document(Decimal("1.0"), Encoder), lambda: document("1.0", Encoder)),
    "an identifier and its text": (lambda: document(SOME_ID, Encoder), lambda: document(str(SOME_ID), Encoder)),
    "folds without a zone": (
        lambda: document(AUTUMN.replace(tzinfo=None), Encoder),
        lambda: document(AUTUMN.replace(tzinfo=None, fold=1), Encoder),
    ),
    "a member and its value": (lambda: document(Colour.RED, Encoder), lambda: document("red", Encoder)),
    "lists of one kind": (lambda: value([Decimal(1)], ENCODED), lambda: value(["1"], ENCODED)),
    "a list of two kinds": (
        lambda: Book.objects.annotate(x=Cast("extra", ENCODED)).filter(x__in=[Decimal(1), "2"]),
        lambda: Book.objects.annotate(x=Cast("extra", ENCODED)).filter(x__in=["1", Decimal(2)]),
    ),
    "values of two kinds": (lambda: value(["1", Decimal(1)], ENCODED), lambda: value([Decimal(1), "1"], ENCODED)),
    "lists and tuples in a template": (lambda: within([1, 2]), lambda: within((1, 2))),
    "what a field does not tell": (lambda: value(1, Scaled(2)), lambda: value(1, Scaled(3))),
    "what an item's field does not tell": (
        lambda: value([1], ArrayField(Scaled(2))),
        lambda: value([1], ArrayField(Scaled(3))),
    ),
    "the field of a function's class": (
        lambda: Book.objects.annotate(x=typed(Scaled(2))("pages")).values("x"),
        lambda: Book.objects.annotate(x=typed(Scaled(3))("pages")).values("x"),
    ),
    "an array's field and its items'": (
        lambda: value(None, PostgresField._meta.get_field("table")),
        lambda: value(None, PostgresField._meta.get_field("table").base_field),
    ),
    "cases": (
        lambda: Book.objects.annotate(x=Case(When(pages=1, then=Value(1)), default=Value(0))),
        lambda: Book.objects.annotate(x=Case(When(pages=1, then=Value(True)), default=Value(False))),
    ),
}


@pytest.mark.django_db
@pytest.mark.parametrize("name", PAIRS)
def test_nearly_alike(name: str) -> None:
    one, other = (make() for make in PAIRS[name])
    assert meaning_of(one) != meaning_of(other)
    assert key_of(one) is not None
    assert key_of(one) != key_of(other)


@pytest.mark.django_db
def test_a_field_s_words_are_no_part_of_its_key() -> None:
    """`default` and the like change no SQL: functions in them would have no key."""
    plain, told = models.IntegerField(), models.IntegerField("pages", default=lambda: 1, validators=[print])
    assert key_of(value(1, plain)) == key_of(value(1, told)) is not None


@pytest.mark.django_db
def test_what_a_field_has_computed_is_no_part_of_its_key() -> None:
    used = Scaled(2)
    assert used.doubled == 4
    assert used.validators
    assert key_of(value(1, used)) == key_of(value(1, Scaled(2))) is not None


MADE: dict[str, Callable[[int], QuerySet[Any]]] = {
    "a decoder": lambda factor: value(1, models.JSONField(decoder=decoder(factor))),
    "a function of a field": lambda factor: value(1, Scaled(lambda one: one * factor)),
}


@pytest.mark.django_db(databases="__all__")
@pytest.mark.parametrize("name", MADE)
def test_classes_and_functions_that_functions_make(name: str, library: str) -> None:
    """Two have one name: queries by them are not cached."""
    assert key_of(MADE[name](2)) is None
    for factor in (2, 3, 2):
        first = MADE[name](factor).using(library).order_by("pk").filter(pages__gt=0)
        with bypassed():
            expected = list(first.all())
        assert list(first) == expected
        assert expected


@pytest.mark.parametrize(("one", "other"), [(0, 0.0), (0, False), (1.0, True), (0.0, -0.0)])
def test_aggregates_of_the_short_path(one: Any, other: Any) -> None:
    assert aggregate_key(Max("pages", default=one)) != aggregate_key(Max("pages", default=other))


@pytest.mark.django_db
def test_a_join_that_depends_on_the_language() -> None:
    def made() -> QuerySet[Any]:
        return Story.objects.filter(active__title="x")

    english = key_of(made())
    token = active_language.set("fi")
    try:
        assert key_of(made()) != english
    finally:
        active_language.reset(token)
    assert key_of(made()) == english is not None
