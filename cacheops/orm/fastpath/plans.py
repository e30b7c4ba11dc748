"""What the first query of a kind has taught: how to answer the others without building them."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from django.db import connections
from django.db.models.query import FlatValuesListIterable, ValuesIterable, ValuesListIterable

from cacheops.encoding.rows import Row
from cacheops.engine import Component, register_component
from cacheops.orm.fastpath.filters import Conditions
from cacheops.orm.fingerprint import Fingerprint, NoFingerprint
from cacheops.orm.hydration import dict_maker
from cacheops.orm.plan import MAX_PLANS, Plan, plan_for
from cacheops.orm.read_compiler import CachingCompiler

Build = Callable[[str, Sequence[Row]], Any]  # the result, from a database's alias and rows
Converters = Mapping[int, tuple[list[Any], Any]]  # as compilers have them


class FastPlan(NamedTuple):
    """How to answer one kind of query without building it."""

    plan: Plan
    build: Build


MISSING: Any = object()

LearnedPlan = tuple[FastPlan | None, list[Any]]  # the parameters of the query that taught it
Make = Callable[[Iterable[Sequence[Any]]], list[Any]]
# By the columns' names: what makes of rows what Django's iterables yield.
MAKERS: dict[type, Callable[[list[str]], Make]] = {
    ValuesIterable: dict_maker,
    ValuesListIterable: lambda names: lambda rows: [tuple(row) for row in rows],
    FlatValuesListIterable: lambda names: lambda rows: [row[0] for row in rows],
}


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


def converted(rows: Sequence[Row], converters: Converters, database: str) -> Iterable[Sequence[Any]]:
    """Return rows with their values converted, as Django's compilers do it."""
    return _convert(rows, converters, connections[database]) if converters else rows


def _convert(rows: Sequence[Row], converters: Converters, connection: Any) -> Iterator[list[Any]]:
    for row in map(list, rows):
        for place, (calls, expression) in converters.items():
            for call in calls:
                row[place] = call(row[place], expression, connection)
        yield row
