"""The heartbeat of a follower's relay: notes that are put into the primary's log, and not waited for.

The primary may be a country away, and changes that come in meanwhile are not to wait for its answer. So the notes go
over a connection of their own, one at a time.
"""

import select
import time
from typing import Any, Self

import psycopg
from psycopg import pq

ANSWER_SECONDS = 10.0  # after which a primary that has not answered counts as lost
SQL = b"SELECT pg_logical_emit_message(true, $1, $2)"


class Heartbeat:
    """Raise psycopg's errors where the primary is lost, or refuses a note."""

    def __init__(self, conninfo: str, prefix: str) -> None:
        self._connection = psycopg.connect(conninfo, autocommit=True)
        self._pgconn = self._connection.pgconn
        self._prefix = prefix.encode()
        self._sent_at: float | None = None  # of a note that is not answered (monotonic)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: Any) -> None:
        self._connection.close()

    def is_free(self) -> bool:
        """Return whether the last note was answered."""
        if self._sent_at is None:
            return True
        self._pgconn.consume_input()
        while not self._pgconn.is_busy():
            result = self._pgconn.get_result()
            if result is None:
                self._sent_at = None
                return True
            if result.status != pq.ExecStatus.TUPLES_OK:
                raise psycopg.OperationalError(result.error_message.decode(errors="replace").strip())
        if time.monotonic() - self._sent_at > ANSWER_SECONDS:
            raise psycopg.OperationalError(f"the primary has not answered a heartbeat for {ANSWER_SECONDS:g} s")
        return False

    def send(self, note: str) -> None:
        """Send a note, once the last one was answered."""
        while not self.is_free():
            select.select([self._pgconn.socket], [], [], ANSWER_SECONDS)
        self._pgconn.send_query_params(SQL, [self._prefix, note.encode()])
        self._pgconn.flush()
        self._sent_at = time.monotonic()
