"""What a region's servers are asked, whatever their form."""

import itertools
import os
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from typing import Any
from weakref import WeakValueDictionary

import redis

from cacheops.exceptions import StoreError, StoreUnavailable
from cacheops.redis.clients import PoolFigures, RegionCluster, RegionLock, RegionRedis, pool_figures
from cacheops.redis.errors import DRIVER_ERRORS, RetryPolicy, translate
from cacheops.redis.options import ServerOptions
from cacheops.redis.pipeline import PIPELINE_LIMIT, Command


class Servers(ABC):
    """One region's servers. `client` is the raw client; the methods group by server, retry and translate errors.

    All methods raise StoreUnavailable when no answer came within the retries, CommandRefused when the answer is no.
    A command whose answer was lost is sent again: INCR may then count twice, SET NX may report a key set already.
    """

    client: RegionRedis | RegionCluster

    def __init__(self, options: ServerOptions) -> None:
        self.options = options
        self.policy = RetryPolicy(options)
        self._lent: WeakValueDictionary[int, Any] = WeakValueDictionary()  # connections outside of the pools
        self._numbers = itertools.count()

    @property
    def is_known(self) -> bool:
        """Whether it is known which servers there are: else asking for them is a round trip."""
        return True

    @abstractmethod
    def run(self, key: str, *command: Any, read: bool = False) -> Any:
        """Run one command on the server of `key`. `read`: any server that READ_FROM allows will do."""

    @abstractmethod
    def nodes(self) -> list[redis.Redis]:
        """Return a client of each server, for figures."""

    @abstractmethod
    def primaries(self) -> list[redis.Redis]:
        """Return a client of each server that takes writes."""

    @abstractmethod
    def _send(self, commands: Sequence[Command], waiting: list[int], answers: list[Any], read: bool) -> None:
        """Send the commands at `waiting`, one round trip a server; leave there those to be sent again, and raise."""

    @abstractmethod
    def refresh(self) -> None:
        """Learn anew who serves what, or connect anew, after a failure. Raises nothing: the next try will."""

    def refresh_soon(self) -> None:
        """Do the same without making the caller wait."""
        self.refresh()

    @abstractmethod
    def node_of(self, key: str, read: bool = False) -> redis.Redis:
        """Return a client of the server that takes the writes of `key`, or (`read`) of one that READ_FROM allows."""

    def new_connection(self, node: redis.Redis) -> Any:
        """Return a connection to a server that is the caller's own: not counted in the pool, not shared."""
        pool = node.connection_pool
        made = pool.connection_class(**{**pool.connection_kwargs, "protocol": 2})
        self._lent[next(self._numbers)] = made
        return made

    def open_lines(self) -> int:
        """Return how many connections from `new_connection` this process holds open."""
        made = [reference() for reference in self._lent.valuerefs()]  # a list: other threads go on connecting
        own = os.getpid()  # a fork's child inherits its parent's
        return sum(each is not None and each.is_connected and each.pid == own for each in made)

    def run_many(self, commands: Sequence[Command], read: bool = False) -> list[Any]:
        """Run commands of the form (name, key, ...), in one round trip a server, and return their answers in order."""
        answers: list[Any] = [None] * len(commands)
        for start in range(0, len(commands), PIPELINE_LIMIT):
            waiting = list(range(start, min(start + PIPELINE_LIMIT, len(commands))))
            self._send_until_done(commands, waiting, answers, read)
        return answers

    def values(self, keys: Sequence[str]) -> list[bytes | None]:
        """Return the value of each key, from a server that READ_FROM allows."""
        return self.run_many([("GET", key) for key in keys], read=True)

    def _send_until_done(self, commands: Sequence[Command], waiting: list[int], answers: list[Any], read: bool) -> None:
        started = time.monotonic()
        try:
            self._send(commands, waiting, answers, read)
        except DRIVER_ERRORS as error:
            self.policy.call(
                lambda: self._send(commands, waiting, answers, read), self.refresh, error, started, self.refresh_soon
            )

    def scan(self, pattern: str, batch: int) -> Iterator[list[bytes]]:
        """Yield the keys that match, from every primary, about `batch` looked at in each round trip."""
        for node in self.primaries():
            cursor = None
            while cursor != 0:
                try:
                    cursor, keys = node.scan(cursor or 0, match=pattern, count=batch)
                except DRIVER_ERRORS as error:
                    raise translate(error) from error
                if keys:
                    yield [key.encode() if isinstance(key, str) else key for key in keys]

    def figures(self) -> list[PoolFigures]:
        """Return the figures of the pool of each server."""
        return [pool_figures(node) for node in self.nodes()]

    def infos(self) -> list[dict[str, Any]]:
        """Return what each server tells of itself (INFO).

        A server that does not answer, or may not tell, has its `error` instead.
        """
        return [info_of(node) for node in self.nodes()]

    def slow_log(self, most: int) -> list[tuple[str, list[dict[str, Any]]]]:
        """Return each server's slowest commands, newest first, `most` of each; none of one that does not answer.

        Raise CommandRefused where one may not tell.
        """
        found = []
        for node in self.nodes():
            try:
                found.append((pool_figures(node).server, node.slowlog_get(most)))
            except (*DRIVER_ERRORS, StoreError) as error:
                told = translate(error)
                if not isinstance(told, StoreUnavailable):
                    raise told from error
        return found

    def lock(self, name: str, **options: Any) -> RegionLock:
        """Return a lock that all processes of the region share; its options are those of the driver's lock."""
        return RegionLock(self.client, name, **options)


def info_of(node: redis.Redis) -> dict[str, Any]:
    server = pool_figures(node).server
    try:
        answer: dict[str, Any] = node.info()
    except (*DRIVER_ERRORS, StoreError) as error:
        return {"server": server, "error": str(error)}
    return {**answer, "server": server}
