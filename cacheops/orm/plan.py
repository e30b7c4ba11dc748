"""What is known of a query's shape once one query of it was compiled: its columns, its dependencies, its name."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

import django
from django.core.exceptions import EmptyResultSet
from django.db.models import Model
from django.db.models.sql import Query
from django.db.models.sql.compiler import SQLCompiler
from django.utils.timezone import get_current_timezone

from cacheops.encoding import rows
from cacheops.engine import Component, memo, register_component
from cacheops.exceptions import UnencodableValue
from cacheops.orm.catalogue import behind, calls_reader
from cacheops.orm.dependencies import Template, queries_in, template_of
from cacheops.orm.fingerprint import Fingerprint, Shape
from cacheops.orm.hydration import with_makers
from cacheops.orm.introspection import name_of
from cacheops.orm.parameters import encode, tagged
from cacheops.orm.schema import is_tracked, models_by_table
from cacheops.protocol.keys import DIGEST_BYTES, text_of, texts_of

MAX_PLANS = 4096  # shapes are few; a program that makes more of them starts again with none

# What gives another value each time, or depends on who asks. Literals are parameters, so the text holds only SQL.
VOLATILE = re.compile(
    r"\b(random|rand|now|clock_timestamp|statement_timestamp|transaction_timestamp|timeofday|gen_random_uuid|"
    r"uuid_generate_\w+|uuidv[47]|nextval|currval|lastval|setval|txid_\w+|pg_\w+|current_setting|current_date|"
    r"current_time|current_timestamp|localtime|localtimestamp|current_user|session_user|current_role|"
    r"last_insert_rowid|changes|total_changes|randomblob|age)\b|'now'|"
    # SQLite's functions of a moment take that of the query where none is given.
    r"\b(date|time|datetime|julianday|unixepoch)\s*\(\s*\)|\bstrftime\s*\([^(),]*\)",
    re.IGNORECASE,
)
ZONED = re.compile(r"AT TIME ZONE|django_(datetime|time)_", re.IGNORECASE)
DATED = "functions.datetime."  # `__year` makes its bounds in the active time zone, which the SQL does not show
UNENCODABLE = (TypeError, ValueError, OverflowError, UnencodableValue)
QUOTED = re.compile(r'"((?:[^"]|"")+)"')


@dataclass(frozen=True, slots=True)
class Plan:
    """How to answer queries of one shape. A plan without a template is that of a shape that can't be cached."""

    select: Any = None  # what compilers keep of a compiled query: needed to build the results from rows
    klass_info: Any = None
    annotation_col_map: Any = None
    col_count: int | None = None
    template: Template | None = None
    name: bytes = b""  # the same in every process with this code and these models
    zoned: bool = False  # its SQL depends on the active time zone
    converted: tuple[int, ...] | None = None  # places of the columns with converters; None: Django finds them
    native: bool = False  # MessagePack's own bytes tell its parameters from one another (orm/parameters.py)

    @property
    def columns(self) -> int | None:
        """How many columns its rows have; None where an expression stands for many."""
        return None if self.converted is None else self.col_count

    def digest(self, parameters: list[Any], salt: bytes) -> str | None:
        """Return the digest of a query of this shape; None where a parameter has no exact encoding."""
        start = self._start(salt) if self.zoned else self.name + salt
        try:
            exact = parameters if self.native else tagged(parameters)
            raw = blake2b(start + encode(exact), digest_size=DIGEST_BYTES).digest()
        except UNENCODABLE:
            return None
        return text_of(raw)

    def digests(self, values: Sequence[Any], salt: bytes) -> list[str] | None:
        """Return what `digest` does for many queries with one parameter each; None where one of them has none."""
        start = self._start(salt)
        try:
            exact = values if self.native else tagged(values)
            raw = [blake2b(start + encode([value]), digest_size=DIGEST_BYTES).digest() for value in exact]
        except UNENCODABLE:
            return None
        return texts_of(raw)

    def _start(self, salt: bytes) -> bytes:
        """Return what the digests of all queries of this shape begin with; a zone's name may be another's too."""
        start = self.name + salt
        return start + repr(get_current_timezone()).encode() if self.zoned else start


UNCACHEABLE = Plan()


class PlanCache(Component):
    """The plans of this process, by shape."""

    def __init__(self) -> None:
        self.by_shape: dict[Any, Plan] = {}

    def add(self, key: Any, plan: Plan) -> None:
        if len(self.by_shape) >= MAX_PLANS:
            self.by_shape.clear()
        self.by_shape[key] = plan

    def settings_changed(self) -> None:
        self.by_shape.clear()

    schema_changed = settings_changed


plans = register_component(PlanCache())


def plan_for(compiler: SQLCompiler, fingerprint: Fingerprint) -> Plan:
    """Return the plan of a query's shape; the first query of a shape is compiled for it."""
    # The class of the model, not its name: a migration's model has the same, and its rows make other instances.
    key = (compiler.connection.alias, type(compiler).__name__, compiler.query.model, fingerprint.shape)
    plan = plans.by_shape.get(key)
    if plan is None:
        plan = make_plan(compiler, fingerprint)
        if plan is None:
            return UNCACHEABLE
        plans.add(key, plan)
    return plan


def make_plan(compiler: SQLCompiler, fingerprint: Fingerprint) -> Plan | None:
    """Compile a query and analyse it.

    Return None where this query has no SQL, as it can match nothing, or where the database can't be asked about it.
    """
    if compiler.query.combinator:
        compiler = copy_for_compile(compiler.query).get_compiler(connection=compiler.connection)
    try:
        sql, _ = compiler.as_sql()
    except EmptyResultSet:
        return None
    tables = frozenset(name.replace('""', '"') for name in QUOTED.findall(sql)) & models_by_table().keys()
    alias = compiler.connection.alias
    views = [behind(alias, table) for table in tables if not models_by_table()[table]._meta.managed]
    texts = " ".join(QUOTED.sub('""', text) for text in (sql, *(view.text for view in views)))
    sources = frozenset[str]().union(*(view.tables for view in views))
    if VOLATILE.search(texts) or not all(is_tracked(table) for table in tables | sources):
        return UNCACHEABLE
    reads_more = calls_reader(alias, sql)
    if reads_more is None:
        return None
    if reads_more or not all(view.is_known for view in views):
        return UNCACHEABLE
    template = template_of(compiler.query, alias, fingerprint.places, tables, sql, sources)
    if not template.tables or not all(is_tracked(table) for table, _ in template.tables):
        return UNCACHEABLE
    return Plan(
        compiler.select,
        with_makers(compiler.klass_info),
        compiler.annotation_col_map,
        compiler.col_count,
        template,
        shape_name(fingerprint.shape, frozenset(table for table, _ in template.tables)),
        ZONED.search(sql) is not None or DATED in repr(fingerprint.shape),
        converted_columns(compiler),
        fingerprint.is_native(),
    )


def copy_for_compile(query: Query) -> Query:
    """Return a copy of a combined query to be compiled, which gives its parts one column more to order by each time.

    Django's own copy shares with its parts the names of their columns.
    """
    twin = query.clone()
    for part in queries_in(twin):
        if part.selected is not None:
            part.selected = dict(part.selected)
    return twin


def converted_columns(compiler: SQLCompiler) -> tuple[int, ...] | None:
    """Return the places of a compiled query's columns that have converters; None where places are not columns."""
    expressions = [column[0] for column in (compiler.select or ())[: compiler.col_count]]
    if any(hasattr(expression, "targets") for expression in expressions):  # a composite key: one for many columns
        return None
    return tuple(compiler.get_converters(expressions))


def shape_name(shape: Shape, tables: frozenset[str]) -> bytes:
    """Return a digest of a shape and of all that decides what its rows look like: the models, Django, our format."""
    described = [schema_of(models_by_table()[table]) for table in sorted(tables)]
    text = repr((rows.FORMAT, django.VERSION[:2], described, shape))
    return blake2b(text.encode(), digest_size=DIGEST_BYTES).digest()


@memo()
def schema_of(model: type[Model]) -> str:
    """Return a text that changes when the columns of a model's table, their types, or their order change."""
    fields = [
        (
            field.column,
            name_of(field.__class__),
            field.get_internal_type(),
            field.deconstruct()[3].get("default") is None,
        )
        for field in model._meta.concrete_fields
    ]
    return repr((model._meta.db_table, fields, model._meta.ordering))
