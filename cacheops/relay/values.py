"""From a row's text in the log to the values that conditions hold, which its tags are made of."""

from collections.abc import Sequence
from typing import Any

from django.core.exceptions import ValidationError
from psycopg import DataError
from psycopg.adapt import Transformer
from psycopg.pq import Format

from cacheops.orm.catalogue import TYPES
from cacheops.orm.dependencies import value_of
from cacheops.orm.schema import compared_as, fields_by_column
from cacheops.protocol.tags import columns_of
from cacheops.relay.commits import LoggedTable
from cacheops.writing.changes import Row, TableChange


class RowLoader:
    """Reads values as a connection of Django's would, whose driver this is: in its time zone, with its own types."""

    def __init__(self, driver: Any) -> None:
        self._transformer = Transformer(driver)
        self._types = driver.adapters.types

    def tags(self, table: str, logged: LoggedTable, schemes: frozenset[str]) -> frozenset[str] | None:
        """Return the tags that a commit's rows lie in; None where only the whole table will do."""
        if logged.whole:
            return None
        try:
            rows = self._rows(table, logged, columns_of(schemes))
        except (KeyError, TypeError, ValueError, ValidationError, DataError):
            return None
        return TableChange(rows).tags(schemes)

    def _rows(self, table: str, logged: LoggedTable, columns: frozenset[str]) -> list[Row]:
        fields = fields_by_column(table)

        def load(column: str, oid: int, text: bytes) -> Any:
            # Of another type, a domain too, it would be text, whose tag is another one.
            kind = self._types[oid].name
            if kind not in TYPES[type(compared_as(fields[column]))]:
                raise ValueError(f"{table}.{column} is of the type {kind}")
            return value_of(table, column, self._transformer.get_loader(oid, Format.TEXT).load(text))

        return [row.read(columns, load) for row in logged.rows]


def full_xids(lower: Sequence[int], newest: int) -> list[int]:
    """Return transactions' numbers of 64 bits from their lower 32: of all that would do, the nearest to the newest."""
    half, whole = 1 << 31, 1 << 32
    return [newest + (xid - newest + half) % whole - half for xid in lower]
