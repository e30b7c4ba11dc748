"""From a row's text in the log to the values that conditions hold, which its tags are made of."""

import re
from collections.abc import Iterable, Sequence
from typing import Any

from django.core.exceptions import ValidationError
from psycopg import DataError
from psycopg.adapt import Transformer
from psycopg.pq import Format

from cacheops.conf import conf
from cacheops.orm.catalogue import TYPES
from cacheops.orm.dependencies import value_of
from cacheops.orm.schema import compared_as, fields_by_column
from cacheops.protocol.keys import GENERATION
from cacheops.protocol.tags import MINUTE, columns_of, columns_within
from cacheops.relay.commits import LoggedCommit, LoggedRow, LoggedTable
from cacheops.writing.changes import Row, TableChange

# Moments as PostgreSQL writes them, but for those of other eras, of clocks that differ by seconds, and infinity.
_MOMENT = re.compile(rb"(\d{4}-\d\d-\d\d \d\d:\d\d):\d\d(?:\.\d+)?((?:[+-]\d\d(?::\d\d)?)?)")


class RowLoader:
    """Reads values as a connection of Django's would, whose driver this is: in its time zone, with its own types."""

    def __init__(self, driver: Any) -> None:
        self._transformer = Transformer(driver)
        self._types = driver.adapters.types

    def outdated(self, table: str, commits: Iterable[LoggedCommit], schemes: frozenset[str]) -> frozenset[str] | None:
        """Return the tags of one table that commits outdate, but for what each one's writer has marked.

        None where only the whole table will do; no tag where the writers have marked all.
        """
        by_marks: dict[frozenset[str], list[LoggedTable]] = {}
        for commit in commits:
            marked = frozenset(commit.marked.get(table, ()))
            if table in commit.tables and GENERATION not in marked:
                by_marks.setdefault(marked, []).append(commit.tables[table])
        found: set[str] = set()
        for marked, logged in by_marks.items():  # at once: many commits change a few tags
            tags = self._tags(table, logged, schemes)
            if tags is None:
                return None
            found |= tags - marked
        return frozenset(found)

    def _tags(self, table: str, logged: Sequence[LoggedTable], schemes: frozenset[str]) -> frozenset[str] | None:
        if not schemes or any(each.whole for each in logged):
            return None
        try:
            rows = self._rows(table, [row for each in logged for row in each.rows], schemes)
        except (KeyError, TypeError, ValueError, ValidationError, DataError):
            return None
        return TableChange(rows).tags(schemes, conf.max_marks * len(logged))

    def _rows(self, table: str, logged: Sequence[LoggedRow], schemes: frozenset[str]) -> list[Row]:
        fields, columns = fields_by_column(table), columns_of(schemes)

        def load(column: str, oid: int, text: bytes) -> Any:
            # Of another type, a domain too, it would be text, whose tag is another one.
            kind = self._types[oid].name
            if kind not in TYPES[type(compared_as(fields[column]))]:
                raise ValueError(f"{table}.{column} is of the type {kind}")
            return value_of(table, column, self._transformer.get_loader(oid, Format.TEXT).load(text))

        return [row.read(columns, load) for row in differing(logged, schemes)]


def differing(rows: Sequence[LoggedRow], schemes: frozenset[str]) -> list[LoggedRow]:
    """Return one row of each that have the same tags: many readings are of one device, metric and minute."""
    columns, within_minutes = columns_of(schemes), columns_within(MINUTE, schemes)
    places: dict[int, list[tuple[int, bool]]] = {}  # by the columns of a relation: where those are that count
    found: dict[Any, LoggedRow] = {}
    for row in rows:
        own = id(row.columns)  # alive as long as the row
        at = places.get(own)
        if at is None:
            named = enumerate(column.name for column in row.columns)
            at = places[own] = [(place, name in within_minutes) for place, name in named if name in columns]
        values = row.values
        texts = [minute(values[place]) if is_within else values[place] for place, is_within in at]
        found.setdefault((own, row.is_whole, *texts), row)
    return list(found.values())


def minute(value: Any) -> Any:
    """Return what all moments of one minute share; other texts as they are."""
    moment = _MOMENT.fullmatch(value) if isinstance(value, bytes) else None
    return moment.groups() if moment else value


def full_xids(lower: Sequence[int], newest: int) -> list[int]:
    """Return transactions' numbers of 64 bits from their lower 32: of all that would do, the nearest to the newest."""
    half, whole = 1 << 31, 1 << 32
    return [newest + (xid - newest + half) % whole - half for xid in lower]
