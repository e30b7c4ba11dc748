"""The relay of a follower region: invalidates what its replica caches, and says how far it is.

All keys of a table lie in one slot, so one script invalidates its tags and publishes its position (R24): whatever is
restored, replaced or handed over has both or neither. It publishes over what this relay has written last alone; else
it begins anew, and forgets the tables that are behind its slot (R25). No replica of the servers is waited for. What is
published counts until a moment of the server's own clock (R35): a relay may stand still between any two lines of this.
"""

import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from typing import Any

from django.db import connections

from cacheops.conf import conf
from cacheops.databases import follower_name
from cacheops.exceptions import RelayInterrupted, RelayRefused
from cacheops.orm.schema import is_tracked, models_by_table, tables_by_lower_name
from cacheops.protocol.keys import TableKeys
from cacheops.regions import Region
from cacheops.regions.direct_sql import query_driver
from cacheops.regions.position import Position, shown_positions
from cacheops.relay.commits import LoggedCommit, note_prefix
from cacheops.relay.heartbeat import Heartbeat
from cacheops.relay.publication import FOLLOWER, members_of, slot_name
from cacheops.relay.relay import SLOT_SQL, Relay
from cacheops.stores.base import MarkedTable
from cacheops.stores.scripts import FOLLOW, REACHED, Command

BEATS = 4  # heartbeats while a position counts
REPLAY_SECONDS = 0.1  # for the replica to replay what is told: to ask a primary that is far would take as long
LOOK_SECONDS = 5.0  # between two looks at a replica that does not say how far it is
END_SQL = "SELECT (pg_current_wal_insert_lsn() - '0/0')::bigint"


class FollowerRelay(Relay):
    """One turn of the relay that tells a region of the log behind a replica, read from the primary."""

    def __init__(self, region: Region, database: str, follower: str) -> None:
        super().__init__(region, database)
        transport = self.store.transport([FOLLOW.source, REACHED.source])
        if transport is None:
            raise RelayRefused(f"{region.name!r} is on no Redis servers, on which alone a position can be published.")
        self.slot = slot_name(database, region.name, FOLLOWER)
        self.marking_region = ""  # who marks here knows nothing of followers, and has marked the primary's keys
        self._transport = transport
        self._follower = follower
        self._name = follower_name(follower, database)
        self._members: dict[str, int] = {}  # of the publication
        self._next_look = 0.0  # at the replica (monotonic)
        self._histories: dict[str, str] = {}  # by table: what its record begins with
        self._last: dict[str, str] = {}  # by table: what this relay has noted last, or has found
        self._schemes: dict[str, frozenset[str]] = {}  # by table, as last heard
        self._beats: dict[str, float] = {}  # notes that have not come back: when they were sent (monotonic)
        self._next_beat = 0.0
        self._counts_until = 0.0  # by when another heartbeat must have come back (monotonic)
        # By table: seconds by which its server's clock is ahead of the monotonic one.
        self._ahead: dict[str, float] = {}

    def _keys(self, table: str) -> TableKeys:
        return TableKeys.of(conf.prefix, self._name, table)

    # --- how old a position may be ------------------------------------------------------------------------------------

    def _connect(self, conninfo: str, opening: ExitStack) -> None:
        super()._connect(conninfo, opening)
        self._heartbeat = opening.enter_context(Heartbeat(conninfo, note_prefix(self.slot)))

    def _send(self, note: str) -> None:
        sent_at = time.monotonic()
        self._heartbeat.send(note)  # is not waited for: the primary may be a country away
        self._beats[note], self._next_beat = sent_at, sent_at + conf.max_lag / BEATS

    def work(self, seconds: float) -> list[str]:
        if self._heartbeat.is_free() and time.monotonic() >= self._next_beat:
            self.send_note()
        return super().work(min(seconds, conf.max_lag / BEATS))

    def _hear(self, notes: Iterable[str]) -> None:
        """Take note of the heartbeats that have come back: all that was committed before they were sent is told."""
        for note in notes:
            sent_at = self._beats.pop(note, None)
            if sent_at is not None:
                self._counts_until = max(self._counts_until, sent_at + conf.max_lag)

    # --- the slot, and how far each table is --------------------------------------------------------------------------

    def _resume(self) -> int:
        """Return from where the slot sends; make it where there is none; forget the tables that are behind it."""
        rows = query_driver(self.connection, SLOT_SQL, [self.slot])
        self._members = members_of(self.connection)
        self._histories = self._history_of_each()
        tables = list(self._histories)
        self._withdraw(table for table in models_by_table() if is_tracked(table) and table not in self._histories)
        has_slot = bool(rows) and rows[0][1] != "lost"
        # R26: what is committed from here on, the slot sends.
        start = int(rows[0][0]) if has_slot else self._new_slot(is_there=bool(rows))
        found = self._run([REACHED.command([self._keys(table).followed]) for table in tables])
        for table, (held, clock) in zip(tables, found, strict=True):
            self._last[table] = held.decode()
            self._note_clock(table, clock)
        # What was written to a table before it was published is in no stream: it is as far as the log was behind that.
        new = [table for table in tables if not self._is_at(table, 0)]
        self._publish(query_driver(self.connection, END_SQL)[0][0], {table: self._whole(table) for table in new}, new)
        behind = [table for table in tables if not self._is_at(table, start)]
        self._publish(start, {table: self._whole(table) for table in behind}, behind)
        return start

    def _withdraw(self, tables: Iterable[str]) -> None:
        """Vouch no more for tables that are not published, or not any more: at once, before their positions end."""
        with self.region.guard(urgent=True):
            self.store.delete([self._keys(table).position for table in tables])

    def _history_of_each(self) -> dict[str, str]:
        """Return, for each table that is published, what its record begins with: another, if it was published anew."""
        server = self._history.rpartition("-")[0]
        known = tables_by_lower_name()
        names = {known.get(relation.lower()): oid for relation, oid in self._members.items()}
        return {name: f"{server}-{oid}" for name, oid in names.items() if name and is_tracked(name)}

    def _check_publication(self, lsn: int) -> None:
        # The primary may be a country away: the region's own replica knows as well, once it shows as much.
        connection = connections[self._follower] if self._is_shown(lsn) else self.connection
        if members_of(connection) != self._members:
            raise RelayInterrupted("A table was published, or is published no more.")

    def _is_shown(self, lsn: int) -> bool:
        """Return whether the replica shows what was committed before an LSN, or does in a moment."""
        if self._follower not in connections.settings or time.monotonic() < self._next_look:
            return False
        system, timeline, _ = self._history.split("-")
        end = Position(system, int(timeline, 16), f"{lsn:016X}")
        is_shown = shown_positions.show(self._follower, [end], REPLAY_SECONDS)
        if shown_positions.last(self._follower) is None:  # it does not answer, or a pooler may lead to another one
            self._next_look = time.monotonic() + LOOK_SECONDS
            return False
        return is_shown

    def _is_at(self, table: str, lsn: int) -> bool:
        """Return whether a table is known to be as far as an LSN."""
        history, _, reached = self._last[table].rpartition("-")
        return history == self._histories[table] and int(reached, 16) >= lsn

    # --- what is told -------------------------------------------------------------------------------------------------

    def _tell(self, lsn: int, commits: Sequence[LoggedCommit]) -> None:
        self._hear(note for commit in commits for note in commit.notes)
        changed = {table for commit in commits for table in commit.tables}
        behind = [table for table in self._last if not self._is_at(table, lsn)]
        if any(commit.is_unknown for commit in commits):
            changed = set(behind)
        behind.sort(key=lambda table: table not in changed)  # whose readers wait: the servers answer in this order
        while behind:
            marked = {table: self._marked(table, commits) for table in behind if table in changed}
            behind = self._publish(lsn, marked, behind)

    def _marked(self, table: str, commits: Sequence[LoggedCommit]) -> MarkedTable:
        """Return what commits outdate in one table, by its schemes as last heard."""
        if any(commit.is_unknown for commit in commits):
            return self._whole(table)
        schemes = self._schemes.get(table)
        if schemes is None:
            return MarkedTable(self._keys(table), frozenset())  # the answer tells them
        found = self._outdated(table, commits, schemes)
        return self._whole(table) if found.whole or len(found.tags) > 2 * conf.max_marks else found

    def _publish(self, lsn: int, marked: Mapping[str, MarkedTable], tables: Sequence[str]) -> list[str]:
        """Invalidate, and bring these tables to an LSN. Return those of which some schemes were not known yet.

        Raise RelayInterrupted where a table is not where this relay has left it.
        """
        records = {table: f"{self._histories[table]}-{lsn:016X}" for table in tables}
        answers = self._run(
            [
                self._command(each, record, self._until(each), self._last[each], marked.get(each))
                for each, record in records.items()
            ]
        )
        again = []
        for (table, record), answer in zip(records.items(), answers, strict=True):
            if answer == 0:
                raise RelayInterrupted(f"{table} is not where this relay left it: a server was restored or replaced.")
            if isinstance(answer, list):
                self._schemes[table] = frozenset(scheme.decode() for scheme in answer)
                again.append(table)
            else:
                self._last[table] = record
                self._note_clock(table, answer)
        return again

    def _run(self, commands: Sequence[Command]) -> list[Any]:
        with self.region.guard(urgent=True):
            return self._transport.run_many(commands, [command[3] for command in commands])

    def _note_clock(self, table: str, milliseconds: int) -> None:
        """Take note of a server's clock once its answer is here: it shows no less by now."""
        self._ahead[table] = milliseconds / 1000 - time.monotonic()

    def _until(self, table: str) -> int:
        """Return until when a position of a table counts, in milliseconds of its server's clock (R35)."""
        return int((self._counts_until + self._ahead[table]) * 1000)

    def _command(self, table: str, record: str, until: int, over: str, marked: MarkedTable | None = None) -> Command:
        """Return the call of lua/follow.lua for a table."""
        keys = self._keys(table)
        history, _, lsn = record.rpartition("-")
        system, timeline, _ = history.split("-")
        position = str(Position(system, int(timeline, 16), lsn))
        schemes = self._schemes.get(table, ())
        checked = [1, *schemes] if marked is not None and not marked.whole else [0]
        tags = [] if marked is None else marked.key_list()
        names = [keys.followed, keys.position, keys.registry, keys.generation, *tags]
        return FOLLOW.command(names, over, record, position, until, *checked)
