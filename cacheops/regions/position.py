"""Positions in a PostgreSQL server's write-ahead log: how far a database was when somebody asked.

A position names the server's history (system identifier and timeline) and a place in it. A replica that has replayed
the place shows every commit before it.
https://www.postgresql.org/docs/current/functions-admin.html#FUNCTIONS-ADMIN-BACKUP
"""

import re
import time
from collections.abc import Sequence
from typing import Any, NamedTuple, Self
from weakref import WeakKeyDictionary

from django.db import DatabaseError, InterfaceError, connections

from cacheops.engine import Component, register_component
from cacheops.instrumentation.minute_log import minute_log
from cacheops.regions.direct_sql import query_driver

PAUSE_SECONDS = 0.002  # between two questions to a server that is waited for, once it has been asked at shorter ones
FIRST_PAUSE = 0.00025

TEXT = re.compile(r"([0-9]{1,20})-([0-9A-F]{8})-([0-9A-F]{16})")

# Of a primary, the end of what is flushed, or of what is inserted, where commits do not wait for the flush; of a
# replica, the end of what it has replayed. (A replica's control file may name its last timeline late, never early.)
SHOWN_SQL = """
SELECT system_identifier::text,
       CASE WHEN pg_is_in_recovery() THEN (SELECT min_recovery_end_timeline FROM pg_control_recovery())
            ELSE ('x' || left(pg_walfile_name(pg_current_wal_flush_lsn()), 8))::bit(32)::int END,
       CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn()
            WHEN %s OR current_setting('synchronous_commit') = 'off' THEN pg_current_wal_insert_lsn()
            ELSE pg_current_wal_flush_lsn() END::text
FROM pg_control_system()
"""


def lsn_digits(lsn: str) -> str:
    """Return an LSN such as "16/B374D848" as 16 hexadecimal digits, whose order is that of the places."""
    high, _, low = lsn.partition("/")
    return f"{int(high, 16):08X}{int(low, 16):08X}"


class Position(NamedTuple):
    """A place in the history of a database server."""

    system: str  # the system identifier, in decimal digits
    timeline: int
    lsn: str  # 16 hexadecimal digits

    @classmethod
    def of(cls, system: str, timeline: int, lsn: str) -> Self:
        """Return the position of an LSN as PostgreSQL writes it, such as "16/B374D848"."""
        return cls(system, timeline, lsn_digits(lsn))

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return the position of a text. Raise ValueError for one that is none."""
        found = TEXT.fullmatch(text)
        if found is None:
            raise ValueError(f"{text!r} is no position.")
        return cls(found[1], int(found[2], 16), found[3])

    def __str__(self) -> str:
        """Return its text; among those of one system, the largest is that of the newest."""
        return f"{self.system}-{self.timeline:08X}-{self.lsn}"

    def is_of_history(self, shown: "Position") -> bool:
        """Return whether a server that shows another position may have this one before it, now or later."""
        return self.system == shown.system and self.timeline >= shown.timeline

    def is_reached(self, shown: "Position") -> bool:
        """Return whether a server that shows another position shows all that was committed before this one."""
        return self[:2] == shown[:2] and self.lsn <= shown.lsn


class ShownPositions(Component):
    """What the servers behind this process's connections have shown: within one connection it only grows."""

    def __init__(self) -> None:
        self.by_connection: WeakKeyDictionary[Any, Position] = WeakKeyDictionary()

    def last(self, alias: str) -> Position | None:
        """Return what an alias's server has shown on this connection; None where a pooler may lead to another one.

        Poolers by transaction need DISABLE_SERVER_SIDE_CURSORS, by Django's documentation: it tells of them.
        """
        wrapper = connections[alias]
        if wrapper.connection is None or wrapper.settings_dict.get("DISABLE_SERVER_SIDE_CURSORS"):
            return None
        return self.by_connection.get(wrapper.connection)

    def ask(self, alias: str) -> Position | None:
        """Ask an alias's server, and remember it."""
        shown = ask_position(alias)
        if shown is not None:
            self.by_connection[connections[alias].connection] = shown
        return shown

    def show(self, alias: str, wanted: Sequence[Position], patience: float = 0.0) -> bool:
        """Return whether the server behind this thread's connection shows what was committed before these positions.

        `patience`: seconds to wait for it. One that does not say how far it is, is not waited for.
        """
        shown = self.last(alias)
        if shown is None or not _shows(shown, wanted):
            deadline, pause = time.monotonic() + patience, FIRST_PAUSE
            while (shown := self.ask(alias)) is not None and not _shows(shown, wanted):
                if time.monotonic() >= deadline:
                    return False
                time.sleep(pause)
                pause = min(2 * pause, PAUSE_SECONDS)
        return shown is not None


def _shows(shown: Position, wanted: Sequence[Position]) -> bool:
    return all(each.is_reached(shown) for each in wanted)


shown_positions = register_component(ShownPositions())


def ask_position(alias: str) -> Position | None:
    """Return how far an alias's server is now; None where it can't tell, or is away."""
    try:
        return told_position(alias)
    except (DatabaseError, InterfaceError) as error:
        note_untold(alias, error)
        return None


def note_untold(alias: str, error: Exception) -> None:
    """Log that a server does not answer, and end its connection where that is lost."""
    minute_log.warning(("position", alias), "Database %s does not tell its position: %s", alias, error)
    connections[alias].close_if_unusable_or_obsolete()


def told_position(alias: str) -> Position | None:
    """Return how far an alias's server is now: on a primary, behind all that this process has committed before.

    None where it can't tell: other databases than PostgreSQL, or within a transaction, whose commit is still to come.
    Raise Django's errors where it does not answer.
    """
    wrapper: Any = connections[alias]
    if wrapper.vendor != "postgresql" or wrapper.in_atomic_block:
        return None
    wrapper.ensure_connection()
    state = getattr(wrapper, "cacheops", None)
    is_unflushed = state is not None and state.session.commits_unflushed
    system, timeline, lsn = query_driver(wrapper, SHOWN_SQL, [is_unflushed])[0]
    return None if lsn is None or not timeline else Position.of(system, timeline, lsn)
