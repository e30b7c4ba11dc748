"""How far what follows a database's write-ahead log is behind it, in seconds and bytes: a replica, a region's relay.

No two clocks are compared. The end of the log is noted with the time at which it was known; what a replica shows is as
old as the newest such end that it has replayed. The end is told by the replica's receiver, which costs no way to
another region, and was known when that last heard the primary: within half of CACHEOPS_MAX_LAG, as it notices a link
that is cut or frozen by wal_receiver_timeout only, a minute by default. Before a replica counts as too far behind, or
where the caller is not in a hurry, the primary itself is asked.
"""

import math
import threading
import time
from collections import deque
from typing import Any, NamedTuple

from django.db import DatabaseError, InterfaceError, connections

from cacheops.conf import conf
from cacheops.engine import Component, register_component
from cacheops.exceptions import StoreError
from cacheops.instrumentation.minute_log import minute_log
from cacheops.regions.database_away import away_databases
from cacheops.regions.direct_sql import query_driver
from cacheops.regions.position import PAUSE_SECONDS, Position, lsn_digits, note_untold, told_position

FRESH_SECONDS = 1.0  # for how long a process goes by what it has measured; a quarter of CACHEOPS_MAX_LAG at most
WAIT, PRIMARY_WAIT = 0.02, 0.2  # seconds for which a replica may take to show the end, as it would with each commit
MAX_NOTED = 100  # ends that a replica has not reached: of a longer wait, the times in between are not needed

# A receiver's row is there for every role, its columns for pg_read_all_stats only: to another role it counts as silent,
# as where there is none. A running primary is heard with each commit, and so with each heartbeat of a relay.
REPLICA_SQL = """
SELECT pg_last_wal_replay_lsn()::text, received, silence
FROM (SELECT 1) one LEFT JOIN (
    SELECT GREATEST(latest_end_lsn, pg_last_wal_receive_lsn(), pg_last_wal_replay_lsn())::text AS received,
           EXTRACT(EPOCH FROM clock_timestamp() - last_msg_receipt_time)::float8 AS silence
    FROM pg_stat_wal_receiver
) heard ON silence < %s
WHERE pg_is_in_recovery()
"""


class Lag(NamedTuple):
    """What a follower of the log lacks."""

    seconds: float  # 0 where it lacks nothing that is known, else its age
    bytes: int  # of the log, to the last end that is known
    age: float  # seconds since the newest moment whose commits it is known to show; infinite where none is

    @property
    def is_known(self) -> bool:
        """Return whether there is a moment that it was seen to show."""
        return math.isfinite(self.age)


UNKNOWN = Lag(math.inf, 0, math.inf)


def fresh_seconds() -> float:
    """Return for how long a process goes by what it has measured."""
    return min(FRESH_SECONDS, conf.max_lag / 4)


def is_too_far(lag: Lag) -> bool:
    """Return whether what was measured may be older than CACHEOPS_MAX_LAG before it is measured again."""
    return lag.age > conf.max_lag - fresh_seconds()


def ask_primary(alias: str) -> Position | None:
    """Return how far a primary is; None where it does not tell. While it is away one caller a second asks."""
    if not away_databases.may_ask(alias):
        return None
    try:
        position = told_position(alias)
    except (DatabaseError, InterfaceError) as error:
        if not away_databases.is_served_without(alias, error):
            note_untold(alias, error)
        return None
    away_databases.answered(alias)
    return position


class LagMeter(Component):
    """The lags of this process's replicas, by alias."""

    what = "Replica"

    def __init__(self) -> None:
        self.clocks: dict[str, LagClock] = {}
        self._lock = threading.Lock()

    def settings_changed(self) -> None:
        self.clocks.clear()

    def measured(self, replica: str, primary: str | None = None) -> Lag | None:
        """Return an alias's lag as last measured, as long as that is fresh; ask where it is not.

        Where it would be too far behind, the primary behind another alias is asked as well, if one is given.
        None where the server is no streaming replica of PostgreSQL; infinite where it does not answer.
        """
        clock = self._clock(replica)
        if time.monotonic() < clock.fresh_until:
            return clock.lag
        lag = self.measure(replica)
        if primary is not None and lag is not None and is_too_far(lag):
            lag = self.measure(replica, primary)
        return lag

    def measure(self, replica: str, primary: str | None = None) -> Lag | None:
        """Ask an alias's server, and the primary behind another alias for the end of its log, if one is given."""
        clock = self._clock(replica)
        clock.fresh_until = time.monotonic() + fresh_seconds()  # others go by the last one meanwhile
        try:
            clock.lag = self._measure(clock, replica, primary)
        except (DatabaseError, InterfaceError, StoreError) as error:
            minute_log.warning((self.what, replica), "%s %s does not tell how far it is: %s", self.what, replica, error)
            connections[replica].close_if_unusable_or_obsolete()
            clock.lag = UNKNOWN
        return clock.lag

    def _measure(self, clock: "LagClock", replica: str, primary: str | None) -> Lag | None:
        wrapper: Any = connections[replica]
        if wrapper.vendor != "postgresql":
            return None
        known_at = time.monotonic()
        known = ask_primary(primary) if primary else None
        end = known.lsn if known else None
        deadline = time.monotonic() + (PRIMARY_WAIT if primary else WAIT)
        while rows := query_driver(wrapper, REPLICA_SQL, [conf.max_lag / 2]):
            shown, received, silence = rows[0]
            if end is None and primary is None and received:
                end, known_at = lsn_digits(received), known_at - silence
            lag = clock.note(known_at, end, lsn_digits(shown))
            if end is None or not lag.seconds or time.monotonic() > deadline:
                return lag
            time.sleep(PAUSE_SECONDS)
        return None

    def last(self) -> dict[str, Lag]:
        """Return what was measured last, by alias."""
        return {alias: clock.lag for alias, clock in self.clocks.items() if clock.lag is not None}

    def newest_end(self, replica: str) -> tuple[float, str] | None:
        """Return the end of the log that was noted last, after the time at which it was known (monotonic)."""
        return self._clock(replica).newest_end

    def _clock(self, replica: str) -> "LagClock":
        with self._lock:
            return self.clocks.setdefault(replica, LagClock())


class LagClock:
    """When a follower of the log was last known to show all there was."""

    def __init__(self) -> None:
        self.lag: Lag | None = None  # as last measured
        self.fresh_until = 0.0
        self.newest_end: tuple[float, str] | None = None
        self._whole_at = -math.inf
        self._ends: deque[tuple[float, str]] = deque()  # (when it was known, the end of the log): not reached yet
        self._lock = threading.Lock()

    def note(self, at: float, end: str | None, shown: str) -> Lag:
        """Return the lag, by an end of the log, None where nobody tells it, and by what is shown later."""
        with self._lock:
            if end is not None:
                self.newest_end = at, end
            if end is not None and (not self._ends or self._ends[-1][1] < end):
                if len(self._ends) >= MAX_NOTED:
                    self._ends.pop()
                self._ends.append((at, end))
            newest = self._ends[-1][1] if self._ends else shown
            while self._ends and self._ends[0][1] <= shown:
                self._whole_at = max(self._whole_at, self._ends.popleft()[0])
            if end is not None and end <= shown:
                self._whole_at = max(self._whole_at, at)
            is_whole = end is not None and not self._ends
            age = time.monotonic() - self._whole_at
            return Lag(0.0 if is_whole else age, max(int(newest, 16) - int(shown, 16), 0), age)


lag_meter = register_component(LagMeter())
