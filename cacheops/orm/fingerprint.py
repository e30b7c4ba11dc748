"""A query's fingerprint: its shape, which many queries share, and its parameters.

The shape is a nested tuple of strings, numbers and None: everything in the query's tree that decides its SQL, but for
the values that become parameters. Two queries with one shape have the same columns and depend on the same tables; with
equal parameters too, they are the same query. No SQL is compiled for it.
"""

import datetime as dt
import re
from collections.abc import Callable
from contextlib import suppress
from typing import Any
from zoneinfo import ZoneInfo

from django.core.exceptions import FieldError
from django.db.models import Field, ForeignObjectRel, Model
from django.db.models.expressions import BaseExpression, Col, ColPairs, F, RawSQL, Value
from django.db.models.fields.related_lookups import RelatedIn, RelatedLookupMixin, get_normalized_value
from django.db.models.lookups import IntegerFieldOverflow, Lookup
from django.db.models.query_utils import PathInfo
from django.db.models.sql.datastructures import BaseTable, Join
from django.db.models.sql.query import Query
from django.db.models.sql.where import ExtraWhere, NothingNode, WhereNode
from django.utils.functional import Promise

from cacheops.engine import memo
from cacheops.orm.introspection import (
    PLAIN,
    computed_names,
    exact,
    is_found,
    is_out_of_range,
    is_own,
    is_told_by_name,
    kind_of,
    name_of,
    writes_own_sql,
)
from cacheops.orm.parameters import is_native

Shape = tuple[Any, ...]

PREFETCHED = re.compile(r'_prefetch_related_val_\w+="[^"]+"\."[^"]+"')
MOMENTS = re.compile(r"\b(now|today|tomorrow|yesterday)\b", re.IGNORECASE)  # texts that databases read as the time


class NoFingerprint(Exception):
    """The query's tree holds something whose effect on its SQL or its result is not known."""


class Fingerprint:
    """The walk of one query. `shape` and `parameters` are its result; `places` say which parameters a lookup has."""

    __slots__ = ("parameters", "places", "shape")

    def __init__(self, query: Query) -> None:
        self.parameters: list[Any] = []
        self.places: dict[int, int] = {}  # id of a lookup -> the place of its right side among the parameters
        self.shape: Shape = self._query(query)

    def is_native(self) -> bool:
        """Say whether MessagePack's own bytes tell the parameters of this shape from one another.

        The shape names their types; of a list, those of its items where it is the right side of a lookup.
        """
        lists = set(self.places.values())
        return all(is_native(one, is_typed=place in lists) for place, one in enumerate(self.parameters))

    def _query(self, query: Query) -> Shape:
        if query.select_for_update or query.explain_info or query.extra_tables or query.extra_order_by:
            raise NoFingerprint("extra(), select_for_update() or explain()")
        aliases = query.alias_map
        filtered: dict[str, Any] = vars(query)["_filtered_relations"]
        inner = getattr(query, "inner_query", None)  # of an aggregate over a subquery
        return (
            query.model._meta.label if query.model is not None else None,
            self._where(query.where) if query.where.children else None,
            tuple([self._source(alias, source, query) for alias, source in aliases.items()])
            if len(aliases) > 1
            else None,  # compiling adds the only one
            query.low_mark,
            query.high_mark,
            query.distinct,
            query.distinct_fields,
            tuple([self._node(item) for item in query.order_by]) if query.order_by else None,
            query.default_ordering,
            query.standard_ordering,
            self._plain(query.select_related),
            (tuple(sorted(query.deferred_loading[0])), query.deferred_loading[1]) if query.deferred_loading[0] else 0,
            query.default_cols,
            query.values_select,
            tuple([self._node(item) for item in query.select]) if query.select else None,
            tuple([(name, self._node(item)) for name, item in query.annotations.items()])
            if query.annotations
            else None,
            self._plain(query.annotation_select_mask),
            self._plain(getattr(query, "selected", None)),
            tuple([self._node(item) for item in query.group_by])
            if isinstance(query.group_by, tuple)
            else query.group_by,
            (query.combinator, query.combinator_all, tuple([self._query(part) for part in query.combined_queries]))
            if query.combinator
            else None,
            self._query(inner) if inner is not None else None,
            tuple([(name, self._node(item)) for name, item in filtered.items()]) if filtered else None,
            query.subquery,
            self._extra(query) if query.extra else None,
        )

    def _extra(self, query: Query) -> Shape:
        """Walk the columns that prefetch_related() adds for a many-to-many field; what else is extra() is not known."""
        selected = query.extra.items()
        if any(not PREFETCHED.fullmatch(f"{name}={sql}") or parameters for name, (sql, parameters) in selected):
            raise NoFingerprint("extra()")
        return tuple([(name, sql) for name, (sql, _) in selected]), self._plain(query.extra_select_mask)

    def _source(self, alias: str, source: BaseTable | Join, query: Query) -> Shape:
        used = query.alias_refcount.get(alias, 0) > 0
        if isinstance(source, Join):
            columns = getattr(source, "join_cols", None) or getattr(source, "join_fields", ())
            related = self._node(source.filtered_relation) if source.filtered_relation is not None else None
            return (
                alias,
                source.table_name,
                source.parent_alias,
                source.join_type,
                self._plain(columns),
                related,
                self._restriction(alias, source),
                used,
            )
        if isinstance(source, BaseTable):
            return (alias, source.table_name, used)
        raise NoFingerprint(f"a source of type {type(source).__name__}")

    def _restriction(self, alias: str, source: Join) -> Any:
        """Walk what a relation adds to its join by code of its own, which may depend on anything: the language, say."""
        field: Any = source.join_field
        owner = field.field if isinstance(field, ForeignObjectRel) else field
        if type(owner).get_extra_restriction.__module__ in _KNOWN_RESTRICTIONS:
            return None
        return self._node(field.get_extra_restriction(alias, source.parent_alias))

    def _where(self, node: WhereNode) -> Shape:
        return (node.connector, node.negated, *[self._node(child) for child in node.children])

    def _node(self, node: Any) -> Any:
        kind = type(node)
        if kind in PLAIN:
            return exact(node)
        return (_HANDLERS.get(kind) or _handler_for(kind))(self, node)

    def _col(self, node: Col) -> Shape:
        field = node.output_field  # whose converters make the value: usually its own, or that of the key it refers to
        target = node.target
        own = ("F", target.model._meta.label, target.name)
        return ("C", node.alias, own, None if field is target else self._field(field))

    def _value(self, node: Value) -> Shape:
        value = node.value
        if isinstance(value, Promise):  # a text in the language of now
            value = _cast(value)
        if isinstance(value, str) and MOMENTS.search(value):
            raise NoFingerprint("a text that may stand for the time of the query")
        self.parameters.append(value)
        field = node._output_field_or_none  # type: ignore[attr-defined]
        return ("V", name_of(type(value)), self._field(field) if field is not None else None)

    def _lookup(self, node: "Lookup[Any]") -> Shape:
        right = node.rhs if type(node.lhs) is not ColPairs else _pairs(node)
        left = self._node(node.lhs)
        extra = self._state(node, skip=_LOOKUP_KNOWN) if type(node).__module__ not in _PLAIN_LOOKUPS else None
        if hasattr(right, "resolve_expression") or hasattr(right, "as_sql") or isinstance(right, Query):
            return (name_of(type(node)), left, ("E", self._node(right)), extra)
        if node.bilateral_transforms:
            raise NoFingerprint("bilateral transforms")
        self.places[id(node)] = len(self.parameters)
        if isinstance(right, list | tuple | set | frozenset) or type(right).__name__ in ("OrderedSet", "dict_keys"):
            items = list(right)
            if any(hasattr(item, "resolve_expression") for item in items):
                del self.places[id(node)]
                return (name_of(type(node)), left, ("L", *[self._node(item) for item in items]), extra)
            self.parameters.append(items)
            # An empty list is compiled away, and what stands beside it.
            kinds = sorted({kind_of(item) for item in items if item is not None})
            return (name_of(type(node)), left, tuple(kinds), extra)
        if type(right) is int and isinstance(node, IntegerFieldOverflow) and is_out_of_range(node.lhs, right):
            raise NoFingerprint("an integer out of its field's range, whose condition is no part of the SQL")
        self.parameters.append(right)
        # True and False make different SQL: IS NULL, or IS NOT NULL.
        return (name_of(type(node)), left, right if type(right) is bool else name_of(type(right)), extra)

    def _expression(self, node: Any) -> Shape:
        return (name_of(type(node)), self._state(node))

    def _state(self, node: Any, skip: frozenset[str] = frozenset()) -> Shape:
        """Return what an expression holds, but for what it has computed from the rest.

        The field of its output counts, given or computed: it decides the SQL of a cast. Compiling computes it, so it is
        computed here: the same expression is to have one shape, before and after.
        """
        kind, held = type(node), vars(node)
        computed = computed_names(kind)
        if isinstance(node, BaseExpression) and "output_field" not in held:
            with suppress(FieldError, AttributeError):  # there is none; or it is not resolved
                field = node.output_field  # which keeps itself, or is the class's
                held = held if is_found(kind) else {**held, "output_field": field}
        return tuple([(name, self._plain(held[name])) for name in sorted(held.keys() - computed - skip)])

    def _plain(self, value: Any) -> Any:
        kind = type(value)
        if kind in PLAIN:
            return exact(value)
        if kind is list or kind is tuple:  # which a template writes as other texts
            return ("[" if kind is list else "(", *[self._plain(item) for item in value])
        if kind is dict:
            return ("{", *[(self._plain(key), self._plain(item)) for key, item in value.items()])
        if kind is set or kind is frozenset:
            return (kind.__name__, *sorted([self._plain(item) for item in value], key=repr))
        return self._node(value)

    def _name(self, node: F) -> Shape:
        return ("N", name_of(type(node)), node.name)  # type: ignore[attr-defined]

    def _zone(self, node: dt.tzinfo) -> Shape:
        if isinstance(node, dt.timezone) or (isinstance(node, ZoneInfo) and node.key):
            return ("Z", repr(node))  # its text is a name that anybody may have given
        raise NoFingerprint(f"a time zone of type {name_of(type(node))}")

    def _field(self, node: "Field[Any, Any]") -> Shape:
        model = getattr(node, "model", None)
        if isinstance(model, type) and issubclass(model, Model) and is_own(model, node):
            return ("F", model._meta.label, node.name)  # of a relation, too
        kind = type(node)
        _, path, given, named = node.deconstruct()
        held, named = vars(node), {name: value for name, value in named.items() if name not in _NOT_IN_SQL}
        if "base_field" in named:  # of an array's items: a copy that is made of what that field deconstructs
            named["base_field"] = held.get("base_field")
        untold: list[Any] = []  # what a class outside of Django holds, and may not have deconstructed
        if not kind.__module__.startswith("django."):
            skip = _HELD_BY_FIELDS | computed_names(kind)
            untold = [(name, value) for name, value in sorted(held.items()) if name not in skip]
        return ("F", name_of(kind), path, self._plain(given), self._plain(named), self._plain(untold))

    def _class(self, node: type) -> Shape:
        if not is_told_by_name(node):
            raise NoFingerprint(f"a class that a function makes, {name_of(node)}")
        return ("T", name_of(node))

    def _nothing(self, node: NothingNode) -> Shape:
        return ("0",)

    def _unknown(self, node: Any) -> Shape:
        raise NoFingerprint(f"a {name_of(type(node))}")


# Those of Django that depend on models alone: none, or the content type of a generic relation.
_KNOWN_RESTRICTIONS = frozenset({"django.db.models.fields.related", "django.contrib.contenttypes.fields"})
# Lookups in these modules hold nothing but their two sides; others, of JSON or ranges, may hold more.
_PLAIN_LOOKUPS = frozenset({"django.db.models.lookups", "django.db.models.fields.related_lookups"})
_NOT_IN_SQL = frozenset({"default", "error_messages", "help_text", "validators", "verbose_name"})  # of a field
_HELD_BY_FIELDS = frozenset(vars(Field())) - {"max_length"}  # in no SQL, or deconstructed
_LOOKUP_KNOWN = frozenset({"lhs", "rhs", "bilateral_transforms"})
Handler = Callable[[Fingerprint, Any], Any]
_HANDLERS: dict[type, Handler] = {
    Col: Fingerprint._col,
    Value: Fingerprint._value,
    WhereNode: Fingerprint._where,
    NothingNode: Fingerprint._nothing,
    ExtraWhere: Fingerprint._unknown,
    RawSQL: Fingerprint._unknown,
    PathInfo: Fingerprint._unknown,
}


@memo(None)
def _handler_for(kind: type) -> Handler:
    """Return how a node of another class is walked."""
    if writes_own_sql(kind) or not (is_told_by_name(kind) or getattr(kind, "cacheops_pure", False)):
        return Fingerprint._unknown
    if issubclass(kind, Query):
        return Fingerprint._query
    if issubclass(kind, Lookup):
        return Fingerprint._lookup
    if issubclass(kind, type):
        return Fingerprint._class
    if issubclass(kind, Field):
        return Fingerprint._field
    if issubclass(kind, list | tuple | dict | set | frozenset):
        plain = next(base for base in (list, tuple, dict, set, frozenset) if issubclass(kind, base))
        return lambda walk, node: (name_of(kind), walk._plain(plain(node)))
    if issubclass(kind, WhereNode):
        return Fingerprint._where
    if issubclass(kind, BaseExpression) or (hasattr(kind, "resolve_expression") and hasattr(kind, "as_sql")):
        return Fingerprint._expression
    if issubclass(kind, F):
        return Fingerprint._name
    if issubclass(kind, dt.tzinfo):
        return Fingerprint._zone
    if kind.__module__ == "django.db.models.query_utils" and kind.__name__ in ("Q", "FilteredRelation"):
        return Fingerprint._expression
    if issubclass(kind, str):
        return lambda walk, node: (name_of(type(node)), str.__str__(node))
    if issubclass(kind, Promise):
        return lambda walk, node: walk._plain(_cast(node))
    # A constant such as a date, a decimal or an enumeration's member: a parameter of whatever holds it.
    return Fingerprint._unknown if hasattr(kind, "as_sql") else _constant


def _cast(lazy: Any) -> Any:
    """Return what a lazy value is now, as Django's fields do before they give it to the database."""
    return lazy._proxy____cast()


def _pairs(node: Any) -> Any:
    """Return the right side of a lookup on several columns, which may be instances, as the values of these."""
    left, right = node.lhs, node.rhs
    if not node.rhs_is_direct_value():
        return right
    if isinstance(node, RelatedIn):
        return [get_normalized_value(item, left) for item in right]
    return get_normalized_value(right, left) if isinstance(node, RelatedLookupMixin) else right


def _constant(walk: Fingerprint, node: Any) -> Shape:
    walk.parameters.append(node)
    return ("K", name_of(type(node)))
