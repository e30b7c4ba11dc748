"""CachedQuerySet and CachedManager: what one query asks of the cache, and the short path of `get`.

A model needs neither: its reads are cached by the database engine. With them `.cache()`, `.nocache()` are there, and
`get()` by a unique field builds no queryset and compiles no SQL.
"""

import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Self, TypeVar

from django.core.exceptions import EmptyResultSet
from django.db import connections, models
from django.db.models.query import MAX_GET_RESULTS
from django.db.models.query_utils import Q

from cacheops.conf import conf, on_change
from cacheops.exceptions import InvalidOption
from cacheops.orm.conditions import plain_kind
from cacheops.orm.learnt import planned
from cacheops.orm.options import NOCACHE, QueryOptions, set_options, source_of
from cacheops.orm.plan import Plan
from cacheops.orm.reading import CachingCompiler
from cacheops.orm.short import ShortQuerySet
from cacheops.orm.tables import compared_as
from cacheops.profiles import OPERATIONS, Level, level_from, operations, profile_of
from cacheops.rows import Row

M = TypeVar("M", bound=models.Model)

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
    converters: Any  # of the compiler, by column
    compiler: CachingCompiler
    sql: str | None  # whose one parameter is the value; None: each value's query is compiled

    def instances(self, database: str, rows: Sequence[Row]) -> list[Any]:
        found: Iterable[Sequence[Any]] = rows
        if self.converters:
            found = self.compiler.apply_converters(rows, self.converters)  # type: ignore[attr-defined]
        from_db = self.plan.klass_info["model"].from_db
        return [from_db(database, self.names, row) for row in found]

    def load(self, database: str, value: Any) -> Sequence[Row] | None:
        """Return the rows from the database; None where the query must be compiled."""
        if self.sql is None or source_of(database) != database or (self.kind is int and value.bit_length() > MOST_BITS):
            return None
        with connections[database].cursor() as cursor:
            cursor.execute(self.sql, (value,))
            return cursor.fetchall()


_get_plans: dict[tuple[type[models.Model], str, str], GetPlan | None] = {}
on_change(_get_plans.clear)


def get_plan(queryset: "CachedQuerySet[Any]", database: str, name: str, value: Any) -> GetPlan | None:
    """Return the plan of `get(name=value)`; None where only the long way is right."""
    key = (queryset.model, database, name)
    try:
        return _get_plans[key]
    except KeyError:
        pass
    found = _make_get_plan(queryset, database, name, value)
    if found is not None or not _is_unique(queryset.model, name):
        _get_plans[key] = found
    return found


def _is_unique(model: type[models.Model], name: str) -> bool:
    options = model._meta
    if name == "pk":
        return len(options.pk_fields) == 1 if hasattr(options, "pk_fields") else True
    return any(field.unique and name in (field.name, field.attname) for field in options.concrete_fields)


def _make_get_plan(queryset: "CachedQuerySet[Any]", database: str, name: str, value: Any) -> GetPlan | None:
    model = queryset.model
    if not _is_unique(model, name):
        return None
    field = compared_as(model._meta.pk if name == "pk" else model._meta.get_field(name))
    if not isinstance(field, PLAIN_VALUES.get(type(value), ())):
        return None
    query = get_query(queryset, {name: value})
    compiler = query.get_compiler(using=database)
    if not isinstance(compiler, CachingCompiler):
        return None
    plan, parameters, _ = planned(query, database)
    if plan is None or plan.converted is None or parameters != [value] or plan.klass_info is None:
        return None
    first, last = plan.klass_info["select_fields"][0], plan.klass_info["select_fields"][-1] + 1
    if (first, last) != (0, len(plan.select)) or plan.klass_info.get("related_klass_infos"):
        return None
    columns = [column for column, _, _ in plan.select]
    names = [column.target.attname for column in columns]
    try:
        sql, bound = query.get_compiler(using=database).as_sql()
    except EmptyResultSet:  # of a value that no row can have: another one will teach
        return None
    kind = plain_kind(queryset.model, name)  # type: ignore[arg-type]
    takes_as_it_is = kind is type(value) and list(bound) == [value] and type(bound[0]) is type(value)
    return GetPlan(plan, type(value), names, compiler.converters_of(plan), compiler, sql if takes_as_it_is else None)


def get_query(queryset: "CachedQuerySet[Any]", condition: dict[str, Any]) -> Any:
    """Return the query that Django's `get` would run."""
    query = queryset.filter(**condition).order_by().query
    query.set_limits(high=MAX_GET_RESULTS)
    return query


class CachedQuerySet(ShortQuerySet[M]):
    """A QuerySet that can say how it is cached."""

    def cache(
        self,
        ops: str | Iterable[str] | None = None,
        timeout: float | str | None = None,
        lock: bool | None = None,
        level: str | Level | None = None,
    ) -> Self:
        """Cache this query: all operations, or those named; `timeout` in seconds, or a strategy's name.

        `level` is "fresh", "bypass", or stale_ok(seconds).

        Raise InvalidOption for an unknown name, or where the model is kept out of the cache (profile None).
        """
        if profile_of(self.model) is None:
            raise InvalidOption(
                f"{self.model._meta.label} has the profile None in CACHEOPS: its writes invalidate nothing, so no read "
                "of it can be cached. Give it a profile; {} is enough."
            )
        asked = None if level is None else level_from(level)
        options = QueryOptions(
            ops=OPERATIONS if ops is None else operations(ops),
            timeout=None if timeout is None else conf.ttl.get_ttl(timeout),
            lock=lock,
            level=asked.name if asked else None,
            stale=asked.seconds if asked else None,
        )
        return self._with_options(options)

    def nocache(self) -> Self:
        """Read this query from the database."""
        return self._with_options(NOCACHE)

    def invalidated_update(self, **values: Any) -> int:
        """Update as `update` does, which invalidates too: the name that users of django-cacheops know."""
        return self.update(**values)

    def _with_options(self, options: QueryOptions) -> Self:
        clone = self._chain()  # type: ignore[attr-defined]
        set_options(clone.query, options)
        return clone

    def get(self, *args: Any, **kwargs: Any) -> M:
        condition = _simple_condition(args, kwargs)
        if condition is not None and self._is_whole():
            found = self._short_get(*condition)
            if found is not None:
                return found
        return super().get(*args, **kwargs)

    def _short_get(self, name: str, value: Any) -> M | None:
        """Return the instance, None where the long way must be gone. Raise DoesNotExist."""
        model, database = self.model, self.db
        if self._profile("get") is None:
            return None
        plan = get_plan(self, database, name, value)
        if plan is None or type(value) is not plan.kind:
            return None

        def load() -> Sequence[Row]:
            rows = plan.load(database, value)
            return get_query(self, {name: value}).get_compiler(using=database).load_rows() if rows is None else rows

        rows = self._rows(plan.plan, [value], "get", database, load)
        if rows is None:
            return None
        found = plan.instances(database, rows)
        if not found:
            raise model.DoesNotExist(f"{model._meta.object_name} matching query does not exist.")  # type: ignore[attr-defined]
        return found[0]


def _simple_condition(args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[str, Any] | None:
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


class CachedManager(models.Manager[M]):
    """A manager whose querysets are CachedQuerySets."""

    def get_queryset(self) -> CachedQuerySet[M]:
        return CachedQuerySet(self.model, using=self._db, hints=self._hints)  # type: ignore[attr-defined]

    def cache(self, *args: Any, **kwargs: Any) -> CachedQuerySet[M]:
        return self.get_queryset().cache(*args, **kwargs)

    def nocache(self) -> CachedQuerySet[M]:
        return self.get_queryset().nocache()

    def invalidated_update(self, **values: Any) -> int:
        return self.get_queryset().invalidated_update(**values)


__all__ = ["CachedManager", "CachedQuerySet"]
