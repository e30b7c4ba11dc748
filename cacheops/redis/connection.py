"""A connection that is written and read without the driver's layers: they take half of the time of a short command.

The driver connects: addresses, TLS, names and passwords are its own. From then on only its socket is used, with
hiredis to pack commands and to parse answers, in the protocol RESP2.
"""

import os
import socket
import sys
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

import hiredis
from redis._parsers.base import BaseParser
from redis.exceptions import ConnectionError, RedisError, TimeoutError

Command = tuple[Any, ...]
OnReply = Callable[[list[Any]], None]

RECEIVE_BYTES = 65_536
WAKE = b"\r\n"  # no command, so without an answer; what comes in has a server look whose WAIT is over
WAKE_MARGIN = 0.002  # seconds that it is sent after that moment: servers count milliseconds
pack = hiredis.pack_command


class PendingReply:
    """Commands sent on one connection, and their answers: values, and errors as what they are."""

    __slots__ = ("_on_reply", "answers", "held_until", "size")

    def __init__(self, size: int, held_until: float = 0.0) -> None:
        self.size = size
        self.answers: list[Any] = []
        self.held_until = held_until  # monotonic: the server may hold the last answer back; 0.0 where it does not
        self._on_reply: OnReply | None = None

    def on_reply(self, callback: OnReply) -> None:
        """Report the answers to `callback`: now if they have been read, otherwise as soon as the last one is.

        Where the connection is cut, the error stands for each answer that did not come. The callback may not wait for
        the connection, which is being read.
        """
        if len(self.answers) == self.size:
            callback(self.answers)
        else:
            self._on_reply = callback

    def add(self, answer: Any) -> None:
        self.answers.append(answer)
        if len(self.answers) == self.size and self._on_reply is not None:
            self._on_reply(self.answers)

    def fail(self, error: Exception) -> None:
        """Let an error stand for the answers that will not come."""
        for _ in range(self.size - len(self.answers)):
            self.add(error)


class Connection:
    """One connection, of one thread. Answers come in the order of commands: to wait for one reads those before it."""

    closed = True  # until it has connected

    def __init__(self, driver: Any) -> None:
        driver.connect()
        self._driver = driver
        self.grace_until: float = getattr(driver, "grace_until", 0.0)  # monotonic: nothing may be leased before (R22)
        self._socket = driver._sock
        self._reader = hiredis.Reader(replyError=BaseParser.parse_error)
        self._pending: deque[PendingReply] = deque()
        self.closed = False

    def __del__(self, is_finalizing: Callable[[], bool] = sys.is_finalizing) -> None:  # the module's names go before
        if not self.closed:  # its thread has ended
            if not is_finalizing():
                self._read_rest()
            self._disconnect()

    def _read_rest(self) -> None:
        """Read the answers that have come since the last use, for those that count what was stored."""
        if self._driver.pid != os.getpid():  # a forked child's copy: they are its parent's
            return
        try:
            self._socket.settimeout(0)
            while self._pending:
                self._read_one()
        except (RedisError, OSError):
            return

    def send(self, commands: Sequence[Command]) -> PendingReply:
        """Send commands. Raise the driver's ConnectionError or TimeoutError."""
        packed = pack(commands[0]) if len(commands) == 1 else b"".join([pack(command) for command in commands])
        try:
            self._socket.sendall(packed)
        except OSError as error:
            raise self._cut(error) from error
        except BaseException:
            self._cut(ConnectionError("The exchange was interrupted."))
            raise
        reply = PendingReply(len(commands), held_until(commands[-1]))
        self._pending.append(reply)
        return reply

    def wait(self, reply: PendingReply) -> list[Any]:
        """Return the answers, errors as what they are. Raise the driver's ConnectionError or TimeoutError when cut."""
        while len(reply.answers) < reply.size:
            self._read_one()
        return reply.answers

    def run(self, command: Command) -> Any:
        """Send one command and return its answer, an error as what it is. Raise as `send` and `wait` do."""
        if self._pending:  # the answers of earlier commands come first
            return self.wait(self.send((command,)))[0]
        try:
            self._socket.sendall(pack(command))
        except OSError as error:
            raise self._cut(error) from error
        except BaseException:
            self._cut(ConnectionError("The exchange was interrupted."))
            raise
        answer = False
        while answer is False:
            self._receive()
            answer = self._reader.gets()
        return answer

    def _read_one(self) -> None:
        """Give the next answer to the reply that it belongs to."""
        reader = self._reader
        answer = reader.gets()
        while answer is False:  # no answer in RESP2: the rest of one must be received
            self._receive()
            answer = reader.gets()
        if isinstance(answer, ConnectionError):  # the server is loading, or has too many clients
            raise self._cut(answer)
        reply = self._pending[0]
        if len(reply.answers) + 1 == reply.size:
            self._pending.popleft()  # first: its callback may send
        reply.add(answer)

    def _receive(self) -> None:
        if self.closed:
            raise ConnectionError("The connection was closed before the answer came.")
        try:
            data = self._receive_held() if self._pending and self._pending[0].held_until else b""
            data = data or self._socket.recv(RECEIVE_BYTES)
        except BlockingIOError:  # nothing has come, and `_read_rest` does not wait
            raise
        except OSError as error:
            raise self._cut(error) from error
        except BaseException:  # the order of answers is lost
            self._cut(ConnectionError("The exchange was interrupted."))
            raise
        if not data:
            raise self._cut(ConnectionError("The server closed the connection."))
        self._reader.feed(data)

    def _receive_held(self) -> bytes:
        """Receive an answer that the server may hold back, until it must have come; then wake the server.

        An idle one looks only `hz` times a second whose WAIT is over: its answer 100 ms later is no silence.
        """
        first, patience = self._pending[0], self._socket.gettimeout()
        if len(first.answers) + 1 < first.size or patience == 0:  # others come at once; `_read_rest` does not wait
            return b""
        seconds, first.held_until = first.held_until - time.monotonic(), 0.0
        self._socket.settimeout(max(seconds, WAKE_MARGIN))
        try:
            data: bytes = self._socket.recv(RECEIVE_BYTES)
            return data
        except socket.timeout:  # noqa: UP041 - the driver's has the name of the built-in one here
            self._socket.sendall(WAKE)
            return b""
        finally:
            self._socket.settimeout(patience)

    def _cut(self, error: Exception) -> RedisError:
        """Disconnect, fail what is pending, and return the driver's error for what happened."""
        if isinstance(error, RedisError):
            cause = error
        else:
            kind = TimeoutError if isinstance(error, socket.timeout) else ConnectionError
            cause = kind(f"{type(error).__name__}: {error}")
        self._disconnect()
        pending, self._pending = self._pending, deque()
        for reply in pending:
            reply.fail(ConnectionError(f"The connection was cut before the answer came: {cause}"))
        return cause

    def close(self) -> None:
        """Read the answers that have come, and disconnect. What else is pending is not reported."""
        if not self.closed:
            self._read_rest()
            self._disconnect()

    def abandon(self) -> None:
        """Read the answers that have come, fail what else is pending, and disconnect."""
        if not self.closed:
            self._read_rest()
            self._cut(ConnectionError("Connections were made anew."))

    def _disconnect(self) -> None:
        self.closed = True
        self._driver.disconnect()


def held_until(command: Command) -> float:
    """Return until when (monotonic) a server may hold the answer back; 0.0 where it answers at once."""
    return time.monotonic() + command[2] / 1000 + WAKE_MARGIN if command[0] == "WAIT" else 0.0
