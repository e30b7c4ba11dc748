"""A connection that is written and read without the driver's layers: they take half of the time of a short command.

The driver connects: addresses, TLS, names and passwords are its own. From then on only its socket is used, with
hiredis to pack commands and to parse answers, in the protocol RESP2.
"""

import socket
import sys
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

import hiredis
from redis._parsers.base import BaseParser
from redis.exceptions import ConnectionError, RedisError, TimeoutError

Command = tuple[Any, ...]
Heard = Callable[[list[Any]], None]

RECEIVE_BYTES = 65_536
pack = hiredis.pack_command


class Flight:
    """Commands under way, and their answers: values, and errors as what they are.

    `heard` is called with the answers once they are there, or with the one error that cut the line. It may not use
    the line: somebody is reading from it.
    """

    __slots__ = ("answers", "heard", "size")

    def __init__(self, size: int, heard: Heard | None = None) -> None:
        self.size = size
        self.answers: list[Any] = []
        self.heard = heard


class Line:
    """One connection, of one thread. Answers come in the order of the commands: who waits reads those before, too."""

    closed = True  # until it has connected

    def __init__(self, connection: Any) -> None:
        connection.connect()
        self._connection = connection
        self._socket = connection._sock
        self._reader = hiredis.Reader(replyError=BaseParser.parse_error)
        self._flights: deque[Flight] = deque()
        self.closed = False

    def __del__(self, is_finalizing: Callable[[], bool] = sys.is_finalizing) -> None:  # the module's names go before
        if not self.closed:  # its thread has ended
            if not is_finalizing():
                self._hear_last()
            self.close()

    def _hear_last(self) -> None:
        """Take the answers that have come since this line was last used: who listens counts what was stored."""
        try:
            self._socket.settimeout(0)
            while self._flights:
                self._read_one()
        except (RedisError, OSError):  # nothing has come, or the rest is on its way
            return

    def send(self, commands: Sequence[Command], heard: Heard | None = None) -> Flight:
        """Send commands. Raise the driver's ConnectionError or TimeoutError."""
        packed = pack(commands[0]) if len(commands) == 1 else b"".join([pack(command) for command in commands])
        try:
            self._socket.sendall(packed)
        except OSError as error:
            raise self._cut(error) from error
        except BaseException:
            self.close()
            raise
        flight = Flight(len(commands), heard)
        self._flights.append(flight)
        return flight

    def wait(self, flight: Flight) -> list[Any]:
        """Return the answers of a flight. Raise the driver's ConnectionError or TimeoutError where the line is cut."""
        while len(flight.answers) < flight.size:
            self._read_one()
        return flight.answers

    def ask(self, command: Command) -> Any:
        """Send one command and return its answer, an error as what it is. Raise as `send` and `wait` do."""
        if self._flights:  # the answers of earlier commands come first
            return self.wait(self.send((command,)))[0]
        try:
            self._socket.sendall(pack(command))
        except OSError as error:
            raise self._cut(error) from error
        except BaseException:
            self.close()
            raise
        answer = False
        while answer is False:
            self._receive()
            answer = self._reader.gets()
        return answer

    def _read_one(self) -> None:
        """Give the next answer to the flight that it belongs to."""
        reader = self._reader
        answer = reader.gets()
        while answer is False:  # no answer in RESP2: the rest of one must be received
            self._receive()
            answer = reader.gets()
        if isinstance(answer, ConnectionError):  # the server is loading, or has too many clients
            raise self._cut(answer)
        flight = self._flights[0]
        flight.answers.append(answer)
        if len(flight.answers) == flight.size:
            self._flights.popleft()
            if flight.heard is not None:
                flight.heard(flight.answers)

    def _receive(self) -> None:
        if self.closed:
            raise ConnectionError("The connection was closed before the answer came.")
        try:
            data = self._socket.recv(RECEIVE_BYTES)
        except OSError as error:
            raise self._cut(error) from error
        except BaseException:  # the order of answers is lost
            self.close()
            raise
        if not data:
            raise self._cut(ConnectionError("The server closed the connection."))
        self._reader.feed(data)

    def _cut(self, error: Exception) -> RedisError:
        """Close, tell those who listen, and return the driver's error for what happened."""
        if isinstance(error, RedisError):
            cause = error
        else:
            kind = TimeoutError if isinstance(error, socket.timeout) else ConnectionError
            cause = kind(f"{type(error).__name__}: {error}")
        self.close()
        flights, self._flights = self._flights, deque()
        for flight in flights:
            if flight.heard is not None:
                flight.heard([cause])
        return cause

    def close(self) -> None:
        self.closed = True
        self._connection.disconnect()
