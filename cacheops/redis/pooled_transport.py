"""The caches' way to a region's servers: connections borrowed from the pools of the driver's clients."""

from collections.abc import Iterator, Sequence
from typing import Any, TypeVar

import redis

from cacheops.exceptions import StoreUnavailable
from cacheops.redis.connection import Command, Connection, PendingReply
from cacheops.redis.transport import Transport

T = TypeVar("T")

BATCH = 1000  # commands a round trip, or keys of one MGET: bounds memory, and how long one caller holds a server


class PooledTransport(Transport):
    """Shares its connections, at most MAX_CONNECTIONS a server, with raw commands.

    A command whose answer was lost is sent again: INCR may then count twice, SET NX may report a key set already.
    """

    independent = True

    def node_of(self, route: Any) -> Any:
        return self.servers.node_of(route) if isinstance(route, str | bytes) else route

    def connection_to(self, node: Any) -> Connection:
        return PooledConnection(node.connection_pool)

    def abandon_connections(self) -> None:
        """Keep the pools: they look at a connection before they lend it."""

    def run_many(self, commands: Sequence[Command], routes: Sequence[Any] | None = None) -> list[Any]:
        batches = zip(in_batches(commands), in_batches(routes or [one[1] for one in commands]), strict=True)
        return [answer for some, where in batches for answer in Transport.run_many(self, some, where)]

    def read(self, command: Command) -> Any:
        """Return the answer of a server that READ_FROM allows; the key is the command's second word."""
        return self.read_many([command])[0] if self.servers.options.reads_readers else self.run(command, command[1])

    def read_many(self, commands: Sequence[Command]) -> list[Any]:
        """Return the answers of servers that READ_FROM allows: of primaries, where a replica does not answer."""
        if self.servers.options.reads_readers:
            try:
                return self.run_once(commands, [self.servers.reader_of(one[1]) or one[1] for one in commands])
            except StoreUnavailable:
                self.servers.reader_failed()
        return self.run_many(commands)

    def values(self, keys: Sequence[str]) -> list[bytes | None]:
        """Return the value of each key, from servers that READ_FROM allows."""
        if self.servers.share_a_slot:
            return [value for batch in in_batches(keys) for value in self.read(("MGET", *batch))]
        return [value for batch in in_batches(keys) for value in self.read_many([("GET", key) for key in batch])]


def in_batches(items: Sequence[T]) -> Iterator[Sequence[T]]:
    return (items[start : start + BATCH] for start in range(0, len(items), BATCH))


class PooledConnection(Connection):
    """A connection for one exchange: it goes back to its pool when its answers have been read, or it is closed."""

    def __init__(self, pool: redis.ConnectionPool) -> None:
        self._pool = pool
        driver = pool.get_connection()
        try:
            driver.check_health()
            super().__init__(driver)
        except BaseException:
            pool.release(driver)
            raise

    def run(self, command: Command) -> Any:
        answer = super().run(command)
        self._give_back()
        return answer

    def wait(self, reply: PendingReply) -> list[Any]:
        answers = super().wait(reply)
        self._give_back()
        return answers

    def _disconnect(self) -> None:
        if not self.closed:
            super()._disconnect()
            self._pool.release(self._driver)

    def _give_back(self) -> None:
        self.closed = True
        self._pool.release(self._driver)
