"""What makes queries that are nearly alike, their keys, and what decides their results."""

import datetime as dt
import enum
import json
import uuid
from decimal import Decimal
from functools import cached_property
from typing import Any
from zoneinfo import ZoneInfo

from django.contrib.postgres.fields import ArrayField
from django.core.exceptions import EmptyResultSet, FieldError, ValidationError
from django.core.serializers.json import DjangoJSONEncoder
from django.db import models
from django.db.models import QuerySet, Value
from django.db.models.functions import Cast

from cacheops.orm.fingerprint import Fingerprint, NoFingerprint
from cacheops.orm.plan import plan_for
from tests.testapp.models import Book


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
