"""Commits, put together from the messages of the log: which rows each has changed, and what its writer has marked."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from cacheops.conf import conf
from cacheops.relay.pgoutput import (
    Begin,
    Change,
    Column,
    Commit,
    LogMessage,
    Missing,
    Relation,
    Truncate,
    Values,
    decode,
    relation_of,
)
from cacheops.relay.schema_changes import SCHEMA_PREFIX, cached_tables
from cacheops.writing.changes import Row
from cacheops.writing.intent import by_hand_prefix, marks_prefix

ROWS = frozenset(b"IUD")  # the first letters of the messages about one row


class LoggedRow(NamedTuple):
    """A row before or after a change, as the log has it. Of some only the columns of the key are known."""

    columns: tuple[Column, ...]
    values: Values
    is_whole: bool

    def read(self, columns: frozenset[str], load: Callable[[str, int, bytes], Any]) -> Row:
        """Return the values of these columns as far as they are known. Raise ValueError for one that has none."""
        return {
            column.name: None if value is None else load(column.name, column.type, value)
            for column, value in zip(self.columns, self.values, strict=True)
            if column.name in columns and not isinstance(value, Missing) and (self.is_whole or column.is_key)
        }


@dataclass(slots=True)
class LoggedTable:
    """What a commit has done to one table: its rows before and after; `whole` where they are not known, or many."""

    rows: list[LoggedRow] = field(default_factory=list)
    whole: bool = False

    def add(self, rows: Sequence[LoggedRow]) -> None:
        self.rows.extend(rows)
        if len(self.rows) > 2 * conf.max_marks:
            self.all_rows()

    def all_rows(self) -> None:
        self.whole, self.rows = True, []


@dataclass(slots=True)
class LoggedCommit:
    """One transaction of any writer."""

    xid: int  # its lower 32 bits
    end_lsn: int = 0  # behind its commit
    tables: dict[str, LoggedTable] = field(default_factory=dict)
    marked: dict[str, set[str]] = field(default_factory=dict)  # by table: tags that its writer has marked in the region
    notes: list[str] = field(default_factory=list)  # of the relay itself
    is_unknown: bool = False  # it has changed what no model stands for: any table may be another now

    def table(self, name: str) -> LoggedTable:
        return self.tables.setdefault(name, LoggedTable())

    def whole(self, tables: Sequence[str] | None) -> None:
        """Take note that any row of these tables may be another now; None: of any table."""
        self.is_unknown |= tables is None
        for name in tables or ():
            self.table(name).all_rows()


def note_prefix(slot: str) -> str:
    """Return the prefix of messages that a slot's relay sends to itself."""
    return f"cacheops-relay:{slot}"


class CommitReader:
    """Puts one stream's messages together.

    `names_of` returns the tables that a relation stands for: none of one whose writes are not announced, None where
    that is not known.
    """

    def __init__(self, region: str, slot: str, names_of: Callable[[Relation], Sequence[str] | None]) -> None:
        self._region = region
        self._note_prefix = note_prefix(slot)
        self._names_of = names_of
        self._relations: dict[int, tuple[Relation, Sequence[str] | None]] = {}
        self._open: LoggedCommit | None = None

    @property
    def is_between(self) -> bool:
        """Whether no commit has begun that has not ended."""
        return self._open is None

    def feed(self, data: bytes) -> LoggedCommit | None:
        """Take one message; return a commit that has come to its end."""
        if data[0] in ROWS and self._is_settled(relation_of(data)):
            return None
        message = decode(data)
        if isinstance(message, Relation):
            self._relations[message.oid] = message, self._names_of(message)
        elif isinstance(message, Begin):
            self._open = LoggedCommit(message.xid)
        elif self._open is not None:
            return self._within(self._open, message)
        return None

    def _is_settled(self, oid: int) -> bool:
        """Return whether more rows of a relation change nothing: all its tables count as a whole already."""
        names, commit = self._relations[oid][1], self._open
        if names is None or commit is None:
            return False
        return all(name in commit.tables and commit.tables[name].whole for name in names)

    def _within(self, commit: LoggedCommit, message: Any) -> LoggedCommit | None:
        if isinstance(message, Change):
            relation, names = self._relations[message.relation]
            commit.is_unknown |= names is None
            for name in names or ():
                _add_change(commit.table(name), relation, message)
        elif isinstance(message, Truncate):
            for oid in message.relations:
                commit.whole(self._relations[oid][1])
        elif isinstance(message, LogMessage):
            self._heard(commit, message)
        elif isinstance(message, Commit):
            self._open, commit.end_lsn = None, message.end_lsn
            return commit
        return None

    def _heard(self, commit: LoggedCommit, message: LogMessage) -> None:
        if message.prefix == marks_prefix():
            marked: Mapping[str, Sequence[str]] = json.loads(message.content).get(self._region, {})
            for table, tags in marked.items():
                commit.marked.setdefault(table, set()).update(tags)
        elif message.prefix == by_hand_prefix() and not self._region:  # who marks in the region has marked them
            commit.whole(json.loads(message.content))
        elif message.prefix == SCHEMA_PREFIX:
            for relation in json.loads(message.content):
                commit.whole(cached_tables(relation) if relation else None)
        elif message.prefix == self._note_prefix:
            commit.notes.append(message.content.decode())


def _add_change(table: LoggedTable, relation: Relation, change: Change) -> None:
    if table.whole:
        return
    columns, rows = relation.columns, []
    if change.old is not None:
        rows.append(LoggedRow(columns, change.old, change.is_old_whole))
    elif change.new is not None and change.is_update:
        rows.append(LoggedRow(columns, change.new, is_whole=False))  # its key has not changed
    if change.new is not None:
        rows.append(LoggedRow(columns, merged(change.new, change.old if change.is_old_whole else None), is_whole=True))
    table.add(rows)


def merged(new: Values, old: Values | None) -> Values:
    """Return a row after a change, with what it has left as it was."""
    if old is None or Missing.UNCHANGED not in new:
        return new
    return tuple(before if value is Missing.UNCHANGED else value for value, before in zip(new, old, strict=True))
