"""The engine's way to a region's servers: connections of each thread's own."""

import os
import threading
import time
from collections.abc import Sequence
from typing import Any

from cacheops.redis.connection import Connection
from cacheops.redis.topology import Servers
from cacheops.redis.transport import Transport


class ThreadTransport(Transport):
    """One connection a thread and server, kept open: a pool in between would take time of each look-up.

    `scripts` are Lua sources, loaded on each new connection: it may lead to a new primary.
    """

    independent = False  # WAIT confirms what its connection has written before

    def __init__(self, servers: Servers, scripts: Sequence[str] = ()) -> None:
        super().__init__(servers)
        self._scripts = [("SCRIPT", "LOAD", script) for script in scripts]
        self._own = _Own()
        self._nodes: dict[str, Any] = {}  # by a table's keys, until the servers change

    @property
    def epoch(self) -> int:
        """How many connections this thread has opened: another server may be behind a new one."""
        return self._own.epoch

    def node_of(self, route: Any) -> Any:
        if not isinstance(route, str):
            return route
        table = route[: route.find("}")]
        node = self._nodes.get(table)
        if node is None:
            node = self._nodes[table] = self.servers.node_of(route)
        return node

    def connection_to(self, node: Any) -> Connection:
        local = self._own
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
            local.grace_until = max(local.grace_until, connection.grace_until)
        return connection

    def in_grace_period(self, keys: Sequence[str]) -> bool:
        """Return whether a server of these keys came back so lately that marks may be lost with it (R22).

        Asked after it has answered: the connection knows, and one that was lost meanwhile is taken to say so.
        """
        own, now = self._own, time.monotonic()
        if now >= own.grace_until:
            return False
        connections = [own.connections.get(self._nodes.get(key[: key.find("}")])) for key in keys]
        return any(connection is None or connection.grace_until > now for connection in connections)

    def abandon_connections(self) -> None:
        connections, self._own.connections = self._own.connections, {}
        for connection in connections.values():
            connection.abandon()

    def close(self) -> None:
        """Close this thread's connections, after reading what has been answered."""
        connections, self._own.connections = self._own.connections, {}
        for connection in connections.values():
            connection.close()

    def forget_nodes(self) -> None:
        self._nodes.clear()


class _Own(threading.local):
    """What each thread has of its own."""

    def __init__(self) -> None:
        self.process = os.getpid()
        self.connections: dict[Any, Connection] = {}
        self.epoch = 0
        self.grace_until = 0.0  # the latest of these connections (monotonic)
