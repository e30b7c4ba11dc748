"""The switches of administrators, for every process of every region: pause a model; close a region's circuit.

They stand in the database that the processes share, as the queue's rows do: a region that is away could not pass
them on. A process looks for them with its cached reads, at most once a second, before it asks its region or breaker.
Invalidation does not look here: writes go on marking what is paused.
"""

import time
from collections.abc import Sequence

from django.db import DatabaseError, InterfaceError, connections

from cacheops.databases import name_of
from cacheops.engine import Component, register_component
from cacheops.instrumentation.minute_log import minute_log
from cacheops.protocol.keys import TableKeys
from cacheops.regions.database_away import away_databases
from cacheops.regions.direct_sql import query_uncounted
from cacheops.regions.region import regions
from cacheops.stores.base import TableTags

TABLE = "cacheops_control"
PAUSE, RESET = "pause", "reset"
LOOK_SECONDS = 1.0  # between two looks of a process: how late a pause may come
# The database's clock, in the form in which Django stores moments.
NOW = {"postgresql": "clock_timestamp()", "sqlite": "strftime('%Y-%m-%d %H:%M:%f', 'now')"}


class Switches(Component):
    """The switches as this process last read them."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Reset; the next read looks again."""
        self._paused: tuple[str, ...] = ()  # ends of keys' bases
        self._paused_in: dict[str, tuple[str, ...]] = {}  # by database
        self._next_look: dict[str, float] = {}
        self._applied: dict[str, int] = {}  # by database's name: the last reset that was done

    settings_changed = reset

    def is_paused(self, databases: Sequence[str], tables: Sequence[TableTags]) -> bool:
        """Return whether one of these tables is paused. Reads the switches of the databases, once a second."""
        now = time.monotonic()
        for database in databases:
            if self._next_look.get(database, 0.0) < now:
                self._next_look[database] = now + LOOK_SECONDS
                self._look(database)
        paused = self._paused
        return bool(paused) and any(table.keys.base.endswith(paused) for table in tables)

    def recheck(self) -> None:
        """Read the switches again at the next read: one was changed just now."""
        self._next_look.clear()

    def _look(self, database: str) -> None:
        connection = connections[database]
        if connection.needs_rollback:  # the query that follows fails anyway
            return
        if not away_databases.may_ask(database):
            return
        sql = f"SELECT id, kind, subject FROM {TABLE} WHERE until > {NOW[connection.vendor]} ORDER BY id"
        try:
            told = query_uncounted(database, TABLE, sql)
        except (DatabaseError, InterfaceError) as error:
            if connection.in_atomic_block:
                raise
            if not away_databases.is_served_without(database, error):
                minute_log.warning(("switches", database), "What administrators have told is not known: %s", error)
            return
        away_databases.answered(database)
        tables = [subject for _, kind, subject in told if kind == PAUSE]
        name = name_of(database)
        # A prefix may be another for each tenant: the ends of keys say the rest.
        self._paused_in[database] = tuple(TableKeys.of("", name, table).base for table in tables)
        self._paused = tuple(end for ends in self._paused_in.values() for end in ends)
        for key, kind, subject in told:
            if kind == RESET and key > self._applied.get(name, 0):
                self._applied[name] = key
                close_circuit(subject)


def close_circuit(name: str) -> bool:
    """Close this process's circuit of a region, so that the next read asks it; say whether it was open."""
    for region in regions:
        if region.name == name:
            region.outbox.recheck()
            return region.breaker.reset()
    return False


switches = register_component(Switches())
