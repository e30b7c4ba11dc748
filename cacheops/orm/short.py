"""Querysets that a hit does not build: `filter()` by plain values, and what follows it.

Building a queryset takes longer than the whole look-up of its entry. So `filter(location_id=3, status="active")` only
notes its conditions, as Django's related managers do (`_deferred_filter`); the query is built when anybody asks for it.
count(), aggregate() and values() don't: the names and types of the conditions, and the calls, tell which plan and which
parameters the query has. The first of each kind is built, and teaches both.
"""

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any, Self, TypeVar

from django.db import connections, models
from django.db.models.query import ModelIterable

from cacheops.conf import conf
from cacheops.engine import fetch
from cacheops.orm.aggregates import aggregates_asked, aggregates_learnt
from cacheops.orm.conditions import Conditions, conditions_of, is_proven, prove
from cacheops.orm.learnt import (
    MAKERS,
    MISSING,
    Learnt,
    Make,
    Short,
    converted,
    known,
    nothing_learnt,
    planned,
    remember,
    rows_of,
)
from cacheops.orm.options import bypassed, is_bypassed, options_of
from cacheops.orm.plan import Plan
from cacheops.orm.reading import request_for
from cacheops.orm.transaction import transaction_of
from cacheops.profiles import Profile, profile_of
from cacheops.rows import Row

M = TypeVar("M", bound=models.Model)


@lru_cache(maxsize=1024)
def copies_as_django(queryset: type[models.QuerySet[Any]]) -> bool:
    """Say whether a class of querysets has no way of its own to copy itself."""
    return all(getattr(queryset, name) is getattr(models.QuerySet, name) for name in ("_chain", "_clone"))


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
            self._query = self._query.chain()
            self._shares = False
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
        if is_proven(proof) and copies_as_django(type(self)):
            return self._sharing(_deferred_filter=(False, (), kwargs), _conditions=found)
        clone = super().filter(**kwargs)
        prove(proof)
        return clone

    def _values(self, *fields: Any, **expressions: Any) -> Self:
        proof = None
        if self._waits() and self._names is None and not expressions and all(type(name) is str for name in fields):
            assert self._conditions is not None
            proof = (self.model, self._conditions.shape, fields)
        if not is_proven(proof) or not copies_as_django(type(self)):
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
        if known(kind) is MISSING:
            with transaction_of(connections[self.db]).learning() as met:
                found = ask(*args, **kwargs)
            remember(kind, conditions, aggregates_learnt(found, met))
            return found
        found = self._answer("aggregate", kind, nothing_learnt, lambda: rows_of(lambda: ask(*args, **kwargs)))
        return ask(*args, **kwargs) if found is None else found

    def _fetch_all(self) -> None:
        maker = MAKERS.get(self._iterable_class)
        if self._result_cache is None and maker is not None and self._waits() and self._profile("fetch") is not None:
            kind = self._kind("fetch", self._iterable_class)
            self._result_cache = self._answer("fetch", kind, lambda: self._learn_values(maker), self._load_values)
        super()._fetch_all()

    def _kind(self, *asked: Any) -> Any:
        """Return what queries answered by one plan have in common; None where this one was built."""
        if self._conditions is None or self._deferred_filter is None:
            return None
        return (self.model, self.db, self._conditions.shape, self._names, *asked)

    def _answer(self, op: str, kind: Any, learn: Callable[[], Learnt], load: Callable[[], Sequence[Row]]) -> Any:
        """Return the result of an operation, None where the long way must be gone."""
        conditions, short = self._conditions, known(kind)
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

    def _learn_count(self) -> Learnt:
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

    def _learn_values(self, maker: Callable[[list[str]], Make]) -> Learnt:
        query = self.query
        plan, parameters, compiler = planned(query, self.db)
        if plan is None or plan.converted is None:
            return nothing_learnt()
        names = [*query.extra_select, *query.values_select, *query.annotation_select]
        if set(names) != set(getattr(query, "selected", None) or names):
            return nothing_learnt()
        names = list(getattr(query, "selected", None) or names)
        make, converters = maker(names), compiler.converters_of(plan)
        return Short(plan, lambda database, rows: make(converted(rows, converters, database))), parameters

    def _load_values(self) -> Sequence[Row]:
        return self.query.get_compiler(using=self.db).load_rows()
