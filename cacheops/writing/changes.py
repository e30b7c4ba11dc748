"""What a transaction has changed, by table."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from cacheops.conf import conf
from cacheops.protocol.tags import NoToken, tag_names

Row = Mapping[str, Any]  # column -> value


class ChangeSource(StrEnum):
    """What has changed rows: what invalidations are counted by."""

    SAVE = "save"  # an instance's save(), and what calls it: create(), get_or_create(), update_or_create()
    UPDATE = "update"
    DELETE = "delete"
    BULK = "bulk"  # bulk_create(), bulk_update(), COPY
    RAW_SQL = "raw SQL"
    MANUAL = "manual"  # invalidate_obj() and its like, the command, the panel
    SIGNAL = "signal"  # of others, who have sent rows_changed


@dataclass(slots=True)
class TableChange:
    """What a transaction did to one table: rows as they were before and after, or `whole` where they are not known."""

    rows: list[Row] = field(default_factory=list)
    whole: bool = False
    source: str = ""  # a ChangeSource, or what a sender of rows_changed calls it

    def tags(self, schemes: frozenset[str], most: int | None = None) -> frozenset[str] | None:
        """Return the tags that these rows lie in; None where only the whole table will do, or they are too many."""
        if self.whole:
            return None
        most = conf.max_marks if most is None else most
        found: set[str] = set()
        for scheme in schemes:
            try:
                names = tag_names(scheme, self.rows, most)
            except (KeyError, NoToken):
                return None
            if names is None or len(found) + len(names) > most:
                return None
            found |= names
        return frozenset(found)


class Changes:
    """The changes of one transaction, by table."""

    def __init__(self) -> None:
        self.tables: dict[str, TableChange] = {}

    def __bool__(self) -> bool:
        return bool(self.tables)

    def add(self, table: str, rows: Sequence[Row] | None, source: str) -> None:
        """Add rows; the whole table, where they are None."""
        change = self.tables.get(table)
        if change is None:
            change = self.tables[table] = TableChange(source=source)
        if change.whole:
            return
        if rows is not None:
            change.rows.extend(rows)
        if rows is None or len(change.rows) > 2 * conf.max_marks:  # each changed row is here twice
            change.whole, change.rows = True, []

    def update(self, other: "Changes") -> None:
        """Add the changes of another."""
        for table, change in other.tables.items():
            self.add(table, None if change.whole else change.rows, change.source)
