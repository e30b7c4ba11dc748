"""Pairs of queries that are nearly alike: where SQL, parameters or what makes the values differ, so do their keys."""

import datetime as dt
import enum
import json
import uuid
from collections.abc import Callable
from decimal import Decimal
from functools import cached_property
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from django.contrib.postgres.fields import ArrayField
from django.core.exceptions import EmptyResultSet, FieldError, ValidationError
from django.core.serializers.json import DjangoJSONEncoder
from django.db import models
from django.db.models import Case, Exists, F, Func, Max, OuterRef, Q, QuerySet, Subquery, Sum, Value, When
from django.db.models.functions import Cast, Coalesce, Concat, Lower
from hypothesis import given, settings
from hypothesis import strategies as st

from cacheops.orm.fastpath.aggregates import aggregate_key
from cacheops.orm.fingerprint import Fingerprint, NoFingerprint
from cacheops.orm.plan import plan_for
from cacheops.reading.options import bypassed
from tests.testapp.models import Book, Story
from tests.testapp.postgres import PostgresField
from tests.testapp.rare import active_language


class Decoder(json.JSONDecoder):
    """Another one than JSON's own."""


class Encoder(DjangoJSONEncoder):
    """Writes numbers and identifiers as no text of Python's does."""

    def default(self, given: Any) -> Any:
        if isinstance(given, Decimal | uuid.UUID):
            return float(given) if isinstance(given, Decimal) else given.int
        if isinstance(given, enum.Enum):
            return given.name
        return f"fold {given.fold}" if isinstance(given, dt.datetime) and given.fold else super().default(given)


class Scaled(models.IntegerField):
    """Has an argument that it does not deconstruct."""

    def __init__(self, factor: Any = 1, **named: Any) -> None:
        super().__init__(**named)
        self.factor = factor

    @cached_property
    def doubled(self) -> int:
        return int(self.factor) * 2

    def from_db_value(self, value: Any, expression: Any, connection: Any) -> Any:
        return value if value is None else value * (self.factor(1) if callable(self.factor) else self.factor)


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


class Mood(enum.StrEnum):
    GOOD = "good"


class Colour(enum.Enum):
    RED = "red"


class Size(enum.IntEnum):
    ONE = 1


FAILURES = (ValueError, TypeError, ValidationError, FieldError, RuntimeWarning)  # the last: of a naive moment


def key_of(queryset: QuerySet[Any]) -> str | None:
    """Return the key of a query, None where it is not cached."""
    try:
        found = Fingerprint(queryset.query)
    except NoFingerprint:
        return None
    try:
        plan = plan_for(queryset.query.get_compiler(using="default"), found)
    except FAILURES:
        return None
    return None if plan.template is None else plan.digest(found.parameters, b"")


def meaning_of(queryset: QuerySet[Any]) -> Any:
    """Return what decides the result: the SQL, its parameters with their types, and what converts the columns."""
    compiler = queryset.query.get_compiler(using="default")
    try:
        sql, parameters = compiler.as_sql()
        given = [sent(one) for one in parameters]
    except EmptyResultSet:
        return None
    except FAILURES as error:  # of a value that its field does not take
        return repr(error)
    columns = [column[0].output_field for column in compiler.select or ()]
    return sql, given, repr([field_of(field) for field in columns])


def sent(parameter: Any) -> str:
    """Return a parameter as the driver gets it, with its type."""
    if isinstance(parameter, memoryview):  # whose repr is an address
        return repr(bytes(parameter))
    if hasattr(parameter, "dumps"):  # psycopg's wrappers of JSON, whose repr is cut
        return f"{type(parameter)} {parameter.dumps(parameter.obj)}"
    return repr(parameter)


def field_of(field: Any) -> Any:
    if hasattr(field, "model"):
        return str(field)
    _, path, given, named = field.deconstruct()
    return (
        (path, getattr(field, "factor", None)),
        given,
        {
            name: field_of(getattr(field, name)) if isinstance(value, models.Field) else value
            for name, value in named.items()
        },
    )


def ratio(divisor: Any) -> QuerySet[Any]:
    template = "(%(expressions)s / %(divisor)s)"
    half = Func(F("id"), template=template, divisor=divisor, output_field=models.FloatField())
    return Book.objects.annotate(x=half).values("x")


def within(held: Any) -> QuerySet[Any]:
    found = Func(F("id"), template="%(expressions)s IN %(held)s", held=held, output_field=models.BooleanField())
    return Book.objects.annotate(x=found).values("x")


def document(given: Any, encoder: Any = DjangoJSONEncoder) -> QuerySet[Any]:
    """Return books by a document that holds a value: the field's encoder makes text of it."""
    field = models.JSONField(encoder=encoder)
    return Book.objects.annotate(document=Cast("extra", field)).filter(document={"at": given})


def column(given: Any, encoder: Any) -> QuerySet[Any]:
    return value(given, models.JSONField(encoder=encoder))


def value(given: Any, field: Any) -> QuerySet[Any]:
    return Book.objects.annotate(x=Value(given, output_field=field)).values("x")


INTEGERS, TEXTS = ArrayField(models.IntegerField()), ArrayField(models.TextField())
ONE_PLACE, TWO_PLACES = (models.DecimalField(max_digits=9, decimal_places=places) for places in (1, 2))
NOON = dt.datetime(2026, 1, 1, 12, tzinfo=dt.timezone(dt.timedelta(hours=2)))
TEN = NOON.astimezone(dt.UTC)
AUTUMN = dt.datetime(2026, 10, 25, 3, 30, tzinfo=ZoneInfo("Europe/Helsinki"))  # comes twice
ENCODED = models.JSONField(encoder=Encoder)
SOME_ID = uuid.UUID(int=1)
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


def test_a_field_s_words_are_no_part_of_its_key() -> None:
    """`default` and the like change no SQL: functions in them would have no key."""
    plain, told = models.IntegerField(), models.IntegerField("pages", default=lambda: 1, validators=[print])
    assert key_of(value(1, plain)) == key_of(value(1, told)) is not None


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


# --- drawn ------------------------------------------------------------------------------------------------------------

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
