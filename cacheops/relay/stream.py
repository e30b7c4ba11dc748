"""The stream of a logical replication slot, by PostgreSQL's replication protocol.

https://www.postgresql.org/docs/current/protocol-replication.html
"""

import select
import struct
import time
from collections.abc import Iterator
from contextlib import suppress
from typing import Any, NamedTuple, Self

import psycopg
from psycopg import pq

STOP_SECONDS = 2.0  # for the server to end a stream
STATUS_SECONDS = 5.0  # between two reports of how far we are; wal_sender_timeout is 60 by default
EPOCH = 946_684_800  # PostgreSQL's, 2000-01-01, in Unix seconds

_DATA = struct.Struct(">cQQQ")  # w: the LSN at which it begins, the end of the log, the server's clock
_KEEPALIVE = struct.Struct(">cQQB")  # k: the end of what was sent, the server's clock, whether it waits for a report
_STATUS = struct.Struct(">cQQQQB")  # r: written, flushed, applied, our clock, whether we wait for an answer


class System(NamedTuple):
    """Which server it is, and on which timeline."""

    identifier: str
    timeline: int


class LogStream:
    """One replication connection. Raise psycopg's errors where it is lost, or refused."""

    def __init__(self, conninfo: str) -> None:
        self._connection = psycopg.connect(conninfo, autocommit=True, replication="database")
        self._pgconn = self._connection.pgconn
        self._confirmed = 0
        self._reported_at = 0.0
        self._is_started = False
        self.sent = 0  # LSN: every commit before it has been received

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        if error[0] is None and self._is_started:
            with suppress(psycopg.Error):
                self._stop()
        self._connection.close()

    def system(self) -> System:
        """Return what the server says of itself, before the stream is started."""
        row: Any = self._connection.execute("IDENTIFY_SYSTEM").fetchone()
        return System(row[0], int(row[1]))

    def start(self, slot: str, publication: str, confirmed: int) -> None:
        """Start at what the slot has confirmed."""
        options = f"proto_version '1', publication_names '{publication}', messages 'true'"
        result = self._pgconn.exec_(f"START_REPLICATION SLOT {slot} LOGICAL 0/0 ({options})".encode())
        if result.status != pq.ExecStatus.COPY_BOTH:
            raise psycopg.OperationalError(result.error_message.decode(errors="replace").strip())
        self._confirmed, self._is_started = confirmed, True

    def _stop(self) -> None:
        """Report, end the stream, and wait until the server has let the slot go: another may want it at once."""
        self.report(now=True)
        self._pgconn.put_copy_end()
        self._pgconn.flush()
        deadline = time.monotonic() + STOP_SECONDS
        while (length := self._pgconn.get_copy_data(1)[0]) >= 0:
            left = deadline - time.monotonic()
            if length == 0 and (left <= 0 or not self._wait(left)):
                return

    def receive(self, seconds: float, most: int) -> Iterator[bytes]:
        """Yield the plugin's messages that are there, up to `most`, waiting so many seconds for the first one."""
        for _ in range(most):
            length, data = self._pgconn.get_copy_data(1)
            if length == 0:
                if not self._wait(seconds):
                    return
                seconds = 0
                continue
            if length < 0:
                error = self._pgconn.get_result()
                text = error.error_message.decode(errors="replace").strip() if error else ""
                raise psycopg.OperationalError(text or "the server has ended the stream")
            if data[:1] == b"w":
                yield bytes(data[_DATA.size :])
            else:
                self._keepalive(data)

    def _wait(self, seconds: float) -> bool:
        """Wait for bytes; return whether there are some."""
        self.report(now=False)
        ready, _, _ = select.select([self._pgconn.socket], [], [], seconds)
        if ready:
            self._pgconn.consume_input()
        return bool(ready)

    def _keepalive(self, data: memoryview) -> None:
        _, sent, _, waits = _KEEPALIVE.unpack_from(data)
        self.sent = max(self.sent, sent)
        if waits:
            self.report(now=True)

    def confirm(self, lsn: int) -> None:
        """Have the slot forget what lies before an LSN: with the next report, or when it is asked."""
        self._confirmed = max(self._confirmed, lsn)

    def report(self, *, now: bool) -> None:
        """Tell the server what is confirmed, at once or where it is time to."""
        moment = time.monotonic()
        if not now and moment - self._reported_at < STATUS_SECONDS:
            return
        self._reported_at = moment
        clock = int((time.time() - EPOCH) * 1_000_000)
        self._pgconn.put_copy_data(_STATUS.pack(b"r", *[self._confirmed] * 3, clock, 0))
        self._pgconn.flush()
