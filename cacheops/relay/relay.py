"""The relay of a home region: brings what the log tells of to the region's servers, in the log's order.

A commit is in the log before it is visible. So the relay waits until it is, and then invalidates (R29): whoever loads
from then on loads what is new, and whoever has leased before fills in vain. Only then is the commit confirmed to the
slot, which sends everything again that is not.
"""

import time
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack, suppress
from typing import Any, Self

from django.db import DatabaseError, InterfaceError, connections
from psycopg.conninfo import make_conninfo
from psycopg.pq import Conninfo

from cacheops.conf import conf
from cacheops.databases import name_of, table_keys
from cacheops.exceptions import RelayInterrupted, RelayRefused, StoreUnavailable, Unconfirmed
from cacheops.orm.schema import is_tracked, models_by_table
from cacheops.protocol.keys import RELAY, TableKeys
from cacheops.regions import Region
from cacheops.regions.direct_sql import query_driver
from cacheops.relay.commits import CommitReader, LoggedCommit, note_prefix
from cacheops.relay.pgoutput import Relation
from cacheops.relay.publication import PUBLICATION, publication_of, slot_name
from cacheops.relay.schema_changes import cached_tables
from cacheops.relay.stream import LogStream
from cacheops.relay.values import RowLoader, full_xids
from cacheops.stores.base import EncodedEntry, MarkedTable

BATCH = 10_000  # messages of the log brought to the region at once
RECORD_SECONDS = 30 * 86400.0  # for which a region remembers how far it is; one that has forgotten it forgets all
VISIBLE_SECONDS = 0.0005  # between two looks whether a commit is visible: it is in well under a millisecond
TRIES = 5  # of an invalidation during which connections to the region's servers were lost

LOCK_SQL = "SELECT pg_try_advisory_lock(hashtext('cacheops relay'), hashtext(%s))"
UNLOCK_SQL = LOCK_SQL.replace("try_advisory_lock", "advisory_unlock")
SLOT_SQL = """
    SELECT (confirmed_flush_lsn - '0/0')::bigint, coalesce(wal_status, '') FROM pg_replication_slots
    WHERE slot_name = %s
"""
ROOT_SQL = "SELECT relname::text FROM pg_class WHERE oid = coalesce(pg_partition_root(%s::oid), %s::oid)"


class Relay:
    """One turn of a relay, from its lock to its end or to the first error: whoever goes on makes another.

    Raise StoreError where the region does not answer, the errors of Django and of psycopg where the database does not,
    RelayInterrupted where it must begin anew, RelayRefused where it can't work.
    """

    def __init__(self, region: Region, database: str) -> None:
        self.region = region
        self.store = region.store
        self.database = database
        self.connection: Any = connections[database]
        self.slot = slot_name(database, region.name)
        self.marking_region = region.name  # for which writers say in the log what they have marked
        self._record = TableKeys.of(conf.prefix, RELAY, name_of(database)).entry("position")
        self._publication = 0  # its OID: one that was made anew has left out what was committed in between
        self._history = ""  # the server's identifier, its timeline, and the publication
        self._position = 0  # LSN: the region was told of all before it
        self._open = ExitStack()

    def _keys(self, table: str) -> TableKeys:
        return table_keys(self.database, table)

    def try_turn(self) -> bool:
        """Return whether it is this relay's turn: no other one is at work for this region."""
        return bool(query_driver(self.connection, LOCK_SQL, [self.slot])[0][0])

    def __enter__(self) -> Self:
        """Begin where the slot is. Raise RelayRefused without a publication."""
        publication = publication_of(self.connection)
        if publication is None:
            raise RelayRefused("Nothing is published: run `manage.py relay --install` first.")
        with ExitStack() as opening:
            self._connect(replication_conninfo(self.connection), opening)
            system = self.stream.system()
            self._publication = publication
            self._history = f"{system.identifier}-{system.timeline:08X}-{publication}"
            confirmed = self._resume()
            self.stream.start(self.slot, PUBLICATION, confirmed)
            self._commits = CommitReader(self.marking_region, self.slot, self._names_of)
            self._loader = RowLoader(self.connection.connection)
            self._open = opening.pop_all()
        return self

    def _connect(self, conninfo: str, opening: ExitStack) -> None:
        """Make the turn's own connections."""
        self.stream = opening.enter_context(LogStream(conninfo))

    def __exit__(self, *error: object) -> None:
        """End the turn; of a connection that is lost, the server ends it."""
        self._open.close()
        with suppress(DatabaseError, InterfaceError):
            query_driver(self.connection, UNLOCK_SQL, [self.slot])

    # --- the slot, and how far the region is --------------------------------------------------------------------------

    def _resume(self) -> int:
        """Return from where the slot sends; make it, and have the region forget, where that is not what it needs."""
        rows = query_driver(self.connection, SLOT_SQL, [self.slot])
        history, _, reached = (self.store.read([self._record])[0] or b"").decode().rpartition("-")
        if rows and rows[0][1] != "lost" and history == self._history and int(reached, 16) >= rows[0][0]:
            return int(rows[0][0])
        start = self._new_slot(is_there=bool(rows))
        self._surely(self.forget)  # R26: what is committed from here on, the slot sends
        self._surely(lambda: self._note_position(start))
        return start

    def _new_slot(self, *, is_there: bool) -> int:
        """Make the slot, in place of one that is there; return the LSN from which on it sends."""
        if is_there:
            query_driver(self.connection, "SELECT pg_drop_replication_slot(%s)", [self.slot])
        sql = "SELECT (lsn - '0/0')::bigint FROM pg_create_logical_replication_slot(%s, 'pgoutput')"
        start: int = query_driver(self.connection, sql, [self.slot])[0][0]
        return start

    def _note_position(self, lsn: int) -> None:
        payload = f"{self._history}-{lsn:016X}".encode()
        self.store.fill([EncodedEntry(self._record, payload, RECORD_SECONDS)]).result()

    def forget(self) -> None:
        """Make every entry of the database a miss."""
        self.store.invalidate([self._whole(table) for table in models_by_table() if is_tracked(table)])

    # --- the log ------------------------------------------------------------------------------------------------------

    def work(self, seconds: float) -> list[str]:
        """Bring what the log holds to the region, waiting so long for the first of it; return the notes among it."""
        commits = [commit for data in self.stream.receive(seconds, BATCH) if (commit := self._commits.feed(data))]
        if commits:
            self._advance(commits[-1].end_lsn, commits)
        elif self._commits.is_between and self.stream.sent > self._position:
            self._advance(self.stream.sent, ())
        return [note for commit in commits for note in commit.notes]

    def send_note(self) -> str:
        """Put a note into the log, and return it: what was committed before is told when it comes back."""
        note = uuid.uuid4().hex
        self._send(note)
        return note

    def _send(self, note: str) -> None:
        query_driver(self.connection, "SELECT pg_logical_emit_message(true, %s, %s)", [note_prefix(self.slot), note])

    def work_until(self, note: str) -> None:
        """Bring all that was committed before a note to the region."""
        while note not in self.work(1.0):
            pass
        self.stream.report(now=True)

    def _check_publication(self, lsn: int) -> None:
        """Raise RelayInterrupted where it is gone, or another, by an LSN: the server may have left out some of it."""
        if publication_of(self.connection) != self._publication:
            raise RelayInterrupted("The publication was dropped, or made anew.")

    def _names_of(self, relation: Relation) -> Sequence[str] | None:
        """Return the cached tables that a relation stands for; None where it is not known."""
        rows = query_driver(self.connection, ROOT_SQL, [relation.oid, relation.oid])
        return cached_tables(rows[0][0] if rows else relation.name)

    # --- what is invalidated ------------------------------------------------------------------------------------------

    def _advance(self, lsn: int, commits: Sequence[LoggedCommit]) -> None:
        """Tell of all commits before an LSN, and note it, in the region first: a slot behind it sends again."""
        self._check_publication(lsn)
        self._tell(lsn, commits)
        self._position = lsn
        self.stream.confirm(lsn)

    def _tell(self, lsn: int, commits: Sequence[LoggedCommit]) -> None:
        """Invalidate what commits outdate, then note in the region how far it is."""
        if commits:
            self._wait_visible([commit.xid for commit in commits])
            self._surely(lambda: self._invalidate(commits))
        self._note_position(lsn)

    def _wait_visible(self, lower: Sequence[int]) -> None:
        """Wait until every snapshot that is taken from now on sees these commits."""
        while True:
            snapshot = query_driver(self.connection, "SELECT pg_current_snapshot()::text")[0][0]
            _, newest, running = snapshot.split(":")
            waiting = {int(xid) for xid in running.split(",") if xid}
            if all(xid < int(newest) and xid not in waiting for xid in full_xids(lower, int(newest))):
                return
            self.stream.report(now=False)
            time.sleep(VISIBLE_SECONDS)

    def _invalidate(self, commits: Sequence[LoggedCommit]) -> None:
        if any(commit.is_unknown for commit in commits):
            self.forget()
            return
        tables = {table for commit in commits for table in commit.tables}
        # Schemes are read behind the commits: one that comes later is loaded later, too.
        outdated = [self._outdated(table, commits, self.store.schemes(self._keys(table))) for table in tables]
        needed = [each for each in outdated if each.whole or each.tags]
        if needed:
            self.store.invalidate(needed)

    def _outdated(self, table: str, commits: Iterable[LoggedCommit], schemes: frozenset[str]) -> MarkedTable:
        tags = self._loader.outdated(table, commits, schemes)
        return self._whole(table) if tags is None else MarkedTable(self._keys(table), tags)

    def _whole(self, table: str) -> MarkedTable:
        return MarkedTable(self._keys(table), frozenset(), whole=True)

    def _surely(self, act: Callable[[], None]) -> None:
        """Act on one connection to each server, and see that its replicas hold what was done."""
        for _ in range(TRIES):
            epoch = self.store.epoch
            with self.region.guard(urgent=True):
                act()
                if not self.store.replicated():
                    raise Unconfirmed(f"{self.region.name}: too few replicas confirmed an invalidation in time.")
            if self.store.epoch == epoch:
                return
        raise StoreUnavailable(f"Region {self.region.name} has lost its connection {TRIES} times in a row.")


def replication_conninfo(connection: Any) -> str:
    """Return how to reach the server of a Django connection for a stream, whose texts are PostgreSQL's own."""
    known = {option.keyword.decode() for option in Conninfo.get_defaults()}
    given: Mapping[str, Any] = connection.get_connection_params()
    parameters = {name: value for name, value in given.items() if name in known and value is not None}
    options = f"{parameters.get('options', '')} -c DateStyle=ISO -c IntervalStyle=postgres -c TimeZone=UTC".strip()
    return make_conninfo("", **{**parameters, "options": options})
