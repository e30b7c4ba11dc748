"""What a statement that Django's ORM has not made may change."""

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from cacheops.engine import memo
from cacheops.orm.schema import changed_by_deleting, dependents, is_tracked, models_by_table, tables_named

READS = (
    "SELECT|SHOW|SET|RESET|BEGIN|START|COMMIT|ROLLBACK|SAVEPOINT|RELEASE|EXPLAIN|PRAGMA|VALUES|FETCH|DECLARE|CLOSE|"
    "LISTEN|UNLISTEN|NOTIFY|ANALYZE|VACUUM|CHECKPOINT|DEALLOCATE|DISCARD"
)
GAP = r"(?>(?:[\s(;]+|--[^\n]*|/\*.*?\*/)*)"  # before a statement; taken whole, so that a comment is not its first word
READS_ONLY = re.compile(rf"{GAP}(?:{READS})\b", re.IGNORECASE | re.DOTALL)
# A text of several statements. (A literal that holds a semicolon looks like one: wider is safe.)
WRITES_LATER = re.compile(rf";{GAP}(?!(?:{READS})\b|\Z)", re.IGNORECASE | re.DOTALL)
# SELECT … FOR UPDATE and FOR NO KEY UPDATE lock rows, and change none.
WRITES_INSIDE = re.compile(r"\b(INSERT|DELETE|MERGE|(?<!FOR )(?<!NO KEY )UPDATE)\b", re.IGNORECASE)
SETS_ISOLATION = re.compile(r"\b(REPEATABLE\s+READ|SERIALIZABLE|transaction_isolation)\b", re.IGNORECASE)
# Every later transaction of the session, or until somebody says otherwise.
SETS_SESSION = re.compile(
    r"\b(SESSION\s+CHARACTERISTICS|default_transaction_isolation|DISCARD\s+ALL|RESET\s+ALL)\b", re.I
)
OUTSIDE_TRANSACTIONS = re.compile(
    r"\s*(CALL|REINDEX|CLUSTER|CREATE\s+(?:UNIQUE\s+)?INDEX\s+CONCURRENTLY|DROP\s+INDEX\s+CONCURRENTLY|"
    r"CREATE\s+DATABASE|DROP\s+DATABASE|ALTER\s+SYSTEM)\b",
    re.IGNORECASE,
)
# What may give a table's columns other types, or what sets them, or a function other tables. Tables of a session's own,
# and indexes, do not.
ALTERS_SCHEMA = re.compile(
    rf"(?:^|;){GAP}(?:ALTER|DO|IMPORT|(?:CREATE(?:\s+OR\s+REPLACE)?|DROP)\s+"
    r"(?:UNLOGGED\s+|FOREIGN\s+|CONSTRAINT\s+|MATERIALIZED\s+)*(?:TABLE|TRIGGER|VIEW|SCHEMA|DOMAIN|TYPE|COLLATION|"
    r"FUNCTION|PROCEDURE|ROUTINE|EXTENSION))\b",
    re.IGNORECASE | re.DOTALL,
)
# What may change a setting of the session that counts. (Django's own SETs, of a new connection, do not pass here.)
SETS = re.compile(
    rf"(?:^|;){GAP}(?:SET\b(?!\s+(?:LOCAL\s+|SESSION\s+)?(?:TRANSACTION|CHARACTERISTICS|CONSTRAINTS|\w+_timeout)\b)|"
    r"RESET\b|DISCARD\b|DO\b)|\bset_config\b",
    re.IGNORECASE | re.DOTALL,
)
# A temporary table stands before another one of its name; SQLite's LIKE may be told to mind small and large letters.
MAKES_PRIVATE = re.compile(r"\bCREATE\s+(?:LOCAL\s+|GLOBAL\s+)?TEMP(?:ORARY)?\b|\bcase_sensitive_like\b", re.IGNORECASE)
TAKES_BACK = re.compile(rf"(?:^|;){GAP}(?:ROLLBACK|ABORT|COMMIT|END)\b", re.IGNORECASE | re.DOTALL)
BEGINS_TRANSACTION = re.compile(rf"{GAP}(?:BEGIN|START\s+TRANSACTION)\b", re.IGNORECASE | re.DOTALL)
# Not a ROLLBACK TO SAVEPOINT, which ends a part of one.
ENDS_TRANSACTION = re.compile(
    rf"(?:^|;){GAP}(?:COMMIT|END|ABORT|ROLLBACK(?!\s+(?:WORK\s+|TRANSACTION\s+)?TO\b))\b", re.IGNORECASE | re.DOTALL
)
DELETES = re.compile(r"\b(?:DELETE|REPLACE|MERGE)\b", re.IGNORECASE)
CASCADES = re.compile(r"\bTRUNCATE\b.*\bCASCADE\b", re.IGNORECASE | re.DOTALL)
LONG_SQL = 4096  # characters from which a statement's text is not kept: it holds data
WORD = re.compile(r"[A-Za-z_][A-Za-z0-9_$]*")


class RawStatement(NamedTuple):
    """What a text of SQL may do."""

    sets_isolation: bool  # of the open transaction, maybe
    sets_session: bool  # the isolation of the session's transactions
    begins: bool  # a transaction, with its first words
    ends: bool  # a transaction
    alters: bool  # the schema
    sets: bool  # settings of the session
    makes_private: bool  # the session
    takes_back: bool  # a transaction or a savepoint
    writes: bool  # it is not sure only to read
    tables: frozenset[str]  # that it may write


def classify_sql(sql: str) -> RawStatement:
    """Return what a text of SQL may do; texts of ordinary length are classified once."""
    return _classified(sql) if len(sql) < LONG_SQL else _classify(sql)


def _classify(sql: str) -> RawStatement:
    return RawStatement(
        SETS_ISOLATION.search(sql) is not None,
        SETS_SESSION.search(sql) is not None,
        BEGINS_TRANSACTION.match(sql) is not None,
        ENDS_TRANSACTION.search(sql) is not None,
        ALTERS_SCHEMA.search(sql) is not None,
        SETS.search(sql) is not None,
        _makes_private(sql),
        TAKES_BACK.search(sql) is not None,
        not only_reads(sql),
        frozenset(written_tables(sql)),
    )


def _makes_private(sql: str) -> bool:
    found = MAKES_PRIVATE.search(sql)
    return found is not None and (found[0].lower() == "case_sensitive_like" or bool(written_tables(sql)))


_classified = memo()(_classify)  # the ORM makes the same texts again and again


def only_reads(sql: str) -> bool:
    """Return whether a statement is sure only to read, as far as its text tells: a function may write."""
    return bool(READS_ONLY.match(sql)) and not WRITES_INSIDE.search(sql) and not WRITES_LATER.search(sql)


def written_tables(sql: str) -> set[str]:
    """Return the tracked tables that a statement names, where it is not sure only to read."""
    if only_reads(sql):
        return set()
    named = {table for word in WORD.findall(sql) for table in tables_named(word.lower())}
    named |= {table for table in models_by_table() if not WORD.fullmatch(table) and table in sql}
    if CASCADES.search(sql):
        named = {table for name in named for table in dependents(name)}
    if DELETES.search(sql):
        named |= {table for name in named for table in changed_by_deleting(name)}
    return {name for name in named if is_tracked(name)}


def strings_in(parameters: Any) -> list[str]:
    """Return the texts among the parameters of a statement, or of each of several, however they are given."""
    if isinstance(parameters, str):
        return [parameters]
    if isinstance(parameters, Mapping):
        parameters = parameters.values()
    elif not isinstance(parameters, (list, tuple)):
        return []
    return [text for value in parameters for text in strings_in(value)]
