"""A region's servers in their two forms, with the same methods: a primary with readers, and a cluster."""

import contextlib
import itertools
import os
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar
from weakref import WeakValueDictionary

import redis
from redis.client import NEVER_DECODE
from redis.exceptions import AskError, ResponseError

from cacheops.exceptions import StoreError, StoreUnavailable
from cacheops.stores.driver.clients import PoolFigures, RegionCluster, RegionLock, RegionRedis, pool_figures
from cacheops.stores.driver.errors import (
    DRIVER_ERRORS,
    MOVING,
    REDIRECTED,
    UNANSWERED,
    RetryPolicy,
    is_transient,
    translate,
)
from cacheops.stores.options import ServerOptions

Command = tuple[Any, ...]  # name, key, further arguments

RAW = {NEVER_DECODE: True}  # values are bytes, whatever decode_responses says of raw clients
LAYOUT_SECONDS = 60.0  # for which figures rely on a cluster's known nodes: a replica that joins is nobody's error
PIPELINE_LIMIT = 1000  # commands a round trip: bounds memory, and how long one caller holds a server


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


class PairServers(Servers):
    """A primary that takes the writes, and readers (replicas), each with its own address."""

    client: RegionRedis

    def __init__(self, options: ServerOptions) -> None:
        super().__init__(options)
        self.client, *self._readers = (RegionRedis.to(url, options) for url in options.urls)
        self._turn = 0

    def run(self, key: str, *command: Any, read: bool = False) -> Any:
        reader = self._reader() if read else None
        if reader is not None:
            with contextlib.suppress(*UNANSWERED, *MOVING):  # a lost reader costs little while the primary is there
                return reader.once(*command, **RAW)
        return self.client.execute_command(*command, **RAW)

    def _reader(self) -> RegionRedis | None:
        if not self._readers or not self.options.reads_readers:
            return None
        self._turn = (self._turn + 1) % len(self._readers)
        return self._readers[self._turn]

    def node_of(self, key: str, read: bool = False) -> redis.Redis:
        return (self._reader() if read else None) or self.client

    def values(self, keys: Sequence[str]) -> list[bytes | None]:
        batches = [keys[start : start + PIPELINE_LIMIT] for start in range(0, len(keys), PIPELINE_LIMIT)]
        return [value for batch in batches for value in self.run(batch[0], "MGET", *batch, read=True)]

    def nodes(self) -> list[redis.Redis]:
        return [self.client, *self._readers]

    def primaries(self) -> list[redis.Redis]:
        return [self.client]

    def _send(self, commands: Sequence[Command], waiting: list[int], answers: list[Any], read: bool) -> None:
        node = self.node_of("", read)
        exchange({node: waiting}, commands, answers)
        if node is not self.client:
            waiting[:] = [index for index in waiting if isinstance(answers[index], Exception)]
            exchange({self.client: waiting} if waiting else {}, commands, answers)
        keep_failed(waiting, answers)

    def refresh(self) -> None:
        self.client.forget_connections()


class ClusterServers(Servers):
    """A cluster: each key has its server, which the client knows and learns anew when it changes."""

    def __init__(self, options: ServerOptions) -> None:
        super().__init__(options)
        self._client: RegionCluster | None = None
        self._connecting = threading.Lock()
        self._failure: tuple[float, StoreUnavailable] | None = None  # when it was last tried in vain, and why

    @property
    def is_known(self) -> bool:
        return self._client is not None

    @property
    def client(self) -> RegionCluster:  # type: ignore[override]
        """The cluster's client; its layout is asked for on first use. Raise StoreUnavailable where nobody answers.

        Threads that come while one asks share its answer.
        """
        if self._client is None:
            came_at = time.monotonic()
            with self._connecting:
                if self._client is None:
                    if self._failure is not None and self._failure[0] >= came_at:
                        raise StoreUnavailable(*self._failure[1].args)
                    self._client = self._connected()
        return self._client

    def _connected(self) -> RegionCluster:
        try:
            return RegionCluster(self.options)
        except StoreUnavailable as error:
            self._failure = (time.monotonic(), error)
            raise

    def run(self, key: str, *command: Any, read: bool = False) -> Any:
        started = time.monotonic()
        try:  # straight to the key's server: the cluster client's own way costs a third more
            return self.node_of(key, read).execute_command(*command, **RAW)
        except REDIRECTED:
            return self.client.execute_command(*command, **RAW)
        except DRIVER_ERRORS as error:
            return self.policy.call(
                lambda: self.node_of(key, read).execute_command(*command, **RAW),
                self.refresh,
                error,
                started,
                self.refresh_soon,
            )

    def node_of(self, key: str, read: bool = False) -> redis.Redis:
        node = self.client.get_node_from_key(key, replica=True) if read and self.options.reads_readers else None
        return self.client.get_redis_connection(node or self.client.get_node_from_key(key))

    def nodes(self) -> list[redis.Redis]:
        return [self.client.get_redis_connection(node) for node in self.client.get_nodes()]

    def infos(self) -> list[dict[str, Any]]:
        if self.client.known_for > LAYOUT_SECONDS:
            self.client.refresh_soon()
        return super().infos()

    def primaries(self) -> list[redis.Redis]:
        return [self.client.get_redis_connection(node) for node in self.client.get_primaries()]

    def _send(self, commands: Sequence[Command], waiting: list[int], answers: list[Any], read: bool) -> None:
        groups: dict[redis.Redis, list[int]] = {}
        for index in waiting:
            groups.setdefault(self.node_of(commands[index][1], read), []).append(index)
        exchange(groups, commands, answers)
        for index in waiting:
            if type(answers[index]) is AskError:  # its slot is being moved
                answers[index] = self.client.once(*commands[index], **RAW)
        keep_failed(waiting, answers)

    def refresh(self) -> None:
        if self._client is not None:  # else it asks when it is used
            self._client.refresh()

    def refresh_soon(self) -> None:
        if self._client is not None:
            self._client.refresh_soon()


def info_of(node: redis.Redis) -> dict[str, Any]:
    server = pool_figures(node).server
    try:
        answer: dict[str, Any] = node.info()
    except (*DRIVER_ERRORS, StoreError) as error:
        return {"server": server, "error": str(error)}
    return {**answer, "server": server}


class _Sent:
    """Commands on their way to one server. The driver's own pipeline takes twice as long for them."""

    def __init__(self, node: redis.Redis, commands: Sequence[Command]) -> None:
        self._size = len(commands)
        self._pool = node.connection_pool
        self._connection: Any = None
        self._failure: Exception | None = None
        try:
            self._connection = self._pool.get_connection()
            self._connection.send_packed_command(self._connection.pack_commands(commands))
        except UNANSWERED as error:
            self._failure = error

    def answers(self) -> list[Any]:
        """Return an answer for each command: what the server said, or the driver's error."""
        received: list[Any] = []
        while self._failure is None and len(received) < self._size:
            try:
                received.append(self._connection.read_response(disable_decoding=True))
            except UNANSWERED as error:
                self._failure = error
                self._connection.disconnect()
            except ResponseError as error:
                received.append(error)
        return received + [self._failure] * (self._size - len(received))

    def __enter__(self) -> "_Sent":
        return self

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        if self._connection is not None:
            if kind is not None:  # an answer that nobody read must not meet the next command
                self._connection.disconnect()
            self._pool.release(self._connection)


def exchange(groups: Mapping[redis.Redis, Sequence[int]], commands: Sequence[Command], answers: list[Any]) -> None:
    """Send each server its group of commands, then read all answers: the servers work at the same time."""
    with contextlib.ExitStack() as stack:
        sent = [
            (stack.enter_context(_Sent(node, [commands[index] for index in group])), group)
            for node, group in groups.items()
        ]
        for flight, group in sent:
            for index, answer in zip(group, flight.answers(), strict=True):
                answers[index] = answer


def keep_failed(waiting: list[int], answers: Sequence[Any]) -> None:
    """Leave in `waiting` what failed, and raise the driver's error if anything did: one that no retry helps first."""
    waiting[:] = [index for index in waiting if isinstance(answers[index], Exception)]
    refused = [index for index in waiting if not is_transient(answers[index])]
    for index in refused or waiting:
        raise answers[index]


class _Registry:
    """The servers in use by this process: equal options share their connections, different options never do."""

    known: ClassVar[dict[ServerOptions, Servers]] = {}
    lock: ClassVar[threading.Lock] = threading.Lock()


def servers(options: ServerOptions) -> Servers:
    """Return the servers for these options, the same object each time. Nothing is sent yet."""
    with _Registry.lock:
        found = _Registry.known.get(options)
        if found is None:
            found = _Registry.known[options] = ClusterServers(options) if options.cluster else PairServers(options)
    return found
