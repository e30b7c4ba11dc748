"""What a table's columns really are, by the database's own catalogue: a migration's SQL may have made them anything.

A column whose database finds equal what Python does not (citext, char(n), a collation without case) may not stand in a
tag. The catalogue is asked once a table, and again after a statement that may have changed it.
"""

import re
from typing import Any, NamedTuple

from django.db import InternalError, connections, models

from cacheops.engine import Component, register_component
from cacheops.orm.schema import INTEGER_FIELDS, TEXT_FIELDS, compared_as, fields_by_column, models_by_table
from cacheops.regions.direct_sql import query_driver

INTEGERS, TEXT = frozenset({"int2", "int4", "int8"}), frozenset({"text", "varchar"})
# By the field's class: the types of PostgreSQL whose equality is that of the field's values in Python.
TYPES: dict[type, frozenset[str]] = {
    **dict.fromkeys(INTEGER_FIELDS, INTEGERS),
    **dict.fromkeys(TEXT_FIELDS, TEXT),
    models.BooleanField: frozenset({"bool"}),
    models.UUIDField: frozenset({"uuid"}),
    models.DateField: frozenset({"date"}),
    models.DateTimeField: frozenset({"timestamptz"}),
}
# The same for SQLite, by the affinity of the declared type (https://www.sqlite.org/datatype3.html, 3.1).
AFFINITIES: dict[type, frozenset[str]] = {
    **dict.fromkeys(INTEGER_FIELDS, frozenset({"integer", "numeric"})),
    **dict.fromkeys(TEXT_FIELDS, frozenset({"text"})),
    models.BooleanField: frozenset({"integer", "numeric"}),
    models.UUIDField: frozenset({"text"}),
    models.DateField: frozenset({"numeric", "text"}),
    models.DateTimeField: frozenset({"numeric", "text"}),
}

# A domain is what it is made of. A partition may have triggers of its own. Precision is that of moments alone.
POSTGRES_COLUMNS = """
    WITH RECURSIVE columns (name, type, modifier, coll, generated) AS (
        SELECT attname, atttypid, atttypmod, attcollation, attgenerated <> '' FROM pg_attribute
        WHERE attrelid = to_regclass(%s) AND attnum > 0 AND NOT attisdropped
        UNION ALL
        SELECT name, typbasetype, greatest(modifier, typtypmod), columns.coll, generated
        FROM columns JOIN pg_type ON oid = type WHERE typtype = 'd'
    )
    SELECT name, CASE WHEN typnamespace = 'pg_catalog'::regnamespace THEN typname END,
        NOT coalesce(collisdeterministic, true) OR (typname = 'timestamptz' AND modifier NOT IN (-1, 6)), generated
    FROM columns JOIN pg_type ON pg_type.oid = type LEFT JOIN pg_collation ON pg_collation.oid = columns.coll
    WHERE typtype <> 'd'
"""
# A trigger before each row's change may set any column; so may what stands behind a view, or on another server.
POSTGRES_SETS_MORE = """
    SELECT EXISTS (
        SELECT FROM pg_trigger WHERE NOT tgisinternal AND tgtype & 3 = 3 AND tgrelid IN (
            SELECT to_regclass(%s) UNION ALL SELECT relid FROM pg_partition_tree(to_regclass(%s))
        )
    ) OR EXISTS (SELECT FROM pg_class WHERE oid = to_regclass(%s) AND relkind NOT IN ('r', 'p'))
"""
# What stands behind a relation, itself included, of each: whether a name without a schema means it, a view's text, and
# whether that calls functions that may read more. Of those that are built in, only the text tells.
POSTGRES_BEHIND = """
    WITH RECURSIVE behind (oid) AS (
        SELECT to_regclass(%s)::oid
        UNION
        SELECT refobjid FROM behind JOIN pg_rewrite ON ev_class = behind.oid
        JOIN pg_depend ON classid = 'pg_rewrite'::regclass AND objid = pg_rewrite.oid
        WHERE refclassid = 'pg_class'::regclass
    )
    SELECT relname::text, relkind::text, pg_table_is_visible(oid),
        CASE WHEN relkind = 'v' THEN pg_get_viewdef(oid) ELSE '' END, EXISTS (
            SELECT FROM pg_rewrite JOIN pg_depend ON classid = 'pg_rewrite'::regclass AND objid = pg_rewrite.oid
            LEFT JOIN pg_proc ON refclassid = 'pg_proc'::regclass AND pg_proc.oid = refobjid
            WHERE ev_class = pg_class.oid AND (refclassid = 'pg_operator'::regclass OR provolatile <> 'i')
        )
    FROM behind JOIN pg_class USING (oid)
"""
# Stored functions that may read tables. Extensions' and built-in ones do not, but for what the text of a query tells.
POSTGRES_READERS = """
    SELECT lower(proname::text) FROM pg_proc
    WHERE provolatile <> 'i' AND prorettype NOT IN ('trigger'::regtype, 'event_trigger'::regtype)
        AND pronamespace NOT IN ('pg_catalog'::regnamespace, 'information_schema'::regnamespace)
        AND NOT EXISTS (
            SELECT FROM pg_depend WHERE classid = 'pg_proc'::regclass AND objid = pg_proc.oid AND deptype = 'e'
        )
"""
CALLED = re.compile(r'"((?:[^"]|"")+)"\s*\(|(\w+)\s*\(')
SQLITE_COLUMNS = "SELECT name, type, hidden > 1 FROM pragma_table_xinfo(?)"
SQLITE_TEXT = "SELECT sql FROM sqlite_master WHERE type = 'table' AND lower(name) = lower(?)"
SQLITE_VIEW = "SELECT 1 FROM sqlite_master WHERE type = 'view' AND lower(name) = lower(?)"
# Words, quoted names, literals, comments and signs of a CREATE TABLE.
WORDS = re.compile(r"""--[^\n]*|/\*.*?\*/|"(?:[^"]|"")*"|`[^`]*`|\[[^]]*\]|'(?:[^']|'')*'|\w+|[(),]""", re.DOTALL)


class Columns(NamedTuple):
    """What the catalogue says of a table's columns."""

    exact: frozenset[str] = frozenset()  # whose equality in the database is that of their fields' values
    moved: bool = True  # a write may set others than it names: generated columns, triggers


class Catalogue(Component):
    """What this process was told of tables, by the database's name in keys, the session's key, and the table's name."""

    def __init__(self) -> None:
        self.known: dict[tuple[str, bytes, str], Columns] = {}
        self.readers: dict[str, frozenset[str]] = {}  # by the database's name: functions that may read tables

    def schema_changed(self) -> None:
        self.known.clear()
        self.readers.clear()


catalogue = register_component(Catalogue())


def exact_columns(database: str, table: str) -> frozenset[str]:
    """Return the columns of a database's table that may stand in a tag, as far as the database decides it."""
    return columns_of(database, table).exact


def columns_of(database: str, table: str) -> Columns:
    """Return what the catalogue says; of a table that is not there, or when it can't be asked, the widest."""
    wrapper: Any = connections[database]
    if not hasattr(wrapper, "cacheops") or table not in models_by_table():  # with Django's own engine nothing is cached
        return Columns()
    key = (wrapper.cacheops.name, wrapper.cacheops.session_key, table)
    known = catalogue.known.get(key)
    if known is not None:
        return known
    if wrapper.needs_rollback:
        return Columns()
    try:
        found = _ask(wrapper, table)
    except InternalError:  # the transaction has failed: so will the caller's next statement
        return Columns()
    if found is None:
        return Columns()
    if not wrapper.cacheops.transaction.alters:  # which may be rolled back
        catalogue.known[key] = found
    return found


def calls_reader(database: str, sql: str) -> bool | None:
    """Return whether a query calls a stored function that may read more than it names; None where that can't be asked.

    By its name, in any schema. Functions of SQLite are a process' own.
    """
    wrapper: Any = connections[database]
    if wrapper.vendor != "postgresql":
        return False
    readers = catalogue.readers.get(wrapper.cacheops.name)
    if readers is None:
        if wrapper.needs_rollback:
            return None
        try:
            readers = frozenset(name for (name,) in query_driver(wrapper, POSTGRES_READERS))
        except InternalError:  # as in `columns_of`
            return None
        if not wrapper.cacheops.transaction.alters:
            catalogue.readers[wrapper.cacheops.name] = readers
    return bool(readers) and any((quoted or plain).lower() in readers for quoted, plain in CALLED.findall(sql))


class Behind(NamedTuple):
    """What a relation's rows are made of."""

    tables: frozenset[str] = frozenset()  # those behind a view
    text: str = ""  # of all views
    is_known: bool = True  # else it may read more: by functions, or from what is refreshed at times


def behind(database: str, table: str) -> Behind:
    """Return what stands behind a table's name: nothing, where it is a table."""
    wrapper: Any = connections[database]
    if wrapper.vendor != "postgresql":
        return Behind(is_known=not query_driver(wrapper, SQLITE_VIEW, [table]))
    rows = query_driver(wrapper, POSTGRES_BEHIND, [wrapper.ops.quote_name(table)])
    return Behind(
        frozenset(name for name, kind, *_ in rows if kind in "rp" and name != table),
        " ".join(text for _, _, _, text, _ in rows),
        bool(rows)
        and all(kind in "rpv" and is_visible and not reads_more for _, kind, is_visible, _, reads_more in rows),
    )


def _ask(wrapper: Any, table: str) -> Columns | None:
    if wrapper.vendor == "postgresql":
        return _ask_postgres(wrapper, table)
    return _ask_sqlite(wrapper, table)


def _ask_postgres(wrapper: Any, table: str) -> Columns | None:
    name, fields = wrapper.ops.quote_name(table), fields_by_column(table)
    rows = query_driver(wrapper, POSTGRES_COLUMNS, [name])
    exact = frozenset(
        column
        for column, kind, is_wider, _ in rows
        if column in fields and not is_wider and kind in TYPES.get(type(compared_as(fields[column])), ())
    )
    if not rows:
        return None
    sets_more = query_driver(wrapper, POSTGRES_SETS_MORE, [name] * 3)[0][0]
    return Columns(exact, sets_more or any(generated for *_, generated in rows))


def _ask_sqlite(wrapper: Any, table: str) -> Columns | None:
    fields, rows = fields_by_column(table), query_driver(wrapper, SQLITE_COLUMNS, [table])
    if not rows:
        return None
    text = query_driver(wrapper, SQLITE_TEXT, [table])
    collated = collated_columns(text[0][0]) if text else frozenset(name.lower() for name, *_ in rows)
    exact = frozenset(
        name
        for name, kind, _ in rows
        if name in fields
        and name.lower() not in collated
        and affinity(kind) in AFFINITIES.get(type(compared_as(fields[name])), ())
    )
    return Columns(exact, any(generated for *_, generated in rows))


def affinity(declared: str) -> str:
    """Return the affinity of a column by its declared type."""
    for affine, words in (
        ("integer", ("INT",)),
        ("text", ("CHAR", "CLOB", "TEXT")),
        ("blob", ("BLOB",)),
        ("real", ("REAL", "FLOA", "DOUB")),
    ):
        if any(word in declared.upper() for word in words):
            return affine
    return "numeric" if declared else "blob"


def collated_columns(sql: str) -> frozenset[str]:
    """Return the columns, in small letters, that a CREATE TABLE of SQLite gives another collation than BINARY."""
    found: set[str] = set()
    depth, column, before = 0, "", ""
    for word in WORDS.findall(sql):
        if word.startswith(("--", "/*")):
            continue
        if word == "(":
            depth += 1
        elif word == ")":
            depth -= 1
        if depth == 1 and word not in "()":
            if before in ("(", ","):
                column = word
            elif before.upper() == "COLLATE" and _unquoted(word) != "binary":
                found.add(_unquoted(column))
        before = word
    return frozenset(found)


def _unquoted(word: str) -> str:
    return (word[1:-1].replace('""', '"') if word[0] in '"`[' else word).lower()
