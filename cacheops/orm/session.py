"""The settings of a database session that change what a query answers: part of the digest of each entry.

What a session begins with is asked with its identity. Raw SQL that sets something has the settings asked anew, once,
before the next cached read; so has the end of a transaction in which it was. TimeZone and its like the driver reports.
"""

import re
from collections.abc import Sequence
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

from django.db import InternalError

from cacheops.orm.raw_sql import RawStatement, strings_in

if TYPE_CHECKING:
    from cacheops.orm.connection import CachedConnection

# Of PostgreSQL. Those of the last line, and a program's own, decide what row-level security lets a query see.
SETTINGS = (
    *("search_path", "bytea_output", "extra_float_digits", "lc_monetary", "lc_numeric", "lc_time"),
    *("xmlbinary", "xmloption", "default_text_search_config", "transform_null_equals", "array_nulls"),
    *("role", "session_authorization", "row_security"),
)
REPORTED = (b"TimeZone", b"DateStyle", b"IntervalStyle")  # by the server, with the answer to what has changed them
OWN_NAME = re.compile(r"\b[a-z_]\w*(?:\.\w+)+", re.IGNORECASE)  # of a setting that a program or an extension has made
KEY_BYTES = 8


class Session:
    """What is known of one connection's session. `key` is made of its settings."""

    def __init__(self, connection: "CachedConnection") -> None:
        self.connection = connection
        self.begin(())

    def begin(self, values: tuple[Any, ...]) -> None:
        """Take note of the settings that a new session has."""
        self.commits_unflushed = False  # it may have been told to, for a transaction or for longer
        self.is_private = False  # it has tables, or a way to compare, that no setting tells of
        self._names: tuple[str, ...] = SETTINGS
        self._values: tuple[Any, ...] | None = values
        self._reported = self.connection.reported_settings()
        self._in_transaction = False  # something was set in the open one, whose end may take it back
        self.is_snapshot = False  # the open transaction may see one, as a statement has set its isolation
        self.key = self.first_key = self._digest()

    def note_statement(self, statement: RawStatement, text: str, parameters: Any) -> None:
        """Take note of a raw statement that was run."""
        given = strings_in(parameters) if statement.sets else []
        self._note_isolation(statement, given)
        if statement.sets:
            self.note_set(text, given)
        if statement.takes_back:
            self.transaction_ended()
        self.is_private = self.is_private or statement.makes_private

    def _note_isolation(self, statement: RawStatement, given: Sequence[str]) -> None:
        """Take note that transactions may see snapshots from now on: this one, or all that follow."""
        sets_default = statement.sets_session or any("transaction_isolation" in name.lower() for name in given)
        if sets_default:
            self.connection.forget_isolation()
        if (sets_default or statement.sets_isolation) and self.connection.in_django_transaction():
            self.is_snapshot = True  # the default is not asked for before this one's end, which may take it back

    def note_set(self, text: str, given: Sequence[str]) -> None:
        """Take note of a statement that may have set something, by its text and the texts among its parameters."""
        parts = [part.lower() for part in (text, *given)]
        if any("synchronous_commit" in part for part in parts):
            self.commits_unflushed = True
        names = {name for part in parts for name in OWN_NAME.findall(part.replace('"', ""))}
        self._names = (*self._names, *sorted(names.difference(self._names)))
        self._values = None
        self._in_transaction = self._in_transaction or self.connection.in_transaction()

    def transaction_ended(self) -> None:
        """Take note that the end of a transaction, or of a savepoint, may have taken back what was set in it."""
        if self._in_transaction:
            self._values, self._in_transaction = None, self.connection.in_transaction()

    def is_known(self) -> bool:
        """Bring `key` up to date; return False where it can't be known, so that nothing is to be cached."""
        wrapper = self.connection.wrapper
        if self.is_private or wrapper.connection is None:
            return not self.is_private
        reported = self.connection.reported_settings()
        if reported is None or (self._values is not None and reported == self._reported):
            return True  # of a connection that was lost, as it last was
        if self._values is None:
            if wrapper.needs_rollback:
                return False
            try:
                values = self.connection.ask_settings(self._names)
            except InternalError:  # the transaction has failed: so will the caller's query
                return False
            self._keep_set(values)
        self._reported = reported
        self.key = self._digest()
        return True

    def _keep_set(self, values: tuple[Any, ...]) -> None:
        """Keep the values, without names that were none of a setting but looked so, such as a tenant's host."""
        found = dict(zip(self._names, values, strict=False))  # SQLite is asked for none
        own = sorted(name for name in found if name not in SETTINGS and found[name] is not None)
        self._names = (*SETTINGS, *own)
        self._values = tuple(found[name] for name in self._names) if found else ()

    def _digest(self) -> bytes:
        own = [(name, value) for name, value in zip(self._names, self._values or (), strict=False) if value]
        return blake2b(repr((own, self._reported)).encode(), digest_size=KEY_BYTES).digest()
