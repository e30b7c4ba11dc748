"""Connections of the engine: one a thread and server, kept open, without a pool in between.

Over half of the time that a driver's client takes for a GET is its own (docs/decisions/0007-speed.md). The engine's
commands are few and known, so they go over connections of their own (cacheops/redis/connection.py).
"""

import os
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Generic, TypeVar

from cacheops.exceptions import StoreError
from cacheops.redis import Command, Connection, PendingReply, Servers, errors

T = TypeVar("T")
Sent = Sequence[tuple[Connection, PendingReply, list[int]]]  # places among the commands

TRIES = 3  # the first, one on a new connection, one after asking who is primary now


class Transport:
    """Sends commands to one region's servers from this thread, and reads the answers when they are needed.

    `scripts` are Lua sources, loaded on each new connection: a new connection may lead to a new primary.
    """

    def __init__(self, servers: Servers, scripts: Sequence[str] = ()) -> None:
        self.servers = servers
        self._scripts = [("SCRIPT", "LOAD", script) for script in scripts]
        self._local = _Local()
        self._nodes: dict[str, Any] = {}  # by a table's keys, until the servers change

    def run(self, command: Command, route: str) -> Any:
        """Run one command on the server of a key and return its answer: what `run_many` does, in less time."""
        try:
            if self._local.failed:
                self.handle_failed()
            answer = self.connection_to(self._node_of(route)).run(command)
        except errors.FAILURES as error:
            return self.retry([command], [route], error)[0]
        if isinstance(answer, Exception):
            return self.retry([command], [route], answer)[0]
        return answer

    def run_many(self, commands: Sequence[Command], routes: Sequence[Any] | None = None) -> list[Any]:
        """Run commands as `send` does and return their answers; an error among them is raised."""
        return self.send(commands, routes, list).result()

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
            connection = self.connection_to(self._node_of(routes[0]))
            return [(connection, connection.send(commands), [0])]
        groups: dict[Any, list[int]] = {}
        for index, route in enumerate(routes):
            groups.setdefault(self._node_of(route), []).append(index)
        connections = [self.connection_to(node) for node in groups]
        return [
            (connection, connection.send([commands[index] for index in group]), group)
            for connection, group in zip(connections, groups.values(), strict=True)
        ]

    def handle_failed(self) -> None:
        """Send again, or report, what has failed and is not waited for. Called while no answers are awaited."""
        while self._local.failed:
            self._local.failed.pop().handle_failure()

    def add_failed(self, reply: "GatheredReply[Any]") -> None:
        """Have a failed reply settled before the next use."""
        self._local.failed.append(reply)

    def retry(self, commands: Sequence[Command], routes: Sequence[Any], error: Exception) -> list[Any]:
        """Try again after a failure: on new connections, then with the servers' roles asked anew."""
        for attempt in range(1, TRIES):
            if not errors.is_transient(error) and not errors.lacks_script(error):
                break
            self._abandon_connections()
            if errors.is_timeout(error):  # a frozen server costs one time-out, not three
                self._nodes.clear()
                self.servers.refresh_soon()  # another may be primary by the next call
                break
            if attempt > 1 or errors.has_moved(error):
                self._nodes.clear()
                self.servers.refresh()
            try:
                return gathered(self._send(commands, routes), len(commands))
            except errors.FAILURES as again:
                error = again
        raise errors.translate(error) from error

    def _node_of(self, route: Any) -> Any:
        if not isinstance(route, str):
            return route
        table = route[: route.find("}")]
        node = self._nodes.get(table)
        if node is None:
            node = self._nodes[table] = self.servers.node_of(route)
        return node

    def connection_to(self, node: Any) -> Connection:
        """Return this thread's connection to a node."""
        local = self._local
        if local.process != os.getpid():  # a forked child must not share its parent's sockets
            local.__init__()  # type: ignore[misc]
        connection = local.connections.get(node)
        if connection is None or connection.closed:
            connection = Connection(self.servers.new_connection(node))
            answers = connection.wait(connection.send(self._scripts)) if self._scripts else []
            for answer in answers:
                if isinstance(answer, Exception):
                    raise answer
            local.connections[node] = connection
            local.epoch += 1
        return connection

    @property
    def epoch(self) -> int:
        """How many connections this thread has opened: another server may be behind a new one."""
        return self._local.epoch

    def _abandon_connections(self) -> None:
        connections, self._local.connections = self._local.connections, {}
        for connection in connections.values():
            connection.abandon()

    def close(self) -> None:
        """Close this thread's connections, after reading what has been answered."""
        connections, self._local.connections = self._local.connections, {}
        for connection in connections.values():
            connection.close()


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
        error = self.error
        if error is None:
            try:
                answers = gathered(self.sent, len(self.commands))
            except errors.FAILURES as failure:
                error = failure
        if error is not None:
            answers = self.transport.retry(self.commands, self.routes, error)
        return self.decode(answers)

    def on_result(self, callback: Callable[[T | StoreError], None]) -> None:
        """Report the result, or the error, to `callback` when this thread next uses the servers, or ends.

        The callback may not use the servers: an answer is being read.
        """
        self._callback = callback
        self._answers = [self.error] * len(self.commands)
        if self.error is not None:
            self.transport.add_failed(self)
            self.transport.handle_failed()
            return
        sent, self.sent = self.sent, ()  # each connection refers to this reply: no cycle must keep it open
        self._missing = len(sent)
        if not sent:
            self._report_answers()
        for _, pending, places in sent:
            pending.on_reply(partial(self._collect, places))

    def _collect(self, places: Sequence[int], answers: Sequence[Any]) -> None:
        for place, answer in zip(places, answers, strict=True):
            self._answers[place] = answer
        self._missing -= 1
        if self._missing == 0:
            if any(isinstance(answer, Exception) for answer in self._answers):
                self.transport.add_failed(self)
            else:
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
        self.process = os.getpid()
        self.connections: dict[Any, Connection] = {}
        self.failed: list[GatheredReply[Any]] = []  # to be sent again, or reported
        self.epoch = 0


def gathered(sent: Sent, size: int) -> list[Any]:
    """Return the answers of all servers in the commands' order. Raise the first error, when all were read."""
    answers: list[Any] = [None] * size
    failure: Exception | None = None
    for connection, pending, group in sent:
        try:
            for index, answer in zip(group, connection.wait(pending), strict=True):
                answers[index] = answer
                if isinstance(answer, Exception):
                    failure = failure or answer
        except errors.FAILURES as error:
            failure = failure or error  # nothing more comes on this connection; the others must still be read
    if failure is not None:
        raise failure
    return answers
