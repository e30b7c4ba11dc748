"""The fast path of `get(field=value)` by a unique field: no queryset is built, no SQL compiled."""

import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from django.core.exceptions import EmptyResultSet
from django.db import connections, models
from django.db.models import QuerySet
from django.db.models.query import MAX_GET_RESULTS
from django.db.models.query_utils import Q

from cacheops.encoding.rows import Row
from cacheops.orm.fastpath.filters import plain_kind
from cacheops.orm.fastpath.plans import Converter, attributes_in, converted, fast_plans, flat, instance_maker, planned
from cacheops.orm.plan import Plan
from cacheops.orm.read_compiler import CachingCompiler
from cacheops.orm.schema import compared_as
from cacheops.reading.options import source_of

# The types of a value that a field takes as it is. Others go the long way, where the field prepares them.
PLAIN_VALUES: dict[type, tuple[type, ...]] = {
    int: (models.AutoField, models.IntegerField),
    str: (models.CharField,),
    uuid.UUID: (models.UUIDField,),
}


MOST_BITS = 63  # of an integer that every database takes; of larger ones Django knows that no row has them


@dataclass(frozen=True, slots=True)
class GetPlan:
    """How to answer `get(field=value)` of one model: made from one such query, the same for all values."""

    plan: Plan
    kind: type  # of the value
    names: list[str]  # the attributes that a row fills
    make: Callable[[Any, Any], list[Any]]  # instances of a connection's converted rows
    converters: Sequence[Converter]
    sql: str | None  # whose one parameter is the value; None: each value's query is compiled

    def instances(self, connection: Any, rows: Sequence[Row]) -> list[Any]:
        return self.make(connection, converted(rows, self.converters, connection))

    def load(self, database: str, value: Any) -> Sequence[Row] | None:
        """Return the rows from the database; None where the query must be compiled."""
        if self.sql is None or source_of(database) != database or (self.kind is int and value.bit_length() > MOST_BITS):
            return None
        with connections[database].cursor() as cursor:
            cursor.execute(self.sql, (value,))
            return cursor.fetchall()


def get_plan(queryset: "QuerySet[Any]", database: str, name: str, value: Any) -> GetPlan | None:
    """Return the plan of `get(name=value)`; None where only the long way is right."""
    key = (queryset.model, database, name)
    try:
        held: GetPlan | None = fast_plans.gets[key]
        return held
    except KeyError:
        pass
    found = _make_get_plan(queryset, database, name, value)
    if found is not None or not is_unique(queryset.model, name):
        fast_plans.gets[key] = found
    return found


def is_unique(model: type[models.Model], name: str) -> bool:
    options = model._meta
    if name == "pk":
        return len(options.pk_fields) == 1 if hasattr(options, "pk_fields") else True
    return any(field.unique and name in (field.name, field.attname) for field in options.concrete_fields)


def _make_get_plan(queryset: "QuerySet[Any]", database: str, name: str, value: Any) -> GetPlan | None:
    model = queryset.model
    if not is_unique(model, name):
        return None
    field = compared_as(model._meta.pk if name == "pk" else model._meta.get_field(name))
    if not isinstance(field, PLAIN_VALUES.get(type(value), ())):
        return None
    query = get_query(queryset, {name: value})
    compiler = query.get_compiler(using=database)
    if not isinstance(compiler, CachingCompiler):
        return None
    plan, parameters, _ = planned(query, database)
    if plan is None or parameters != [value]:
        return None
    names, make = attributes_in(plan), instance_maker(plan)
    if names is None or make is None:
        return None
    try:
        sql, bound = query.get_compiler(using=database).as_sql()
    except EmptyResultSet:  # of a value that no row can have: another one will teach
        return None
    kind = plain_kind(queryset.model, name)
    takes_as_it_is = kind is type(value) and list(bound) == [value] and type(bound[0]) is type(value)
    return GetPlan(plan, type(value), names, make, flat(compiler.converters_of(plan)), sql if takes_as_it_is else None)


def get_query(queryset: "QuerySet[Any]", condition: dict[str, Any]) -> Any:
    """Return the query that Django's `get` would run."""
    query = queryset.filter(**condition).order_by().query
    query.set_limits(high=MAX_GET_RESULTS)
    return query


def simple_condition(args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[str, Any] | None:
    """Return the name and value of `get(name=value)`, also where a foreign key asks with a Q."""
    if not args and len(kwargs) == 1:
        name, value = next(iter(kwargs.items()))
    elif len(args) == 1 and not kwargs and type(args[0]) is Q:
        asked = args[0]
        if len(asked.children) != 1 or asked.negated or type(asked.children[0]) is not tuple:
            return None
        name, value = asked.children[0]
    else:
        return None
    if name.endswith("__exact"):
        name = name[: -len("__exact")]
    return (name, value) if type(value) in PLAIN_VALUES else None
