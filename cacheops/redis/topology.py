"""Who a region's servers are, and which of them serves what."""

import itertools
import os
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from typing import Any
from weakref import WeakValueDictionary

import redis
from redis.exceptions import AskError

from cacheops.exceptions import StoreError, StoreUnavailable
from cacheops.redis import identity
from cacheops.redis.clients import RegionCluster, RegionLock, RegionRedis, ServerPool, address_of, pool_stats
from cacheops.redis.errors import DRIVER_ERRORS, RetryPolicy, translate
from cacheops.redis.options import ServerOptions

SCAN_ROUNDS, SCAN_COUNT = 20, 1_000  # round trips of a page, and keys that each looks at: some half a millisecond


class Servers(ABC):
    """One region's servers. `client` is the raw client.

    All methods raise StoreUnavailable when no answer came within the retries, CommandRefused when the answer is no.
    """

    client: RegionRedis | RegionCluster
    share_a_slot: bool  # whether one server has all keys, so that one command may name several

    def __init__(self, options: ServerOptions) -> None:
        self.options = options
        self.policy = RetryPolicy(options)
        self._lent: WeakValueDictionary[int, Any] = WeakValueDictionary()  # connections outside of the pools
        self._numbers = itertools.count()

    @property
    def is_known(self) -> bool:
        """Whether it is known which servers there are: else asking for them is a round trip."""
        return True

    def problem(self) -> str:
        """Return what hides the servers and will not pass by itself; "" where nothing is."""
        return ""

    @abstractmethod
    def nodes(self) -> list[redis.Redis]:
        """Return a client of each server, for statistics."""

    @abstractmethod
    def primaries(self) -> list[redis.Redis]:
        """Return a client of each server that takes writes."""

    @abstractmethod
    def refresh(self) -> None:
        """Learn anew who serves what, or connect anew, after a failure. Raises nothing: the next try will."""

    def refresh_soon(self) -> None:
        """Do the same without making the caller wait."""
        self.refresh()

    @abstractmethod
    def node_of(self, key: str | bytes) -> redis.Redis:
        """Return a client of the server that takes the writes of `key`."""

    @abstractmethod
    def reader_of(self, key: str) -> redis.Redis | None:
        """Return a client of a replica that has `key`, None where there is none."""

    @abstractmethod
    def reader_failed(self) -> None:
        """Note that a replica did not answer."""

    def redirected(self, error: AskError) -> redis.Redis:
        """Return a client of the server that has a key whose slot is being moved."""
        raise error

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

    def scan_page(self, pattern: str, cursor: str, size: int) -> tuple[list[bytes], str]:
        """Return about `size` keys that match, of some SCAN_ROUNDS round trips, and the cursor from which to go on.

        A cursor is "PLACE:CURSOR": which primary, and its own; "" begins, and ends.
        """
        nodes, found = list(self.primaries()), list[bytes]()
        place, _, own = cursor.partition(":")
        at, position = (int(place), int(own)) if place.isdecimal() and own.isdecimal() else (0, 0)
        for _ in range(SCAN_ROUNDS):
            if at >= len(nodes):
                return found, ""
            try:
                position, keys = nodes[at].scan(position, match=pattern, count=SCAN_COUNT)
            except DRIVER_ERRORS as error:
                raise translate(error) from error
            found += [key.encode() if isinstance(key, str) else key for key in keys]
            at += not position
            if len(found) >= size:
                break
        return found, f"{at}:{position}" if at < len(nodes) else ""

    def pool_stats(self) -> list[ServerPool]:
        """Return the statistics of the pool of each server."""
        return [pool_stats(node) for node in self.nodes()]

    def infos(self) -> list[dict[str, Any]]:
        """Return each server's statistics (INFO).

        A server that does not answer, or may not tell, has its `error` instead.
        """
        return [info_of(node) for node in self.nodes()]

    def note_replicas(self) -> int:
        """Name the linked replicas to their primaries, so that one that takes over is recognised (R23).

        Return how many are new. Raise StoreUnavailable, CommandRefused.
        """

        def note() -> int:
            replicas = [info for info in self.infos() if info.get("role") == "slave"]
            return sum(identity.note_replicas(node, bool(self.options.cluster), replicas) for node in self.primaries())

        started = time.monotonic()
        try:
            return note()
        except DRIVER_ERRORS as error:  # after a fail-over a replica may still be taken for the primary
            return self.policy.call(note, lambda *_: self.refresh(), self.refresh_soon, error, started)

    def begin(self) -> bool:
        """Record that the servers are empty and new; return whether all of them are. For who has made them."""
        return self._all_primaries(identity.begin)

    def end_grace(self) -> bool:
        """End the servers' grace periods (R22); return whether all of them are recognised."""
        return self._all_primaries(identity.end_grace)

    def _all_primaries(self, ask: Callable[[redis.Redis, bool], bool]) -> bool:
        try:
            answers = [ask(node, bool(self.options.cluster)) for node in self.primaries()]
        except DRIVER_ERRORS as error:
            raise translate(error) from error
        return all(answers)

    def slow_log(self, most: int) -> list[tuple[str, list[dict[str, Any]]]]:
        """Return each server's slowest commands, newest first, `most` of each; none of one that does not answer.

        Raise CommandRefused where one may not tell.
        """
        found = []
        for node in self.nodes():
            try:
                found.append((address_of(node), node.slowlog_get(most)))
            except (*DRIVER_ERRORS, StoreError) as error:
                translated = translate(error)
                if not isinstance(translated, StoreUnavailable):
                    raise translated from error
        return found

    def lock(self, name: str, **options: Any) -> RegionLock:
        """Return a lock that all processes of the region share; its options are those of the driver's lock."""
        return RegionLock(self.client, name, **options)


def info_of(node: redis.Redis) -> dict[str, Any]:
    try:
        answer: dict[str, Any] = node.info()
    except (*DRIVER_ERRORS, StoreError) as error:
        answer = {"error": str(error)}
    return {**answer, "server": address_of(node)}
