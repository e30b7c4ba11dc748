"""A cluster's servers."""

from functools import partial
from typing import Any

import redis
from redis.exceptions import AskError

from cacheops.redis.clients import RegionCluster
from cacheops.redis.first_use import FirstUse
from cacheops.redis.options import ServerOptions
from cacheops.redis.topology import Servers

LAYOUT_SECONDS = 10.0  # for which pool statistics rely on the known nodes: a replica that joins redirects no command


class ClusterServers(Servers):
    """A cluster: each key has its server, which the client knows and learns anew when it changes."""

    share_a_slot = False

    def __init__(self, options: ServerOptions) -> None:
        super().__init__(options)
        self._client = FirstUse(partial(RegionCluster, options))

    @property
    def is_known(self) -> bool:
        return self._client.made is not None

    @property
    def client(self) -> RegionCluster:  # type: ignore[override]
        """The cluster's client; its layout is asked for on first use. Raise StoreUnavailable where no node answers."""
        return self._client.get()

    def node_of(self, key: str | bytes) -> redis.Redis:
        return self.client.get_redis_connection(self.client.get_node_from_key(key))

    def reader_of(self, key: str) -> redis.Redis | None:
        node = self.client.get_node_from_key(key, replica=True)
        return None if node is None else self.client.get_redis_connection(node)

    def reader_failed(self) -> None:
        self.refresh_soon()  # it may be gone for good, or have become a primary

    def redirected(self, error: AskError) -> redis.Redis:
        host, port = self.client.reachable(error.node_addr)
        node = self.client.get_node(host, port)
        if node is None:
            raise error  # the layout is asked for, and it is tried again
        return self.client.get_redis_connection(node)

    def nodes(self) -> list[redis.Redis]:
        return [self.client.get_redis_connection(node) for node in self.client.get_nodes()]

    def infos(self) -> list[dict[str, Any]]:
        if self.client.known_for > LAYOUT_SECONDS:
            self.client.refresh_soon()
        return super().infos()

    def primaries(self) -> list[redis.Redis]:
        return [self.client.get_redis_connection(node) for node in self.client.get_primaries()]

    def refresh(self) -> None:
        if self._client.made is not None:  # else it asks when it is used
            self._client.made.refresh()

    def refresh_soon(self) -> None:
        if self._client.made is not None:
            self._client.made.refresh_soon()
