"""Connections of the engine: one a thread and server, kept open, without a pool in between.

Over half of the time that a driver's client takes for a GET is its own (docs/decisions/0007-speed.md). The engine's
commands are few and known, so they go over lines of their own (cacheops/redis/connection.py).
"""

import os
import threading
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from cacheops.exceptions import StoreError
from cacheops.redis import Command, Flight, Line, Servers, errors

TRIES = 3  # the first, one on a new connection, one after asking who is primary now

Told = Callable[[list[Any] | StoreError], None]
Group = tuple[Line, list[int]]  # places among the commands


class Wire:
    """Sends commands to one region's servers from this thread, and reads the answers when they are asked for.

    `scripts` are Lua sources, loaded on each new connection: a new connection may lead to a new primary.
    """

    def __init__(self, servers: Servers, scripts: Sequence[str] = ()) -> None:
        self.servers = servers
        self._scripts = [("SCRIPT", "LOAD", script) for script in scripts]
        self._local = _Local()
        self._nodes: dict[str, Any] = {}  # by a table's keys, until the servers change

    def ask(self, command: Command, route: str) -> Any:
        """Run one command on the server of a key and return its answer: what `call` does, in less time."""
        try:
            if self._local.broken:
                self._mend()
            answer = self.line(self._node_of(route)).ask(command)
        except errors.FAILURES as error:
            return self._again([command], [route], error)[0]
        if isinstance(answer, Exception):
            return self._again([command], [route], answer)[0]
        return answer

    def call(self, commands: Sequence[Command], routes: Sequence[Any] | None = None) -> list[Any]:
        """Run commands as `begin` does and return their answers; an error among them is raised."""
        return self.begin(commands, routes)()

    def begin(self, commands: Sequence[Command], routes: Sequence[Any] | None = None) -> Callable[[], list[Any]]:
        """Send commands, and return a call that waits for their answers, in order.

        `routes` holds for each command a key whose server it goes to, or the server itself; without it, a command's
        second word is its key.
        """
        routes = routes or [command[1] for command in commands]
        self._mend()
        try:
            sent = [
                (line, line.send([commands[index] for index in group]), group)
                for line, group in self._groups(commands, routes)
            ]
        except errors.FAILURES as error:
            failure = error  # the name of an except clause ends with it
            return lambda: self._again(commands, routes, failure)

        def answers() -> list[Any]:
            try:
                return gathered(sent, len(commands))
            except errors.FAILURES as error:
                return self._again(commands, routes, error)

        return answers

    def leave(self, commands: Sequence[Command], routes: Sequence[Any], told: Told, *, mend: bool) -> None:
        """Send commands whose answers nobody waits for: `told` hears them when this thread next uses the server.

        What failed is sent again then, where `mend` says so; else `told` hears the error.
        """
        self._mend()
        try:
            groups = self._groups(commands, routes)
            joined = _Joined(told, len(commands), len(groups)) if len(groups) > 1 else None
            for line, group in groups:
                some, where = [commands[index] for index in group], [routes[index] for index in group]
                line.send(some, self._listener(some, where, partial(joined, group) if joined else told, mend))
        except errors.FAILURES as error:
            self._local.broken.append((commands, routes, told) if mend else (error, told))
            self._mend()

    def _listener(self, commands: Sequence[Command], routes: Sequence[Any], told: Told, mend: bool) -> Any:
        local = self._local

        def heard(answers: list[Any]) -> None:
            failure = next((answer for answer in answers if isinstance(answer, Exception)), None)
            if failure is None:
                told(answers)
            else:
                local.broken.append((commands, routes, told) if mend else (failure, told))

        return heard

    def _mend(self) -> None:
        """Send again what was left and failed. Called while no answers are awaited."""
        while self._local.broken:
            *what, told = self._local.broken.pop()
            try:
                outcome: Any = self.call(*what) if len(what) > 1 else errors.translate(what[0])
            except StoreError as error:
                outcome = error
            told(outcome)

    def _again(self, commands: Sequence[Command], routes: Sequence[Any], error: Exception) -> list[Any]:
        """Try again after a failure: on new connections, then with the servers' roles asked anew."""
        for attempt in range(1, TRIES):
            if not errors.is_transient(error) and not errors.lacks_script(error):
                break
            self.forget()
            if errors.is_timeout(error):  # a frozen server costs one time-out, not three
                self._nodes.clear()
                self.servers.refresh_soon()  # another may be primary by the next call
                break
            if attempt > 1 or errors.has_moved(error):
                self._nodes.clear()
                self.servers.refresh()
            try:
                groups = self._groups(commands, routes)
                sent = [(line, line.send([commands[index] for index in group]), group) for line, group in groups]
                return gathered(sent, len(commands))
            except errors.FAILURES as again:
                error = again
        raise errors.translate(error) from error

    def _groups(self, commands: Sequence[Command], routes: Sequence[Any]) -> list[Group]:
        """Return the line of each server with the commands that go there."""
        if len(commands) == 1:
            return [(self.line(self._node_of(routes[0])), [0])]
        groups: dict[Any, list[int]] = {}
        for index, route in enumerate(routes):
            groups.setdefault(self._node_of(route), []).append(index)
        return [(self.line(node), group) for node, group in groups.items()]

    def _node_of(self, route: Any) -> Any:
        if not isinstance(route, str):
            return route
        table = route[: route.find("}")]
        node = self._nodes.get(table)
        if node is None:
            node = self._nodes[table] = self.servers.node_of(route)
        return node

    def line(self, node: Any) -> Line:
        """Return this thread's line to a node."""
        local = self._local
        if local.process != os.getpid():  # a forked child must not share its parent's sockets
            local.__init__()  # type: ignore[misc]
        line = local.lines.get(node)
        if line is None or line.closed:
            line = Line(self.servers.new_connection(node))
            answers = line.wait(line.send(self._scripts)) if self._scripts else []
            for answer in answers:
                if isinstance(answer, Exception):
                    raise answer
            local.lines[node] = line
            local.epoch += 1
        return line

    @property
    def epoch(self) -> int:
        """How many connections this thread has opened: another server may be behind a new one."""
        return self._local.epoch

    def forget(self) -> None:
        """Close this thread's connections."""
        lines, self._local.lines = self._local.lines, {}
        for line in lines.values():
            line.close()


class _Joined:
    """Tells once what several servers have answered: all answers in the commands' order, or the first error."""

    def __init__(self, told: Told, size: int, servers: int) -> None:
        self._told = told
        self._answers: list[Any] = [None] * size
        self._left = servers

    def __call__(self, group: list[int], answers: list[Any] | StoreError) -> None:
        self._left -= 1
        if isinstance(answers, StoreError):
            if self._left >= 0:
                self._told(answers)
            self._left = -1  # the others are not told of any more
            return
        for index, answer in zip(group, answers, strict=True):
            self._answers[index] = answer
        if self._left == 0:
            self._told(self._answers)


class _Local(threading.local):
    """What each thread has of its own."""

    def __init__(self) -> None:
        self.process = os.getpid()
        self.lines: dict[Any, Line] = {}
        self.broken: list[tuple[Any, ...]] = []  # left commands that failed: to be sent again, or an error to be told
        self.epoch = 0


def gathered(sent: Sequence[tuple[Line, Flight, list[int]]], size: int) -> list[Any]:
    """Return the answers of all lines in the commands' order. Raise the first error, when all were read."""
    answers: list[Any] = [None] * size
    failure: Exception | None = None
    for line, flight, group in sent:
        try:
            for index, answer in zip(group, line.wait(flight), strict=True):
                answers[index] = answer
                if isinstance(answer, Exception):
                    failure = failure or answer
        except errors.FAILURES as error:
            failure = failure or error  # nothing more comes on this line; the others must still be read
    if failure is not None:
        raise failure
    return answers
