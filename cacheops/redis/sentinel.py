"""A primary and its replicas, found by the sentinels that watch them.

https://redis.io/docs/latest/develop/reference/sentinel-clients/
"""

import threading
import time
from typing import Any

import redis
from redis.connection import BlockingConnectionPool, parse_url
from redis.exceptions import ConnectionError, ResponseError, TimeoutError
from redis.sentinel import (
    MasterNotFoundError,
    Sentinel,
    SentinelConnectionPool,
    SentinelManagedConnection,
    SentinelManagedSSLConnection,
)

from cacheops.redis.clients import RegionRedis, address_of, connection_settings
from cacheops.redis.errors import DENIED
from cacheops.redis.options import ServerOptions
from cacheops.redis.replicated import ReplicatedServers
from cacheops.redis.sentinel_address import SentinelAddress

REPLICAS_SECONDS = 10.0  # for which reads rely on the replicas that the sentinels have named


class OneSentinel(redis.Redis):
    """A client of a sentinel, known in errors by its address: the driver shows all of its settings."""

    def __repr__(self) -> str:
        return address_of(self)


class Sentinels(Sentinel):
    """The sentinels of an address. They are asked one after the other, first the one that has answered last."""

    def __init__(self, address: SentinelAddress, options: ServerOptions) -> None:
        settings = connection_settings(options) | {"username": None, "password": None} | dict(address.authority)
        for name in ("socket_timeout", "socket_connect_timeout"):
            settings[name] /= len(address.sentinels)  # all of them together take no longer than a server may
        settings |= {name: value for name, value in parse_url(address.server()).items() if name.startswith("ssl_")}
        super().__init__([])
        self.sentinels = [OneSentinel(host, port, ssl=address.tls, **settings) for host, port in address.sentinels]
        self._asking = threading.Lock()
        self._failure: tuple[float, str] | None = None  # when they were last asked in vain, and why

    def discover_master(self, service_name: str) -> tuple[str, int]:
        """Return the primary's host and port. Raise MasterNotFoundError where none of them names one.

        Threads that come while one asks share its failure. (One at a time: the driver may lose a sentinel otherwise.)
        """
        came_at = time.monotonic()
        with self._asking:
            if self._failure is not None and self._failure[0] >= came_at:
                raise MasterNotFoundError(self._failure[1])
            try:
                return super().discover_master(service_name)
            except MasterNotFoundError as error:
                self._failure = (time.monotonic(), str(error))
                raise

    def problem(self, service: str) -> str:
        """Return what will not pass by itself: no sentinel knows the service, or one refuses. "" where nothing is."""
        known: set[str] = set()
        answered = False
        for sentinel in self.sentinels:
            try:
                states: Any = sentinel.sentinel_masters()  # by service
                known |= set(states)
                answered = True
            except (*DENIED, ResponseError) as error:
                return f"the sentinel {sentinel!r} refuses: {error}"
            except (ConnectionError, TimeoutError):
                continue
        if service in known or not answered:
            return ""
        return f"the sentinels know no service {service!r}, but {', '.join(sorted(known)) or 'none at all'}"


class PrimaryPool(SentinelConnectionPool, BlockingConnectionPool):
    """Connections to whichever server the sentinels name primary when they are opened."""

    def owns_connection(self, connection: Any) -> bool:
        """Keep each connection, and disconnect one that leads to a former primary, or nowhere.

        The driver throws such a one away, but counts it as one in use for ever.
        """
        if self.master_address != (connection.host, connection.port):
            connection.disconnect()
        return bool(BlockingConnectionPool.owns_connection(self, connection))


class SentinelServers(ReplicatedServers):
    """A primary that sentinels name at each new connection, and the replicas that they name."""

    def __init__(self, options: ServerOptions) -> None:
        self._address = SentinelAddress.parse(options.urls[0])
        self._sentinels = Sentinels(self._address, options)
        self._replicas_until = 0.0  # monotonic: when they are to be asked for again
        super().__init__(options)

    def _to_primary(self) -> RegionRedis:
        return RegionRedis.to(
            self._address.server(),
            self.options,
            pool_class=PrimaryPool,
            connection_class=SentinelManagedSSLConnection if self._address.tls else SentinelManagedConnection,
            service_name=self._address.service,
            sentinel_manager=self._sentinels,
        )

    def _to_readers(self) -> list[RegionRedis]:
        return []  # they are asked for when they are needed

    @property
    def is_known(self) -> bool:
        pool: Any = self.client.connection_pool
        return pool.master_address is not None

    def problem(self) -> str:
        return self._sentinels.problem(self._address.service)

    def reader_of(self, key: str) -> redis.Redis | None:
        if time.monotonic() >= self._replicas_until:
            self._learn_replicas()
        return super().reader_of(key)

    def reader_failed(self) -> None:
        self._replicas_until = 0.0  # the next read asks which there are

    def infos(self) -> list[dict[str, Any]]:
        self._learn_replicas()
        return super().infos()

    def slow_log(self, most: int) -> list[tuple[str, list[dict[str, Any]]]]:
        self._learn_replicas()
        return super().slow_log(most)

    def _learn_replicas(self) -> None:
        """Ask which replicas there are. Where no sentinel answers, there are none to read from."""
        self._replicas_until = time.monotonic() + REPLICAS_SECONDS  # first: other threads go on with those known
        known = {address_of(reader): reader for reader in self._readers}
        found = {f"{each[0]}:{each[1]}": each for each in self._sentinels.discover_replicas(self._address.service)}
        self._readers = [known[name] if name in known else self._reader(*each) for name, each in found.items()]
        for gone in known.keys() - found.keys():
            known[gone].refresh()

    def _reader(self, host: str, port: int) -> RegionRedis:
        return RegionRedis.to(self._address.server(host, port), self.options, reader=True)
