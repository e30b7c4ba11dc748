"""`aggregate()` without its query: which aggregates tell themselves from others by plain names."""

from collections.abc import Mapping, Sequence
from typing import Any

from django.db.models import aggregates
from django.db.models.expressions import F

from cacheops.encoding.rows import Row
from cacheops.orm.connection import RecordedPlan
from cacheops.orm.fastpath.plans import FastPlan, LearnedPlan, converted, flat, not_eligible
from cacheops.orm.hydration import with_fast_json
from cacheops.orm.introspection import PLAIN, exact

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
            key.append((name, exact(value)))
        elif name != "_constructor_args" and value != {}:
            return None
    return tuple(key)


def learn_aggregates(found: Mapping[str, Any], recorded: Sequence[RecordedPlan]) -> LearnedPlan:
    """Return how to make a result of aggregates from a row, given the one query that was asked for it."""
    if len(recorded) != 1:
        return not_eligible()
    (plan, parameters, compiler), names = recorded[0], list(found)
    columns = compiler.query.annotation_select
    if list(columns) != names:
        return not_eligible()
    converters = flat(with_fast_json(compiler.get_converters(columns.values())))

    def build(connection: Any, rows: Sequence[Row]) -> dict[str, Any] | None:
        return next((dict(zip(names, row, strict=True)) for row in converted(rows, converters, connection)), None)

    return FastPlan(plan, build), parameters
