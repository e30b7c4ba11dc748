"""Connections of the engine: one a thread and server, kept open, written and read without a pool in between.

Over half of the time that a driver's client takes for a GET is its own (docs/design/measurements.md). The engine's
commands are few and known, so it packs them and reads the answers itself, on connections that the driver makes.
"""

import os
import threading
from collections.abc import Callable, Sequence
from typing import Any

from cacheops.stores.driver import Command, Servers, errors

TRIES = 3  # the first, one on a new connection, one after asking who is primary now


class Wire:
    """Sends commands to one region's servers from this thread, and reads the answers when they are asked for.

    `scripts` are Lua sources, loaded on each new connection: a new connection may lead to a new primary.
    """

    def __init__(self, servers: Servers, scripts: Sequence[str] = ()) -> None:
        self.servers = servers
        self._scripts = scripts
        self._local = threading.local()

    def call(self, commands: Sequence[Command], routes: Sequence[Any] | None = None) -> list[Any]:
        """Run commands as `begin` does and return their answers; an error among them is raised."""
        return self.begin(commands, routes)()

    def begin(self, commands: Sequence[Command], routes: Sequence[Any] | None = None) -> Callable[[], list[Any]]:
        """Send commands, and return a call that waits for their answers, in order.

        `routes` holds for each command a key whose server it goes to, or the server itself; without it, a command's
        second word is its key.
        """
        routes = routes or [command[1] for command in commands]
        try:
            exchange = _Exchange(self, commands, routes)
        except errors.DRIVER_ERRORS as error:
            failure = error  # the name of an except clause ends with it
            return lambda: self._again(commands, routes, failure)

        def answers() -> list[Any]:
            try:
                return exchange.answers()
            except errors.DRIVER_ERRORS as error:
                return self._again(commands, routes, error)

        return answers

    def _again(self, commands: Sequence[Command], routes: Sequence[Any], error: Exception) -> list[Any]:
        """Try again after a failure: on new connections, then with the servers' roles asked anew."""
        for attempt in range(1, TRIES):
            if not errors.is_transient(error) and not errors.lacks_script(error):
                break
            self.forget()
            if attempt > 1 or errors.has_moved(error):
                self.servers.refresh()
            if errors.is_timeout(error):
                break  # a frozen server costs one time-out, not three
            try:
                return _Exchange(self, commands, routes).answers()
            except errors.DRIVER_ERRORS as again:
                error = again
        raise errors.translate(error) from error

    def connection(self, node: Any) -> Any:
        """Return this thread's connection to a node."""
        local = self._local
        if getattr(local, "process", None) != os.getpid():  # a forked child must not share its parent's sockets
            local.process, local.connections, local.epoch = os.getpid(), {}, 0
        connection = local.connections.get(node)
        if connection is None:
            connection = self.servers.new_connection(node)
            connection.connect()
            self._load_scripts(connection)
            local.connections[node] = connection
            local.epoch += 1
        return connection

    def _load_scripts(self, connection: Any) -> None:
        packed = connection.pack_commands([("SCRIPT", "LOAD", script) for script in self._scripts])
        connection.send_packed_command(packed, check_health=False)
        for _ in self._scripts:
            connection.read_response()

    @property
    def epoch(self) -> int:
        """How many connections this thread has opened: another server may be behind a new one."""
        return getattr(self._local, "epoch", 0)

    def forget(self) -> None:
        """Close this thread's connections."""
        for connection in getattr(self._local, "connections", {}).values():
            connection.disconnect()
        self._local.connections = {}


class _Exchange:
    """Commands that were sent, grouped by node, and their answers."""

    def __init__(self, wire: Wire, commands: Sequence[Command], routes: Sequence[Any]) -> None:
        self._size = len(commands)
        self._groups: dict[Any, list[int]] = {}
        for index, route in enumerate(routes):
            node = wire.servers.node_of(route) if isinstance(route, str) else route
            self._groups.setdefault(node, []).append(index)
        self._connections = []
        for node, indexes in self._groups.items():
            connection = wire.connection(node)
            packed = connection.pack_commands([commands[index] for index in indexes])
            connection.send_packed_command(packed, check_health=False)
            self._connections.append((connection, indexes))

    def answers(self) -> list[Any]:
        answers: list[Any] = [None] * self._size
        failure: Exception | None = None
        for connection, indexes in self._connections:
            for index in indexes:
                try:
                    answers[index] = connection.read_response(disable_decoding=True)
                except errors.DRIVER_ERRORS as error:
                    failure = failure or error
                    if errors.is_cut(error):
                        break  # nothing more comes from this node; the others' answers must still be read
        if failure is not None:
            raise failure
        return answers
