"""The reading side of the database backends: SELECTs that Django's compilers run pass here first."""

from collections.abc import Callable, Sequence
from itertools import chain
from typing import Any

from django.db.models.query import MAX_GET_RESULTS
from django.db.models.sql.compiler import SQLAggregateCompiler, SQLCompiler
from django.db.models.sql.constants import GET_ITERATOR_CHUNK_SIZE, MULTI, SINGLE
from django.db.models.sql.query import Query

from cacheops.conf import conf
from cacheops.encoding.rows import Row
from cacheops.orm.connection import CachedConnection, RecordedPlan
from cacheops.orm.fingerprint import Fingerprint, NoFingerprint
from cacheops.orm.hydration import with_fast_json
from cacheops.orm.observed import observed
from cacheops.orm.plan import Plan, plan_for
from cacheops.profiles import Profile
from cacheops.protocol.keys import TableKeys
from cacheops.reading.fetch import fetch
from cacheops.reading.not_cached import note_bypass
from cacheops.reading.options import bypassed, left_rows, options_of, source_of
from cacheops.reading.policy import Bypass, decide
from cacheops.reading.request import Request, label_of
from cacheops.reading.stream import fetch_parts
from cacheops.signals import cache_read
from cacheops.stores.base import TableTags


class CachingCompiler(SQLCompiler):
    """Mixed into a SQLCompiler: answers from the cache what the model's profile says, as execute_sql would."""

    query: Query
    connection: Any
    using: str
    _plan: Plan | None = None  # of the rows that were fetched

    def as_sql(self, *args: Any, **options: Any) -> Any:
        """Compile the query and leave no trace: Django keeps the joins of an order, or of related rows, in the query.

        A query that was compiled is to have the fingerprint of one that was not. Its table stays: each query has it.
        """
        query: Any = self.query
        known = max(len(query.alias_map), 1)
        try:
            return super().as_sql(*args, **options)
        finally:
            for alias in list(query.alias_map)[known:]:
                table = query.alias_map.pop(alias).table_name
                del query.alias_refcount[alias]
                # Copies of the query may hold the same list.
                query.table_map[table] = [other for other in query.table_map[table] if other != alias]

    def execute_sql(
        self, result_type: str | None = MULTI, chunked_fetch: bool = False, chunk_size: int = GET_ITERATOR_CHUNK_SIZE
    ) -> Any:
        run: Callable[..., Any] = super().execute_sql  # of which overload, `result_type` says
        if result_type != MULTI and result_type != SINGLE:
            return run(result_type, chunked_fetch, chunk_size)
        left = left_rows(self.query)
        if left is not None:
            left[:] = self.load_rows(result_type)
            return left[0] if left else None
        found = self.planned(result_type)
        if isinstance(found, Bypass):
            if self.query.model is not None:
                note_bypass(label_of(self.query.model, operation_of(self, result_type)), found)
            return run(result_type, chunked_fetch, chunk_size)
        request, plan = found
        if chunked_fetch:
            parts = self._fetch(fetch_parts, request, lambda: run(result_type, chunked_fetch, chunk_size))
            self._adopt_plan(plan)
            return parts
        rows = self._fetch(fetch, request, lambda: self.load_rows(result_type))
        self._adopt_plan(plan)
        if result_type == SINGLE:
            return rows[0] if rows else None
        return [rows]

    def _fetch(self, read: Any, request: Request, load: Callable[[], Any]) -> Any:
        return observed(self.query.model, request, read, load) if cache_read.receivers else read(request, load)

    def _adopt_plan(self, plan: Plan) -> None:
        """Set what compiling leaves on a compiler, and what builds the results: a hit compiles nothing."""
        self._plan = plan
        self.select, self.klass_info, self.annotation_col_map, self.col_count = (
            plan.select,
            plan.klass_info,
            plan.annotation_col_map,
            plan.col_count,
        )

    def results_iter(
        self,
        results: Any = None,
        tuple_expected: bool = False,
        chunked_fetch: bool = False,
        chunk_size: int = GET_ITERATOR_CHUNK_SIZE,
    ) -> Any:
        """Return the converted rows, as Django does; the plan knows which columns have converters."""
        if results is None:
            results = self.execute_sql(MULTI, chunked_fetch=chunked_fetch, chunk_size=chunk_size)
        plan = self._plan
        if plan is None or plan.converted is None:
            return super().results_iter(results, tuple_expected, chunked_fetch, chunk_size)
        rows: Any = chain.from_iterable(results)
        if plan.converted:
            rows = self.apply_converters(rows, self.converters_of(plan))
        return map(tuple, rows) if tuple_expected else rows

    def converters_of(self, plan: Plan) -> Any:
        """Return the converters of a plan's columns, by place."""
        assert plan.converted is not None
        found = {}
        for place in plan.converted:
            found[place] = self.get_converters([plan.select[place][0]])[0]
        return with_fast_json(found)

    def load_rows(self, result_type: str = MULTI) -> Sequence[Row]:
        """Return the rows from the database, or from the replica that stands for it."""
        run: Callable[..., Any] = super().execute_sql
        source = source_of(self.using)
        if source == self.using:
            found = run(result_type)
        else:
            with bypassed():
                found = self.query.get_compiler(using=source).execute_sql(result_type)
        if result_type == SINGLE:
            return [] if found is None else [tuple(found)]
        return [row for chunk in found for row in chunk]

    def cache_request(self, result_type: str = MULTI) -> tuple[Request, Plan] | None:
        """Return the request to the cache and the plan of this query; None where it goes to the database."""
        found = self.planned(result_type)
        return None if isinstance(found, Bypass) else found

    def planned(self, result_type: str = MULTI) -> tuple[Request, Plan] | Bypass:
        """Return the request to the cache and the plan of this query, or why it goes to the database."""
        query, connection = self.query, self.connection.cacheops
        model = query.model
        if model is None:
            return Bypass.QUERY
        op = operation_of(self, result_type)
        profile = decide(model, op, connection, options_of(query))
        if profile is Bypass.OPERATION and op == "fetch" and query.high_mark == 1:
            op = "get"  # first(), last(), latest(), earliest()
            profile = decide(model, op, connection, options_of(query))
        if isinstance(profile, Bypass):
            return profile
        try:
            fingerprint = Fingerprint(query)
        except NoFingerprint:
            return Bypass.QUERY
        plan = plan_for(self, fingerprint)
        if plan.template is None:
            return Bypass.QUERY
        if connection.has_written(plan.template.table_names):
            return Bypass.WRITTEN
        label = label_of(model, op)
        request = request_for(plan, fingerprint.parameters, connection, profile, label)
        if request is None:
            return Bypass.VALUE
        if connection.recorded_plans is not None:
            connection.recorded_plans.append(RecordedPlan(plan, fingerprint.parameters, self))
        return request, plan


def request_for(
    plan: Plan, parameters: list[Any], connection: CachedConnection, profile: Profile, label: str
) -> Request | None:
    """Return the engine's request for a query of a plan's shape."""
    assert plan.template is not None
    digest = plan.digest(parameters, label.encode() + connection.session_key)
    if digest is None:
        return None
    alias, name = connection.alias, connection.name
    tables = [
        TableTags(TableKeys.of(conf.prefix_of(alias, table), name, table), tags, schemes)
        for table, tags, schemes in plan.template.tags(parameters, conf.max_tags)
    ]
    is_figure = label.endswith((":count", ":exists"))  # known by the plan of the rows (orm/fastpath)
    return Request(digest, tuple(tables), profile, label, (alias,), columns=1 if is_figure else plan.columns)


def operation_of(compiler: Any, result_type: str) -> str:
    """Return the operation that a query is for: get, fetch, count, aggregate or exists."""
    query = compiler.query
    if isinstance(compiler, SQLAggregateCompiler):
        return "count" if tuple(query.annotation_select) == ("__count",) else "aggregate"
    if result_type == SINGLE:
        names = tuple(query.annotation_select)
        if names == ("__count",):
            return "count"
        return "exists" if names == ("a",) else "aggregate"
    return "get" if query.high_mark == MAX_GET_RESULTS and not query.low_mark else "fetch"
