"""From a query to the tags that it depends on, through a template that all queries of its shape share.

A row that matches no condition of a query, neither before nor after a change, cannot change the query's result. So the
query depends on the tags of its conditions: equality, IN, IS NULL, and ranges with two ends as buckets. What is not
understood is left out, and the tag is wider; wider is safe.
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import product
from typing import Any, NamedTuple

from django.db.models import lookups
from django.db.models.expressions import Col
from django.db.models.fields import related_lookups
from django.db.models.sql.constants import LOUTER
from django.db.models.sql.query import Query
from django.db.models.sql.where import AND, OR, WhereNode

from cacheops.orm.catalogue import exact_columns
from cacheops.orm.schema import compared_as, fields_by_column, has_ranges, is_exact, plain_type
from cacheops.protocol.tags import MAX_NAME, MINUTE, WHOLE_TABLE, NoToken, bucket, named, named_by, token

MAX_TERMS = 16  # of a condition in disjunctive form; beyond, it is left out
RANGE_WIDTHS = (MINUTE, 3600, 86400, 30 * 86400)  # seconds: a minute, an hour, a day, a month
MAX_BUCKETS = 48

SOURCE = re.compile(r'\b(?:FROM|JOIN) "((?:[^"]|"")+)"(?: "?(\w+))?')
AFTER_SOURCE = frozenset({
    "ON", "WHERE", "INNER", "LEFT", "GROUP", "HAVING", "ORDER", "LIMIT", "OFFSET", "UNION", "INTERSECT", "EXCEPT",
    "WINDOW",
})  # fmt: skip

EXACT = frozenset({lookups.Exact, lookups.IntegerFieldExact, related_lookups.RelatedExact})
IN = frozenset({lookups.In, related_lookups.RelatedIn})
IS_NULL = frozenset({lookups.IsNull, related_lookups.RelatedIsNull})
AT_LEAST = frozenset({lookups.GreaterThan, lookups.GreaterThanOrEqual})
AT_MOST = frozenset({lookups.LessThan, lookups.LessThanOrEqual})


@dataclass(frozen=True, slots=True)
class Atom:
    """One condition on one column. `place` is where its value stands among the query's parameters."""

    alias: str
    column: str
    kind: str  # "=", "in", "null", ">=", "<=", "between"
    place: int = -1


Dependency = tuple[str, tuple[str, ...], tuple[str, ...]]  # a table, its tags, their schemes
Term = tuple[Atom, ...]  # all of them hold
TRUE: list[Term] = [()]


@dataclass(frozen=True, slots=True)
class Equalities:
    """A term's conditions on one table, by column: what the tags of this term are made of."""

    table: str
    exact: tuple[Atom, ...]  # sorted by column
    ranges: tuple[tuple[str, int, int], ...]  # column, place of the lower end, of the upper; -1 both: a pair at one

    def single_tag(self) -> "SingleTag | None":
        """Return how to make the only tag; None where there may be several, or another scheme for other values."""
        if self.ranges or any(atom.kind != "=" for atom in self.exact):
            return None
        columns = [atom.column for atom in self.exact]
        scheme = ",".join(columns)
        return SingleTag(scheme, (scheme,), tuple(columns), tuple(atom.place for atom in self.exact))


class SingleTag(NamedTuple):
    """The tag of a term of equalities only, which most queries have: its scheme, and where its values stand."""

    scheme: str
    schemes: tuple[str]  # that one
    columns: tuple[str, ...]
    places: tuple[int, ...]

    def name(self, parameters: Sequence[Any]) -> str:
        """Return the tag's name. Raise NoToken."""
        if len(self.places) == 1:
            name = f"{self.scheme}={token(parameters[self.places[0]])}"
            if len(name) <= MAX_NAME:
                return name
        return named_by(self.scheme, self.columns, [token(parameters[place]) for place in self.places])


@dataclass(frozen=True, slots=True)
class Template:
    """The dependencies of a shape: for each table, the terms of which one must hold for a row to matter."""

    tables: tuple[tuple[str, tuple[Equalities, ...]], ...]
    table_names: tuple[str, ...] = field(init=False, compare=False)
    only_tag: SingleTag | None = field(init=False, compare=False)  # of the only table; None where there are more
    _single: tuple[SingleTag | None, ...] = field(init=False, compare=False)  # of each table

    def __post_init__(self) -> None:
        single = tuple(terms[0].single_tag() if len(terms) == 1 else None for _, terms in self.tables)
        object.__setattr__(self, "_single", single)
        object.__setattr__(self, "only_tag", single[0] if len(single) == 1 else None)
        object.__setattr__(self, "table_names", tuple(table for table, _ in self.tables))

    def tags(self, parameters: Sequence[Any], most: int) -> Iterable[Dependency]:
        """Return each table with the names of its tags and their schemes; at most `most` tags a table."""
        only = self.only_tag
        if only is not None:  # most queries
            try:
                return ((self.table_names[0], (only.name(parameters),), only.schemes),)
            except NoToken:
                pass
        return self._tags(parameters, most)

    def _tags(self, parameters: Sequence[Any], most: int) -> Iterator[Dependency]:
        for (table, terms), single in zip(self.tables, self._single, strict=True):
            if single is not None:
                try:
                    yield table, (single.name(parameters),), single.schemes
                    continue
                except NoToken:  # a wider tag, of another scheme
                    pass
            found: dict[str, str] = {}
            for term in terms:
                found.update(tags_of(term, parameters, most))
                if WHOLE_TABLE in found or len(found) > most:
                    found = {WHOLE_TABLE: WHOLE_TABLE}
                    break
            yield table, tuple(sorted(found)), tuple(sorted(set(found.values())))


def tags_of(term: Equalities, parameters: Sequence[Any], most: int) -> dict[str, str]:
    """Return the tags of one term, each with its scheme."""
    parts: list[tuple[str, list[str]]] = []  # "column" or "column/width" with the tokens of its values
    for atom in term.exact:
        try:
            tokens = tokens_of(atom, parameters)
        except NoToken:
            continue
        parts.append((atom.column, tokens))
    for column, lower, upper in term.ranges:
        buckets = buckets_of(lower, upper, parameters)
        if buckets is not None:
            parts.append((f"{column}/{buckets[0]}", buckets[1]))
    # A long list makes many tags: leave the longest out until they are few enough.
    while parts and _size(parts) > most:
        parts.remove(max(parts, key=lambda part: len(part[1])))
    parts.sort()
    scheme = ",".join(text for text, _ in parts)
    return {named(scheme, list(tokens)): scheme for tokens in product(*[tokens for _, tokens in parts])}


def _size(parts: list[tuple[str, list[str]]]) -> int:
    size = 1
    for _, tokens in parts:
        size *= len(tokens)
    return size


def tokens_of(atom: Atom, parameters: Sequence[Any]) -> list[str]:
    if atom.kind == "null":
        return ["~"]
    value = parameters[atom.place]
    if atom.kind == "=":
        return [token(value)]
    return sorted({token(item) for item in value if item is not None})


def buckets_of(lower: int, upper: int, parameters: Sequence[Any]) -> tuple[int, list[str]] | None:
    """Return the finest width, and its buckets, that cover a range with few enough buckets."""
    try:
        start, end = parameters[lower] if upper < 0 else (parameters[lower], parameters[upper])
        for width in RANGE_WIDTHS:
            first, last = bucket(start, width), bucket(end, width)
            if last - first < MAX_BUCKETS:
                return width, [str(number) for number in range(first, last + 1)]
    except (NoToken, TypeError, ValueError):
        pass
    return None


# --- the analysis of a query, once a shape ---------------------------------------------------------------------------


def template_of(
    query: Query, database: str, places: dict[int, int], all_tables: frozenset[str], sql: str, whole: frozenset[str]
) -> Template:
    """Return the template of a query compiled for a database.

    `places` are the parameters' places by the id of their lookup; `all_tables` are the tables that its SQL names. One
    that the analysis has not met counts as a whole, under any of its aliases: Django compiles parts of combined queries
    as copies, and what an order joins to a copy is in the SQL only. So do those of `whole`, behind views.
    """
    found: dict[str, list[Equalities]] = {}
    met: Counter[tuple[str, str]] = Counter()
    for part in queries_in(query):
        terms = disjunction(part.where, places)
        for alias, source in part.alias_map.items():
            if part.alias_refcount.get(alias, 0) == 0:
                continue
            met[source.table_name, alias] += 1
            for term in terms:
                found.setdefault(source.table_name, []).append(equalities(part, database, alias, term))
    unmet = sources_in(sql) - met
    for table in all_tables - found.keys() | {table for table, _ in unmet} | whole:
        found[table] = [Equalities(table, (), ())]
    base = next((table for table in _base_tables(query) if table in found), min(found, default=""))
    order = sorted(found, key=lambda table: (table != base, table))
    return Template(tuple((table, tuple(dict.fromkeys(found[table]))) for table in order))


def sources_in(sql: str) -> Counter[tuple[str, str]]:
    """Return the tables in the FROM clauses of a statement, each with its alias (or its own name), and how often."""
    return Counter(
        (table, table if not alias or alias.upper() in AFTER_SOURCE else alias) for table, alias in SOURCE.findall(sql)
    )


def _base_tables(query: Query) -> Iterator[str]:
    for part in queries_in(query):
        if part.model is not None:
            yield part.model._meta.db_table


def queries_in(node: Any, seen: set[int] | None = None) -> Iterator[Query]:
    """Yield every query in a tree: itself, subqueries, combined queries, the inner query of an aggregate."""
    seen = set() if seen is None else seen
    if id(node) in seen:
        return
    seen.add(id(node))
    if isinstance(node, Query):
        yield node
        filtered: Any = vars(node)["_filtered_relations"]
        children: list[Any] = [
            node.where,
            *node.annotations.values(),
            *node.select,
            *(item for item in node.order_by if not isinstance(item, str)),
            *(node.group_by if isinstance(node.group_by, tuple) else ()),
            *node.combined_queries,
            *filtered.values(),
            getattr(node, "inner_query", None),
        ]
    elif isinstance(node, WhereNode):
        children = node.children
    elif isinstance(node, list | tuple | set):
        children = list(node)
    else:
        children = [getattr(node, name, None) for name in ("lhs", "rhs", "query", "condition", "resolved_condition")]
        if hasattr(node, "get_source_expressions"):
            children += node.get_source_expressions()
    for child in children:
        if not isinstance(child, str | int | float | bytes | None):
            yield from queries_in(child, seen)


def disjunction(node: Any, places: dict[int, int]) -> list[Term]:
    """Return the terms of which one must hold: the disjunctive form of what is understood of a condition."""
    if isinstance(node, WhereNode):
        if node.negated or not node.children or node.connector not in (AND, OR):
            return TRUE
        if node.connector == OR and node.contains_over_clause:
            return TRUE  # Django selects by it among the windows' rows: other rows decide what these hold
        parts = [disjunction(child, places) for child in node.children]
        if node.connector == OR:
            terms = [term for part in parts for term in part]
        else:
            terms = [()]
            for part in parts:
                terms = [(*left, *right) for left in terms for right in part]
                if len(terms) > MAX_TERMS:
                    return TRUE
        return terms if len(terms) <= MAX_TERMS else TRUE
    atom = atom_of(node, places)
    return [(atom,)] if atom is not None else TRUE


def atom_of(node: Any, places: dict[int, int]) -> Atom | None:
    kind = type(node)
    left = getattr(node, "lhs", None)
    if type(left) is not Col:
        return None
    alias, column = left.alias, str(left.target.column)
    if kind in IS_NULL:
        return Atom(alias, column, "null") if node.rhs is True else None
    place = places.get(id(node))
    if place is None:
        return None
    for kinds, sign in ((EXACT, "="), (IN, "in"), (AT_LEAST, ">="), (AT_MOST, "<=")):
        if kind in kinds:
            return Atom(alias, column, sign, place)
    return Atom(alias, column, "between", place) if kind is lookups.Range else None


def equalities(query: Query, database: str, alias: str, term: Term) -> Equalities:
    """Return what a term says of the rows of one alias."""
    source = query.alias_map[alias]
    table = source.table_name
    outer = getattr(source, "join_type", None) == LOUTER
    columns = exact_columns(database, table) if any(atom.alias == alias for atom in term) else frozenset()
    exact: dict[str, Atom] = {}
    lower: dict[str, int] = {}
    upper: dict[str, int] = {}
    ranges: list[tuple[str, int, int]] = []
    for atom in term:
        if atom.alias != alias or (atom.column not in columns and atom.kind != "null"):
            continue
        if atom.kind in ("=", "in", "null"):
            # A row that is not there is null too: with an outer join, rows that are added may matter.
            if is_exact(table, atom.column) and not (outer and atom.kind == "null"):
                exact.setdefault(atom.column, atom)
        elif has_ranges(table, atom.column):
            if atom.kind == "between":
                ranges.append((atom.column, atom.place, -1))
            else:
                (lower if atom.kind == ">=" else upper)[atom.column] = atom.place
    ranges += [(column, lower[column], upper[column]) for column in sorted(lower.keys() & upper.keys())]
    kept = {item[0]: item for item in ranges if item[0] not in exact}
    return Equalities(table, tuple(exact[column] for column in sorted(exact)), tuple(kept.values()))


def value_of(table: str, column: str, value: Any) -> Any:
    """Return a column's value as a condition would hold it, from an attribute or a row."""
    if value is None or type(value) is plain_type(table, column):
        return value
    return compared_as(fields_by_column(table)[column]).get_prep_value(value)
