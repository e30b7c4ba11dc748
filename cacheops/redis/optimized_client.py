"""OptimizedRedisClient: the raw client of a region's servers, and the statistics of its connections."""

from dataclasses import asdict
from typing import Any, Self, TypedDict

from django.core.cache import caches

from cacheops.exceptions import InvalidOption
from cacheops.redis.clients import RegionCluster, RegionRedis, ServerPool
from cacheops.redis.options import ServerOptions
from cacheops.redis.registry import servers
from cacheops.redis.topology import Servers


class PoolStats(TypedDict):
    """The connections of this process to a region's servers, now: all servers together, then each one."""

    max_connections: int  # the most that the pools open
    created_connections: int  # that are open
    available_connections: int  # of these, idle
    in_use_connections: int  # of these, waiting for an answer
    servers: list[dict[str, Any]]  # server (host:port), limit, idle, in_use


class OptimizedRedisClient:
    """Connections to one server, or to a cluster by any of its nodes: pooled, kept alive, checked, tried again.

    `options` are those of docs/reference/caches.md in lower case: `socket_timeout=0.05`, `cluster=True`. Clients with
    equal options share their connections. Raise InvalidOption for one that can't work. Nothing is sent yet.
    """

    def __init__(self, host: str, port: int = 6379, max_connections: int = 50, **options: Any) -> None:
        if not host or not isinstance(host, str) or any(letter in host for letter in " /@"):
            raise InvalidOption(f"host is {host!r}: use the name or the address of a server.")
        if isinstance(port, bool) or not isinstance(port, int) or not 0 < port < 65536:
            raise InvalidOption(f"port is {port!r}: use a number from 1 to 65535.")
        address = f"[{host}]" if ":" in host else host
        try:
            found = ServerOptions(urls=(f"redis://{address}:{port}/0",), max_connections=max_connections, **options)
        except TypeError as error:
            known = ", ".join(sorted(name.lower() for name in ServerOptions.setting_names()))
            raise InvalidOption(f"{error}: the options are {known}.") from error
        self._servers: Servers | None = servers(found)

    @classmethod
    def of(cls, alias: str) -> Self:
        """Return the client of a CACHES alias, on the connections that it has already."""
        found = cls.__new__(cls)
        client = getattr(caches[alias], "client", None)
        found._servers = getattr(client, "servers", None)  # None: a cache in memory has none
        return found

    @property
    def is_known(self) -> bool:
        """Whether `get_pool_stats` asks no server: of a cluster that was not used yet it asks for the nodes."""
        return self._servers is None or self._servers.is_known

    @property
    def client(self) -> RegionRedis | RegionCluster:
        """The driver's client. Its errors are ours; its keys and values are raw."""
        if self._servers is None:
            raise InvalidOption("This cache is in memory: it has no servers. Use the cache itself.")
        return self._servers.client

    def get_pool_stats(self) -> PoolStats:
        """Return the statistics of the pools, from what the driver offers publicly; zeros for a cache in memory.

        Raise StoreUnavailable where a cluster's nodes are not known yet, and it does not answer. The engine's own
        connections, one a thread and server, are beside the pools.
        """
        each: list[ServerPool] = self._servers.pool_stats() if self._servers is not None else []
        idle, used = sum(one.idle for one in each), sum(one.in_use for one in each)
        return PoolStats(
            max_connections=sum(one.limit for one in each),
            created_connections=idle + used,
            available_connections=idle,
            in_use_connections=used,
            servers=[asdict(one) for one in each],
        )
