"""The way of commands to a region's servers and of the answers back: a round trip a server, one policy of retries.

The engine sends over connections of each thread's own (thread_transport.py), the caches over the driver's pools
(pooled_transport.py). Over half of the time that a driver's client takes for a GET is its own: see the decision 0007.
"""

import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Generic, TypeVar

from redis.exceptions import AskError

from cacheops.exceptions import StoreError
from cacheops.redis import errors
from cacheops.redis.connection import Command, Connection, PendingReply
from cacheops.redis.topology import Servers

T = TypeVar("T")
Sent = Sequence[tuple[Connection, PendingReply, list[int]]]  # places among the commands


class Transport(ABC):
    """Sends commands to one region's servers from this thread, and reads the answers when they are needed.

    A route is a key, whose server is looked up, or a server itself.
    """

    independent: bool  # whether each command that failed may be sent again without the others of its batch

    def __init__(self, servers: Servers) -> None:
        self.servers = servers
        self._local = _Local()

    @abstractmethod
    def node_of(self, route: Any) -> Any:
        """Return the server of a route."""

    @abstractmethod
    def connection_to(self, node: Any) -> Connection:
        """Return a connection to a server, to send to and to read from until all answers are there."""

    @abstractmethod
    def abandon_connections(self) -> None:
        """Have connections made anew, after a failure; what is pending on them fails."""

    def forget_nodes(self) -> None:  # noqa: B027
        """Look up anew who serves what."""

    def run(self, command: Command, route: Any) -> Any:
        """Run one command on the server of a key and return its answer: what `run_many` does, in less time."""
        started = time.monotonic()
        try:
            if self._local.failed:
                self.handle_failed()
            answer = self.connection_to(self.node_of(route)).run(command)
        except errors.FAILURES as error:
            answer = error
        if isinstance(answer, Exception):
            return self.retry([command], [route], [answer], started)[0]
        return answer

    def run_many(self, commands: Sequence[Command], routes: Sequence[Any] | None = None) -> list[Any]:
        """Run commands as `send` does and return their answers; an error among them is raised."""
        return self.send(commands, routes, list).result()

    def run_once(self, commands: Sequence[Command], routes: Sequence[Any]) -> list[Any]:
        """Run commands without another try."""
        try:
            return self._checked(commands, gathered(self._send(commands, routes), len(commands))[0])
        except errors.FAILURES as error:
            raise errors.translate(error) from error

    def send(
        self,
        commands: Sequence[Command],
        routes: Sequence[Any] | None,
        decode: Callable[[list[Any]], T],
        *,
        resend: bool = False,
    ) -> "GatheredReply[T]":
        """Send commands. The reply's result is what `decode` returns for their answers, which are in order.

        `routes` holds for each command a key whose server it goes to, or the server itself; without it, a command's
        second word is its key. `resend`: what failed is sent again before `on_result` reports it.
        """
        routes = routes or [command[1] for command in commands]
        self.handle_failed()
        reply = GatheredReply(self, commands, routes, decode, resend)
        try:
            reply.sent = self._send(commands, routes)
        except errors.FAILURES as error:
            reply.error = error
        return reply

    def _send(self, commands: Sequence[Command], routes: Sequence[Any]) -> Sent:
        """Send each server its commands. All connections are there before the first is written to."""
        if len(commands) == 1:
            connection = self.connection_to(self.node_of(routes[0]))
            return [(connection, connection.send(commands), [0])]
        groups: dict[Any, list[int]] = {}
        for index, route in enumerate(routes):
            groups.setdefault(self.node_of(route), []).append(index)
        connections: list[Connection] = []
        try:
            for node in groups:
                connections.append(self.connection_to(node))
            return [
                (connection, connection.send([commands[index] for index in group]), group)
                for connection, group in zip(connections, groups.values(), strict=True)
            ]
        except BaseException:  # an unread reply must not meet the next command
            for connection in connections:
                connection.abandon()
            raise

    def handle_failed(self) -> None:
        """Send again, or report, what has failed and is not waited for. Called while no answers are awaited."""
        while self._local.failed:
            self._local.failed.pop().handle_failure()

    def add_failed(self, reply: "GatheredReply[Any]") -> None:
        """Have a failed reply settled before the next use."""
        self._local.failed.append(reply)

    def retry(
        self, commands: Sequence[Command], routes: Sequence[Any], answers: list[Any], started: float
    ) -> list[Any]:
        """Return the answers once none of them is an error; `started` is when the commands were sent (monotonic)."""

        def attempt() -> list[Any]:
            places = [at for at, answer in enumerate(answers) if not self.independent or isinstance(answer, Exception)]
            sent = self._send([commands[at] for at in places], [routes[at] for at in places])
            for at, answer in zip(places, gathered(sent, len(places))[0], strict=True):
                answers[at] = answer
            return self._checked(commands, answers)

        try:
            return self._checked(commands, answers)
        except errors.FAILURES as error:
            return self.servers.policy.call(attempt, self._recover, self._recover_soon, error, started)

    def _checked(self, commands: Sequence[Command], answers: list[Any]) -> list[Any]:
        """Ask again where a slot is being moved. Raise the first error that is left, one that no retry helps before."""
        for at, answer in enumerate(answers):
            # Of a batch that belongs together, WAIT has confirmed what another server was asked to do.
            if isinstance(answer, AskError) and (self.independent or len(commands) == 1):
                node = self.servers.redirected(answer)
                answers[at] = gathered(self._send([("ASKING",), commands[at]], [node, node]), 2)[0][1]
        failures = [answer for answer in answers if isinstance(answer, Exception)]
        if failures:
            raise next((failure for failure in failures if not errors.is_transient(failure)), failures[0])
        return answers

    def _recover(self, error: Exception, failures: int) -> None:
        """Connect anew; ask who serves what if that was not enough, or the answer says so."""
        self.abandon_connections()
        if failures > 1 or errors.has_moved(error) or isinstance(error, errors.TIMED_OUT):
            self.forget_nodes()
            self.servers.refresh()

    def _recover_soon(self) -> None:
        """Leave it to the next caller to connect, by when another server may be the primary."""
        self.abandon_connections()
        self.forget_nodes()
        self.servers.refresh_soon()


@dataclass(slots=True, eq=False)
class GatheredReply(Generic[T]):
    """The reply to commands that were sent together, to one or several servers.

    Either call `result`, or give `on_result` a callback.
    """

    transport: Transport
    commands: Sequence[Command]
    routes: Sequence[Any]
    decode: Callable[[list[Any]], T]
    resend: bool
    sent: Sent = ()
    error: Exception | None = None  # why they were not sent

    _answers: list[Any] = field(default_factory=list)
    _missing: int = 0  # servers whose answers have not come
    _callback: Callable[[T | StoreError], None] | None = None

    def result(self) -> T:
        """Wait for the answers and return the result; retry what failed. Raise StoreUnavailable or CommandRefused."""
        started = time.monotonic()
        if self.error is None:
            answers, failed = gathered(self.sent, len(self.commands))
        else:
            answers, failed = [self.error] * len(self.commands), True
        if failed:
            answers = self.transport.retry(self.commands, self.routes, answers, started)
        return self.decode(answers)

    def on_result(self, callback: Callable[[T | StoreError], None]) -> None:
        """Report the result, or the error, to `callback` when this thread next uses the servers, or ends.

        The callback may not use the servers: an answer is being read.
        """
        self._callback = callback
        sent, self.sent = self.sent, ()  # each connection refers to this reply: no cycle must keep it open
        if self.error is not None:
            self._finish([self.error] * len(self.commands))
            self.transport.handle_failed()
        elif len(sent) == 1:
            sent[0][1].on_reply(self._finish)
        else:
            self._answers, self._missing = [None] * len(self.commands), len(sent)
            for _, pending, places in sent:
                pending.on_reply(partial(self._collect, places))
            if not sent:
                self._report_answers()

    def _collect(self, places: Sequence[int], answers: Sequence[Any]) -> None:
        for place, answer in zip(places, answers, strict=True):
            self._answers[place] = answer
        self._missing -= 1
        if self._missing == 0:
            self._finish(self._answers)

    def _finish(self, answers: list[Any]) -> None:
        self._answers = answers
        for answer in answers:
            if isinstance(answer, Exception):
                self.transport.add_failed(self)
                return
        self._report_answers()

    def handle_failure(self) -> None:
        """Send again what failed, where that is wanted, and report the outcome."""
        failed = [place for place, answer in enumerate(self._answers) if isinstance(answer, Exception)]
        try:
            if not self.resend:
                raise errors.translate(self._answers[failed[0]])
            commands, routes = [self.commands[place] for place in failed], [self.routes[place] for place in failed]
            again = self.transport.run_many(commands, routes)
        except StoreError as error:
            self._report(error)
            return
        for place, answer in zip(failed, again, strict=True):
            self._answers[place] = answer
        self._report_answers()

    def _report_answers(self) -> None:
        try:
            outcome: T | StoreError = self.decode(self._answers)
        except StoreError as error:
            outcome = error
        self._report(outcome)

    def _report(self, outcome: T | StoreError) -> None:
        assert self._callback is not None
        self._callback(outcome)


class _Local(threading.local):
    """What each thread has of its own."""

    def __init__(self) -> None:
        self.failed: list[GatheredReply[Any]] = []  # to be sent again, or reported


def gathered(sent: Sent, size: int) -> tuple[list[Any], bool]:
    """Return the answers of all servers in the commands' order, errors as what they are, and whether there are any."""
    answers: list[Any] = [None] * size
    failed = False
    try:
        for connection, pending, group in sent:
            try:
                received = connection.wait(pending)
            except errors.FAILURES as error:  # nothing more comes on this connection; the others must still be read
                received = [*pending.answers, *[error] * (len(group) - len(pending.answers))]
            for index, answer in zip(group, received, strict=True):
                answers[index] = answer
                failed = failed or isinstance(answer, Exception)
    except BaseException:
        for connection, *_ in sent:
            connection.abandon()
        raise
    return answers, failed
