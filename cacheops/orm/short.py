"""Querysets that a hit does not build: `filter()` by plain values, and what follows it.

Building a queryset takes longer than the whole look-up of its entry. So `filter(location_id=3, status="active")` only
notes its conditions, as Django's related managers do (`_deferred_filter`); the query is built when anybody asks for it.
count(), aggregate() and values() don't: the names and types of the conditions, and the calls, tell which plan and which
parameters the query has. The first of each kind is built, and teaches both.
"""

import enum
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple, Self, TypeVar

from django.db import connections, models
from django.db.models import aggregates
from django.db.models.expressions import F
from django.db.models.query import FlatValuesListIterable, ModelIterable, ValuesIterable, ValuesListIterable

from cacheops.conf import conf, on_change
from cacheops.engine import fetch, many_reader, read_by
from cacheops.orm.fingerprint import PLAIN, Fingerprint, NoFingerprint
from cacheops.orm.instances import dict_maker, quickened
from cacheops.orm.options import bypassed, is_bypassed, options_of
from cacheops.orm.plan import MAX_PLANS, Plan, plan_for
from cacheops.orm.reading import CachingCompiler, request_for
from cacheops.orm.tables import PLAIN_TYPES, compared_as
from cacheops.orm.transaction import transaction_of
from cacheops.profiles import Profile, profile_of
from cacheops.rows import Row

M = TypeVar("M", bound=models.Model)
Build = Callable[[str, Sequence[Row]], Any]  # the result, from a database's alias and rows
Converters = Mapping[int, tuple[list[Any], Any]]  # as compilers have them

AGGREGATES = frozenset(
    {
        aggregates.Avg,
        aggregates.Count,
        aggregates.Max,
        aggregates.Min,
        aggregates.StdDev,
        aggregates.Sum,
        aggregates.Variance,
    }
)


class Conditions(NamedTuple):
    """Those of one filter(): what many have in common, and the values."""

    shape: tuple[Any, ...]  # names, sorted; the type of each value, or the value where it is True or False
    values: list[Any]  # in the order of the names, which is that of the parameters


class Short(NamedTuple):
    """How to answer one kind of query without building it."""

    plan: Plan
    build: Build


MISSING: Any = object()
_proven: set[Any] = set()  # model, shape, names: Django has built such a query without complaint
_shorts: dict[Any, Short | None] = {}  # None: the long way is right
on_change(_shorts.clear)


class ShortQuerySet(models.QuerySet[M]):
    """A QuerySet whose plain filters are not built until they must be."""

    _query: Any
    _deferred_filter: Any
    _sticky_filter: bool
    _conditions: Conditions | None = None  # not built yet, if Django's _deferred_filter is still there
    _names: tuple[str, ...] | None = None  # of values(), not built yet either
    _shares: bool = False  # its _query with the queryset that it was made from; who asks for it gets one of its own

    @property
    def query(self) -> Any:
        if self._shares:
            self._shares = False
            self._query = self._query.chain()
        return super().query

    @query.setter
    def query(self, value: Any) -> None:
        self._shares = False
        models.QuerySet.query.fset(self, value)  # type: ignore[attr-defined]

    # --- what is put off --------------------------------------------------------------------------------------------

    def filter(self, *args: Any, **kwargs: Any) -> Self:
        found = None if args or not kwargs or not self._is_fresh() else conditions_of(self.model, kwargs)
        if found is None:
            return super().filter(*args, **kwargs)
        proof = (self.model, found.shape, None)
        if proof in _proven and copies_as_django(type(self)):
            return self._sharing(_deferred_filter=(False, (), kwargs), _conditions=found)
        clone = super().filter(**kwargs)
        prove(proof)
        return clone

    def _values(self, *fields: Any, **expressions: Any) -> Self:
        proof = None
        if self._waits() and self._names is None and not expressions and all(type(name) is str for name in fields):
            assert self._conditions is not None
            proof = (self.model, self._conditions.shape, fields)
        if proof not in _proven or not copies_as_django(type(self)):
            clone = super()._values(*fields, **expressions)  # type: ignore[misc]
            if proof is not None:
                prove(proof)
            return clone
        return self._sharing(_fields=fields, _names=fields)

    def _sharing(self, **changed: Any) -> Self:
        """Return a copy whose query is not copied until one of the two is asked for it."""
        self._shares = True
        clone = self.__class__.__new__(self.__class__)
        clone.__dict__.update(self.__dict__, _result_cache=None, **changed)
        return clone

    def _filter_or_exclude_inplace(self, negate: bool, args: Any, kwargs: Any) -> None:
        """Build what was put off: Django calls this when somebody asks for the query."""
        super()._filter_or_exclude_inplace(negate, args, kwargs)  # type: ignore[misc]
        if self._names is not None:
            names, self._names = self._names, None
            self._query.set_values(names)

    def _waits(self) -> bool:
        """Say whether the query was not built yet."""
        return self._conditions is not None and self._deferred_filter is not None

    def _is_fresh(self) -> bool:
        """Say whether this is a manager's queryset, on which nothing was called yet that would change a filter."""
        query: Any = self._query
        return (
            self._deferred_filter is None
            and not self._sticky_filter
            and not query.alias_map
            and not query.where.children
            and query.high_mark is None
            and not query.low_mark
            and query.default_cols
            and not query.annotations
            and not query.select_related
            and not query.deferred_loading[0]
            and not query.distinct
            and not query.combinator
            and not query.select_for_update
            and not query.extra
            and not query._filtered_relations
            and self._iterable_class is ModelIterable
            and not self._prefetch_related_lookups  # type: ignore[attr-defined]
            and not self._known_related_objects  # type: ignore[attr-defined]
        )

    # --- what is answered -------------------------------------------------------------------------------------------

    def count(self) -> int:
        if self._result_cache is None and self._profile("count") is not None:
            found = self._answer("count", self._kind("count"), self._learn_count, self._load_count)
            if found is not None:
                return found
        return super().count()

    def aggregate(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
        asked = aggregates_asked(args, kwargs) if self._waits() else None
        if asked is None or self._profile("aggregate") is None:
            return super().aggregate(*args, **kwargs)
        kind, conditions, ask = self._kind("aggregate", asked), self._conditions, super().aggregate
        if kind not in _shorts:
            with transaction_of(connections[self.db]).learning() as met:
                found = ask(*args, **kwargs)
            remember(kind, conditions, aggregates_learnt(found, met))
            return found
        found = self._answer("aggregate", kind, nothing_learnt, lambda: rows_of(lambda: ask(*args, **kwargs)))
        return ask(*args, **kwargs) if found is None else found

    def _fetch_all(self) -> None:
        make = MAKERS.get(self._iterable_class)
        if self._result_cache is None and make is not None and self._waits() and self._profile("fetch") is not None:
            kind = self._kind("fetch", self._iterable_class)
            self._result_cache = self._answer("fetch", kind, lambda: self._learn_values(make), self._load_values)
        super()._fetch_all()

    def _kind(self, *asked: Any) -> Any:
        """Return what queries answered by one plan have in common; None where this one was built."""
        if self._conditions is None or self._deferred_filter is None:
            return None
        return (self.model, self.db, self._conditions.shape, self._names, *asked)

    def _answer(self, op: str, kind: Any, learn: Callable[[], "Learnt"], load: Callable[[], Sequence[Row]]) -> Any:
        """Return the result of an operation, None where the long way must be gone."""
        conditions, short = self._conditions, _shorts.get(kind, MISSING)
        if short is MISSING:
            short, parameters = learn()
            remember(kind, conditions, (short, parameters))
        elif short is not None and conditions is not None:
            parameters = conditions.values
        if short is None:
            return None
        rows = self._rows(short.plan, parameters, op, load)
        return None if rows is None else short.build(self.db, rows)

    def _rows(
        self, plan: Plan, parameters: list[Any], op: str, load: Callable[[], Sequence[Row]]
    ) -> Sequence[Row] | None:
        """Return the rows of a query of a plan; None where it is not cached."""
        profile, template = self._profile(op), plan.template
        transaction = transaction_of(connections[self.db])
        if profile is None or template is None or transaction.has_snapshot() or transaction.has_written(template):
            return None
        request = request_for(plan, parameters, self.db, profile, f"{self.model._meta.label_lower}:{op}")
        return None if request is None else fetch(request, load)

    def _profile(self, op: str) -> Profile | None:
        """Return the profile of this query, None where it says that an operation is not cached."""
        profile = profile_of(self.model)
        if profile is None or not conf.enabled or is_bypassed():
            return None
        options = options_of(self._query)
        if options is not None:
            profile = options.over(profile)
        cached = op in profile.ops and profile.level != "bypass" and profile.timeout > 0
        return profile if cached else None

    # --- what is learnt ---------------------------------------------------------------------------------------------

    def _learn_count(self) -> "Learnt":
        """Count by the plan of the rows: building an aggregation takes as long as the rest.

        It depends on what the rows depend on. With other tables than the model's own that may be too much.
        """
        plan, parameters, _ = planned(self.query, self.db)
        if plan is None or plan.template is None or len(plan.template.tables) != 1:
            return nothing_learnt()
        return Short(plan, lambda database, rows: rows[0][0]), parameters

    def _load_count(self) -> list[Row]:
        with bypassed():
            return [(super().count(),)]

    def _learn_values(self, make: "Make") -> "Learnt":
        query = self.query
        plan, parameters, compiler = planned(query, self.db)
        if plan is None or plan.converted is None:
            return nothing_learnt()
        names = [*query.extra_select, *query.values_select, *query.annotation_select]
        if set(names) != set(getattr(query, "selected", None) or names):
            return nothing_learnt()
        names = list(getattr(query, "selected", None) or names)
        converters = compiler.converters_of(plan)
        return Short(plan, lambda database, rows: make(names, converted(rows, converters, database))), parameters

    def _load_values(self) -> Sequence[Row]:
        return self.query.get_compiler(using=self.db).load_rows()


Learnt = tuple[Short | None, list[Any]]  # the parameters of the query that taught it
Make = Callable[[list[str], Iterable[Sequence[Any]]], list[Any]]
# What Django's iterables yield, from the columns' names and the rows.
MAKERS: dict[type, Make] = {
    ValuesIterable: lambda names, rows: dict_maker(tuple(names))(rows),
    ValuesListIterable: lambda names, rows: [tuple(row) for row in rows],
    FlatValuesListIterable: lambda names, rows: [row[0] for row in rows],
}


def nothing_learnt() -> Learnt:
    return None, []


def prove(proof: Any) -> None:
    if len(_proven) >= MAX_PLANS:
        _proven.clear()
    _proven.add(proof)


def remember(kind: Any, conditions: Conditions | None, learnt: Learnt) -> None:
    """Keep how to answer a kind, if its query's parameters are the conditions' values, each at its own place."""
    short, parameters = learnt
    if kind is None or conditions is None:
        return
    if short is not None and any(value in parameters[:place] for place, value in enumerate(parameters)):
        return  # of two that are equal nobody knows which is which
    if len(_shorts) >= MAX_PLANS:
        _shorts.clear()
    _shorts[kind] = short if parameters == conditions.values else None


def conditions_of(model: type[models.Model], given: Mapping[str, Any]) -> Conditions | None:
    """Return the conditions of filter(**given); None where one is not of an own column and a plain value."""
    names = sorted(given)
    values = [given[name] for name in names]
    kinds = []
    for name, value in zip(names, values, strict=True):
        kind, plain = type(value), plain_kind(model, name)
        if plain is None or (kind is not plain and not (isinstance(value, plain) and isinstance(value, enum.Enum))):
            return None
        kinds.append(value if kind is bool else kind)  # True and False make different SQL
    return Conditions((*names, *kinds), values)


@lru_cache(maxsize=1024)
def copies_as_django(queryset: type[models.QuerySet[Any]]) -> bool:
    """Say whether a class of querysets has no way of its own to copy itself."""
    return all(getattr(queryset, name) is getattr(models.QuerySet, name) for name in ("_chain", "_clone"))


@lru_cache(maxsize=4096)
def plain_kind(model: type[models.Model], name: str) -> type | None:
    """Return the type of the values that a condition on an own column takes as they are."""
    for field in model._meta.local_concrete_fields:
        if name in (field.name, field.attname) or (name == "pk" and field.primary_key):
            return PLAIN_TYPES.get(type(compared_as(field)))
    return None


def planned(query: Any, database: str) -> tuple[Plan | None, list[Any], Any]:
    """Return a query's plan, None where it is not cached, its parameters, and its compiler."""
    compiler = query.get_compiler(using=database)
    if not isinstance(compiler, CachingCompiler):
        return None, [], compiler
    try:
        fingerprint = Fingerprint(query)
    except NoFingerprint:
        return None, [], compiler
    plan = plan_for(compiler, fingerprint)  # type: ignore[arg-type]
    return plan if plan.template is not None else None, fingerprint.parameters, compiler


def converted(rows: Sequence[Row], converters: Converters, database: str) -> Iterable[Sequence[Any]]:
    """Return rows with their values converted, as Django's compilers do it."""
    return _convert(rows, converters, connections[database]) if converters else rows


def _convert(rows: Sequence[Row], converters: Converters, connection: Any) -> Iterator[list[Any]]:
    for row in map(list, rows):
        for place, (calls, expression) in converters.items():
            for call in calls:
                row[place] = call(row[place], expression, connection)
        yield row


def aggregates_asked(args: Sequence[Any], named: Mapping[str, Any]) -> Any:
    """Return what tells aggregates from others; None where one is of more than names of fields."""
    found = [(None, aggregate_key(one)) for one in args] + [(name, aggregate_key(one)) for name, one in named.items()]
    return None if any(key is None for _, key in found) else tuple(found)


def aggregate_key(aggregate: Any) -> Any:
    """Return the class and the arguments of an aggregate of plain names, such as Max("value")."""
    if type(aggregate) not in AGGREGATES:
        return None
    key: list[Any] = [type(aggregate)]
    for name, value in vars(aggregate).items():
        if name == "source_expressions":
            if not all(type(source) is F for source in value):
                return None
            key.append(tuple([source.name for source in value]))
        elif type(value) in PLAIN:
            key.append((name, value))
        elif name != "_constructor_args" and value != {}:
            return None
    return tuple(key)


def aggregates_learnt(found: Mapping[str, Any], met: Sequence[tuple[Plan, list[Any], Any]]) -> Learnt:
    """Return how to make a result of aggregates from a row, given the one query that was asked for it."""
    if len(met) != 1:
        return nothing_learnt()
    (plan, parameters, compiler), names = met[0], list(found)
    columns = compiler.query.annotation_select
    if list(columns) != names:
        return nothing_learnt()
    converters = quickened(compiler.get_converters(columns.values()))

    def build(database: str, rows: Sequence[Row]) -> dict[str, Any] | None:
        return next((dict(zip(names, row, strict=True)) for row in converted(rows, converters, database)), None)

    return Short(plan, build), parameters


def rows_of(ask: Callable[[], Any]) -> Sequence[Row]:
    """Return the rows that a call asks the cache for, from the database."""
    kept: list[Row] = []

    def reader(request: Any, load: Callable[[], Sequence[Row]]) -> Sequence[Row]:
        kept[:] = load()
        return kept

    with read_by(reader, many_reader()):
        ask()
    return kept
