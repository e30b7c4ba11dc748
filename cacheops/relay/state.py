"""What there is to tell of the relays of a database."""

from typing import Any, NamedTuple

from django.db import connections

from cacheops.regions.direct_sql import query_driver
from cacheops.relay.publication import HOME, publication_of, slot_name

STATE_SQL = """
    SELECT active, wal_status, pg_wal_lsn_diff(pg_current_wal_lsn(), confirmed_flush_lsn)::bigint,
           pg_wal_lsn_diff(pg_current_wal_lsn(), restart_lsn)::bigint, safe_wal_size
    FROM pg_replication_slots WHERE slot_name = %s
"""


class RelayState(NamedTuple):
    """One region's relay, by what its slot says. Bytes are of the log; None: it is not known."""

    region: str
    is_published: bool
    has_slot: bool = False
    is_active: bool = False
    is_lost: bool = False  # the server has thrown away what the slot had yet to send
    behind: int | None = None  # bytes that the region has not been told of
    held: int | None = None  # bytes that the server keeps for the slot
    left: int | None = None  # bytes until the slot is lost (max_slot_wal_keep_size)

    def words(self) -> str:
        """Return it as a sentence."""
        if not self.is_published:
            return f"{self.region}: not installed. Run `manage.py relay --install`."
        if not self.has_slot:
            return f"{self.region}: installed, and no relay has run yet. Run `manage.py relay --region {self.region}`."
        if self.is_lost:
            return f"{self.region}: its slot is lost; the next relay makes another, and forgets what the region holds."
        work = "a relay is at work" if self.is_active else "NO RELAY IS AT WORK, and the database keeps its log for it"
        bound = "" if self.left is None else f", which may grow by {in_bytes(self.left)} more"
        kept = f"the log is kept back by {in_bytes(self.held)}{bound}"
        return f"{self.region}: {work}; {in_bytes(self.behind)} behind; {kept}."


def state_of(database: str, region: str, kind: str = HOME) -> RelayState:
    """Return how a region's relay is."""
    connection: Any = connections[database]
    if publication_of(connection) is None:
        return RelayState(region, False)
    rows = query_driver(connection, STATE_SQL, [slot_name(database, region, kind)])
    if not rows:
        return RelayState(region, True)
    active, status, behind, held, left = rows[0]
    return RelayState(region, True, True, active, status == "lost", behind, held, left)


def in_bytes(size: int | None) -> str:
    """Return a size as people read it."""
    if size is None:
        return "an unknown size"
    for unit in ("bytes", "kB", "MB"):
        if size < 1000:
            return f"{size} {unit}"
        size = round(size / 1000)
    return f"{size} GB"
