"""What the first query of a kind has taught: how to answer the others without building them."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from django.db.models.query import FlatValuesListIterable, ModelIterable, ValuesIterable, ValuesListIterable

from cacheops.encoding.rows import Row
from cacheops.engine import Component, register_component
from cacheops.orm.fastpath.filters import Conditions
from cacheops.orm.fingerprint import Fingerprint, NoFingerprint
from cacheops.orm.hydration import dict_maker
from cacheops.orm.plan import MAX_PLANS, Plan, plan_for
from cacheops.orm.read_compiler import CachingCompiler

Build = Callable[[Any, Sequence[Row]], Any]  # the result, from Django's connection and rows
Converter = tuple[int, Callable[..., Any], Any]  # a column's place, a call, the column's expression


class FastPlan(NamedTuple):
    """How to answer one kind of query without building it."""

    plan: Plan
    build: Build


MISSING: Any = object()

LearnedPlan = tuple[FastPlan | None, list[Any]]  # the parameters of the query that taught it
Converted = Iterable[Sequence[Any]]  # rows
# By the columns' names: what makes of rows what Django's iterables of values yield.
VALUE_MAKERS: dict[type, Callable[[list[str]], Callable[[Converted], list[Any]]]] = {
    ValuesIterable: dict_maker,
    ValuesListIterable: lambda names: lambda rows: [tuple(row) for row in rows],
    FlatValuesListIterable: lambda names: lambda rows: [row[0] for row in rows],
}
ITERABLES = frozenset({ModelIterable, *VALUE_MAKERS})  # whose results are made without Django's


class FastPlans(Component):
    """The fast plans of this process; None stands where the ordinary way is right."""

    def __init__(self) -> None:
        self.by_kind: dict[Any, FastPlan | None] = {}
        self.gets: dict[Any, Any] = {}  # of get() by a unique field: by model, database and field
        self.validated: set[Any] = set()  # model, shape, names: Django has built such a query without complaint

    def clear(self) -> None:
        for held in (self.by_kind, self.gets, self.validated):
            held.clear()

    settings_changed = schema_changed = clear

    def add(self, kind: Any, fast: FastPlan | None) -> None:
        if len(self.by_kind) >= MAX_PLANS:
            self.by_kind.clear()
        self.by_kind[kind] = fast

    def mark_validated(self, key: Any) -> None:
        if len(self.validated) >= MAX_PLANS:
            self.validated.clear()
        self.validated.add(key)

    def is_validated(self, key: Any) -> bool:
        return key in self.validated


fast_plans = register_component(FastPlans())


def learn_rows(query: Any, iterable: type, database: str) -> LearnedPlan:
    """Return how to make the results of a query of rows that one of `ITERABLES` would make."""
    plan, parameters, compiler = planned(query, database)
    if plan is None or plan.converted is None:
        return not_eligible()
    make = instance_maker(plan) if iterable is ModelIterable else _value_maker(query, iterable)
    if make is None:
        return not_eligible()
    converters = flat(compiler.converters_of(plan))

    def build(connection: Any, rows: Sequence[Row]) -> Any:
        return make(connection, converted(rows, converters, connection))

    return FastPlan(plan, build), parameters


def instance_maker(plan: Plan) -> Callable[[Any, Converted], list[Any]] | None:
    """Return what makes instances of a connection's rows; None where a row holds more than one of the plan's model."""
    names = attributes_in(plan)
    if names is None:
        return None
    from_db = plan.klass_info["model"].from_db

    def make(connection: Any, rows: Converted) -> list[Any]:
        database = connection.alias
        return [from_db(database, names, row) for row in rows]

    return make


def _value_maker(query: Any, iterable: type) -> Callable[[Any, Converted], list[Any]] | None:
    names = [*query.extra_select, *query.values_select, *query.annotation_select]
    selected = list(getattr(query, "selected", None) or names)
    if set(names) != set(selected):
        return None
    make = VALUE_MAKERS[iterable](selected)
    return lambda connection, rows: make(rows)


def attributes_in(plan: Plan) -> list[str] | None:
    """Return the attributes that a row of a plan fills; None where rows hold more than one instance of its model."""
    if plan.klass_info is None or plan.converted is None or plan.klass_info.get("related_klass_infos"):
        return None
    first, last = plan.klass_info["select_fields"][0], plan.klass_info["select_fields"][-1] + 1
    if (first, last) != (0, len(plan.select)):
        return None
    return [column.target.attname for column, _, _ in plan.select]


def known(kind: Any) -> FastPlan | None:
    """Return how to answer a kind of queries, None where the long way is right, MISSING where nobody knows yet."""
    return fast_plans.by_kind.get(kind, MISSING)


def not_eligible() -> LearnedPlan:
    return None, []


def remember(kind: Any, conditions: Conditions | None, learned: LearnedPlan) -> None:
    """Keep how to answer a kind, if its query's parameters are the conditions' values, each at its own place."""
    fast, parameters = learned
    if kind is None or conditions is None:
        return
    if fast is not None and any(value in parameters[:place] for place, value in enumerate(parameters)):
        return  # of two that are equal nobody knows which is which
    fast_plans.add(kind, fast if parameters == conditions.values else None)


def planned(query: Any, database: str) -> tuple[Plan | None, list[Any], Any]:
    """Return a query's plan, None where it is not cached, its parameters, and its compiler."""
    compiler = query.get_compiler(using=database)
    if not isinstance(compiler, CachingCompiler):
        return None, [], compiler
    try:
        fingerprint = Fingerprint(query)
    except NoFingerprint:
        return None, [], compiler
    plan = plan_for(compiler, fingerprint)
    return plan if plan.template is not None else None, fingerprint.parameters, compiler


def flat(converters: Mapping[int, tuple[list[Any], Any]]) -> list[Converter]:
    """Return a compiler's converters, a call each."""
    return [(place, call, expression) for place, (calls, expression) in converters.items() for call in calls]


def converted(rows: Sequence[Row], converters: Sequence[Converter], connection: Any) -> Converted:
    """Return rows with their values converted, as Django's compilers do it."""
    if not converters:
        return rows
    changed = list(map(list, rows))
    for row in changed:
        for place, call, expression in converters:
            row[place] = call(row[place], expression, connection)
    return changed
