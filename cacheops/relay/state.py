"""What there is to tell of the relays of a database."""

from typing import Any, NamedTuple

from django.db import connections
from django.template.defaultfilters import filesizeformat

from cacheops.conf import conf
from cacheops.regions.direct_sql import query_driver
from cacheops.relay.publication import FOLLOWER, HOME, publication_of, slot_name

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
        bound = "" if self.left is None else f", which may grow by {filesizeformat(self.left)} more"
        kept = f"the log is kept back by {filesizeformat(self.held or 0)}{bound}"
        return f"{self.region}: {work}; {filesizeformat(self.behind or 0)} behind; {kept}."


def follower_in(region: str, primary: str) -> str | None:
    """Return the alias of a primary's replica that a region caches, None where it caches none."""
    own = (alias for alias, of in conf.all_followers.items() if of == primary)
    return next((alias for alias in own if region in conf.regions_of(alias)), None)


def regions_told(database: str) -> list[str]:
    """Return the regions that cache a database, or a replica of it."""
    return [name for name in conf.regions if name in conf.regions_of(database) or follower_in(name, database)]


def state_of(database: str, region: str) -> RelayState:
    """Return how a region's relay is."""
    connection: Any = connections[database]
    kind = HOME if region in conf.regions_of(database) else FOLLOWER
    if connection.vendor != "postgresql" or publication_of(connection) is None:
        return RelayState(region, False)
    rows = query_driver(connection, STATE_SQL, [slot_name(database, region, kind)])
    if not rows:
        return RelayState(region, True)
    active, status, behind, held, left = rows[0]
    return RelayState(region, True, True, active, status == "lost", behind, held, left)
