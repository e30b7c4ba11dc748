"""Servers of which the settings do not say whether they are a cluster: whoever uses them first asks."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import redis
from redis.connection import ConnectionPool
from redis.exceptions import AskError

from cacheops.redis.clients import RegionCluster, RegionRedis, connection_settings
from cacheops.redis.errors import DRIVER_ERRORS, is_transient, translate
from cacheops.redis.first_use import FirstUse
from cacheops.redis.options import ServerOptions
from cacheops.redis.topology import Servers


class DiscoveredServers(Servers):
    """Hands everything on to the servers that were found. `make` returns those for options that say what they are."""

    def __init__(self, options: ServerOptions, make: Callable[[ServerOptions], Servers]) -> None:
        super().__init__(options)
        self._make = make
        self._found = FirstUse(self._discovered)

    @property
    def found(self) -> Servers:
        """The servers as what they are. Raise StoreError where none says it."""
        return self._found.get()

    def _discovered(self) -> Servers:
        cluster = is_cluster(self.options)
        known = replace(self.options, cluster=cluster, address_map=self.options.address_map if cluster else ())
        self.options = known
        return self._make(known)

    @property
    def is_known(self) -> bool:
        return self._found.made is not None and self._found.made.is_known

    @property
    def client(self) -> RegionRedis | RegionCluster:  # type: ignore[override]
        return self.found.client

    @property
    def share_a_slot(self) -> bool:  # type: ignore[override]
        return self.found.share_a_slot

    def nodes(self) -> list[redis.Redis]:
        return self.found.nodes()

    def primaries(self) -> list[redis.Redis]:
        return self.found.primaries()

    def refresh(self) -> None:
        if self._found.made is not None:  # else it asks when it is used
            self._found.made.refresh()

    def refresh_soon(self) -> None:
        if self._found.made is not None:
            self._found.made.refresh_soon()

    def node_of(self, key: str | bytes) -> redis.Redis:
        return self.found.node_of(key)

    def reader_of(self, key: str) -> redis.Redis | None:
        return self.found.reader_of(key)

    def reader_failed(self) -> None:
        self.found.reader_failed()

    def redirected(self, error: AskError) -> redis.Redis:
        return self.found.redirected(error)

    def infos(self) -> list[dict[str, Any]]:
        return self.found.infos()


def is_cluster(options: ServerOptions) -> bool:
    """Return whether the servers at these addresses are a cluster's, by the first that answers. Raise StoreError."""
    failure: Exception | None = None
    for url in options.urls:
        pool = ConnectionPool.from_url(url, **connection_settings(options))
        try:
            return bool(int(redis.Redis(connection_pool=pool).info("cluster")["cluster_enabled"]))
        except DRIVER_ERRORS as error:
            failure = error
            if not is_transient(error):
                break
        finally:
            pool.disconnect()
    assert failure is not None
    raise translate(failure) from failure
