"""Querysets that a hit does not build: `filter()` by plain values, and what follows it.

Building a queryset takes longer than the whole look-up of its entry. So `filter(location_id=3, status="active")` only
notes its conditions, as Django's related managers do (`_deferred_filter`); the query is built when anybody asks for it.
count(), aggregate() and values() don't: the names and types of the conditions, and the calls, tell which plan and which
parameters the query has. The first of each kind is built, and teaches both.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple, Self, TypeVar

from django.db import models, router
from django.db.models import query as django_query
from django.db.models.query import ModelIterable
from django.db.models.sql import Query

from cacheops.encoding.rows import Row
from cacheops.engine import memo
from cacheops.orm.connection import CachedConnection, cacheops_of
from cacheops.orm.fastpath.aggregates import aggregates_asked, learn_aggregates
from cacheops.orm.fastpath.filters import Conditions, conditions_of
from cacheops.orm.fastpath.plans import (
    ITERABLES,
    MISSING,
    FastPlan,
    LearnedPlan,
    fast_plans,
    known,
    learn_rows,
    not_eligible,
    planned,
    remember,
)
from cacheops.orm.observed import observed
from cacheops.orm.plan import Plan
from cacheops.orm.read_compiler import request_for
from cacheops.profiles import Profile
from cacheops.reading.fetch import fetch
from cacheops.reading.options import bypassed, leave_rows, options_of, source_of
from cacheops.reading.policy import decide
from cacheops.reading.request import label_of
from cacheops.signals import cache_read

M = TypeVar("M", bound=models.Model)
T = TypeVar("T")
LEFT_OUT = frozenset({  # of what Django's own methods call on the way to an answer
    "__init__", "__iter__", "__len__", "_chain", "_clone", "_fetch_all", "_filter_or_exclude",
    "_filter_or_exclude_inplace", "_iterator", "_values", "filter", "order_by", "query",
})  # fmt: skip
PLAIN_FETCH = getattr(django_query, "DEFAULT_FETCH_MODE", None)  # of deferred columns, from Django 6.1 on


@memo()
def reads_as_django(kind: type[models.QuerySet[Any]]) -> bool:
    """Return whether a class of querysets overrides nothing that the fast path leaves out."""
    return all(getattr(kind, name) is getattr(FastQuerySet, name) for name in LEFT_OUT)


class CachedRead(NamedTuple):
    """One read that the policy lets the cache answer."""

    op: str
    connection: CachedConnection
    profile: Profile


class FastQuerySet(models.QuerySet[M]):
    """A QuerySet whose plain filters are not built until they must be."""

    _query: Any
    _db: str | None
    _deferred_filter: Any
    _sticky_filter: bool
    _prefetch_related_lookups: tuple[Any, ...]
    _known_related_objects: dict[Any, Any]
    _chain: Callable[[], Self]
    _conditions: Conditions | None = None  # not built yet, if Django's _deferred_filter is still there
    _names: tuple[str, ...] | None = None  # of values(), not built yet either
    _shares: bool = False  # its _query with the queryset that it was made from; who asks for it gets one of its own
    _shown: bool = False  # its query: who has asked for it may change it, so nobody shares it any more

    @property
    def query(self) -> Any:
        if self._shares:
            self._query = self._query.chain()
            self._shares = False
        self._shown = True
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
        if fast_plans.is_validated(proof) and reads_as_django(type(self)):
            return self._sharing(_deferred_filter=(False, (), kwargs), _conditions=found)
        clone = super().filter(**kwargs)
        fast_plans.mark_validated(proof)
        return clone

    def _values(self, *fields: Any, **expressions: Any) -> Self:
        proof = None
        if self._waits() and self._names is None and not expressions and all(type(name) is str for name in fields):
            assert self._conditions is not None
            proof = (self.model, self._conditions.shape, fields)
        if not fast_plans.is_validated(proof) or not reads_as_django(type(self)):
            clone = super()._values(*fields, **expressions)  # type: ignore[misc]
            if proof is not None:
                fast_plans.mark_validated(proof)
            return clone
        return self._sharing(_fields=fields, _names=fields)

    def _sharing(self, **changed: Any) -> Self:
        """Return a copy whose query is not copied until one of the two is asked for it."""
        self._shares = not self._shown
        clone = self.__class__.__new__(self.__class__)
        clone.__dict__.update(self.__dict__, _result_cache=None, **changed)
        if self._shown:
            clone._query, clone._shown = self._query.chain(), False
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
        """Say whether this is a manager's queryset, on which nothing was called yet that would change a result."""
        query: Any = self._query
        return (
            self._is_whole()
            and not query.order_by
            and not query.extra_order_by
            and query.standard_ordering
            and query.default_ordering
        )

    def _is_whole(self) -> bool:
        """Say whether nothing was called yet that would change which instance get() returns: an order may have been."""
        query: Any = self._query
        return (
            type(query) is Query  # a subclass may make other SQL
            and self._deferred_filter is None
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
            and not query.extra_tables
            and not vars(query)["_filtered_relations"]
            and getattr(self, "_fetch_mode", None) is PLAIN_FETCH
            and self._iterable_class is ModelIterable
            and not self._prefetch_related_lookups
            and not self._known_related_objects
        )

    # --- what is answered -------------------------------------------------------------------------------------------

    def count(self) -> int:
        return self._figure("count", lambda queryset: super().count())

    def exists(self) -> bool:
        return self._figure("exists", lambda queryset: super().exists())

    def aggregate(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
        asked = aggregates_asked(args, kwargs) if self._waits() else None
        if asked is None:
            return super().aggregate(*args, **kwargs)
        database = self.db
        kind, conditions = self._kind(database, "aggregate", asked), self._conditions

        def ask() -> dict[str, Any]:
            return super(FastQuerySet, self._at(database)).aggregate(*args, **kwargs)

        read = self._cached_read("aggregate", database)
        if read is None:
            return ask()
        if known(kind) is MISSING:
            with read.connection.record_plans() as recorded:
                found = ask()
            remember(kind, conditions, learn_aggregates(found, recorded))
            return found
        load = partial(self._load_aggregate, args, kwargs)
        found = self._answer(read, kind, lambda _: not_eligible(), load)
        return ask() if found is None else found

    def _fetch_all(self) -> None:
        if self._result_cache is None and self._waits() and self._iterable_class in ITERABLES:
            database = self.db
            read = self._cached_read("fetch", database)
            if read is not None:
                kind = self._kind(database, "fetch", self._iterable_class)
                self._result_cache = self._answer(read, kind, self._learn_rows, self._load_rows)
        super()._fetch_all()

    def _figure(self, op: str, ask: Callable[[Self], T]) -> T:
        """Return what count() or exists() return, as `ask` would; its super() is that of the queryset given to it."""
        if self._result_cache is not None:
            return ask(self)
        database = self.db
        read = self._cached_read(op, database)
        found: T | None = None
        if read is not None:
            load = partial(self._load_figure, ask)
            found = self._answer(read, self._kind(database, op), self._learn_figure, load)
        return ask(self._at(database)) if found is None else found

    def _at(self, database: str) -> Self:
        """Return this queryset on one database: a router may name another one each time that it is asked."""
        return self if self._db is not None or not router.routers else self.using(database)

    def _kind(self, database: str, *asked: Any) -> Any:
        """Return what queries answered by one plan have in common; None where this one was built."""
        if self._conditions is None or self._deferred_filter is None:
            return None
        return (self.model, database, self._conditions.shape, self._names, *asked)

    def _cached_read(self, op: str, database: str) -> CachedRead | None:
        """Return what an operation is cached by; None where it goes to the database."""
        connection = cacheops_of(database)
        profile = decide(self.model, op, connection, options_of(self._query))
        if isinstance(connection, CachedConnection) and isinstance(profile, Profile):
            return CachedRead(op, connection, profile)
        return None

    def _answer(
        self, read: CachedRead, kind: Any, learn: Callable[[str], LearnedPlan], load: Callable[[str], Sequence[Row]]
    ) -> Any:
        """Return the result of an operation, None where the long way must be gone."""
        conditions, fast, database = self._conditions, known(kind), read.connection.alias
        if fast is MISSING:
            fast, parameters = learn(database)
            remember(kind, conditions, (fast, parameters))
        elif fast is not None and conditions is not None:
            parameters = conditions.values
        if fast is None:
            return None
        rows = self._rows(read, fast.plan, parameters, partial(load, database))
        return None if rows is None else fast.build(read.connection.wrapper, rows)

    def _rows(
        self, read: CachedRead, plan: Plan, parameters: list[Any], load: Callable[[], Sequence[Row]]
    ) -> Sequence[Row] | None:
        """Return the rows of a query of a plan; None where it is not cached."""
        op, connection, profile = read
        template = plan.template
        if template is None or connection.has_written(template.table_names):
            return None
        request = request_for(plan, parameters, connection, profile, label_of(self.model, op))
        if request is None:
            return None
        return observed(self.model, request, fetch, load) if cache_read.receivers else fetch(request, load)

    # --- what is learned ---------------------------------------------------------------------------------------------

    def _learn_figure(self, database: str) -> LearnedPlan:
        """Count by the plan of the rows: building an aggregation takes as long as the rest.

        It depends on what the rows depend on. With other tables than the model's own that may be too much.
        """
        plan, parameters, _ = planned(self.query, database)
        if plan is None or plan.template is None or len(plan.template.tables) != 1:
            return not_eligible()
        return FastPlan(plan, lambda connection, rows: rows[0][0]), parameters

    def _load_figure(self, ask: Callable[[Self], Any], database: str) -> list[Row]:
        with bypassed():
            return [(ask(self.using(source_of(database))),)]

    def _load_aggregate(self, args: Any, kwargs: Any, database: str) -> Sequence[Row]:
        rows: list[Row] = []
        queryset = self._at(database).all()
        leave_rows(queryset.query, rows)
        super(FastQuerySet, queryset).aggregate(*args, **kwargs)
        return rows

    def _learn_rows(self, database: str) -> LearnedPlan:
        return learn_rows(self.query, self._iterable_class, database)

    def _load_rows(self, database: str) -> Sequence[Row]:
        return self.query.get_compiler(using=database).load_rows()
