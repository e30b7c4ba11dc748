"""A primary with its readers."""

import redis

from cacheops.redis.clients import RegionRedis
from cacheops.redis.options import ServerOptions
from cacheops.redis.topology import Servers


class ReplicatedServers(Servers):
    """A primary that takes the writes, and readers (replicas), each with its own address."""

    client: RegionRedis
    share_a_slot = True

    def __init__(self, options: ServerOptions) -> None:
        super().__init__(options)
        self.client = RegionRedis.to(options.urls[0], options)
        self._readers = [RegionRedis.to(url, options, reader=True) for url in options.urls[1:]]
        self._turn = 0

    def node_of(self, key: str | bytes) -> redis.Redis:
        return self.client

    def reader_of(self, key: str) -> redis.Redis | None:
        if not self._readers:
            return None
        self._turn = (self._turn + 1) % len(self._readers)
        return self._readers[self._turn]

    def reader_failed(self) -> None:
        """Go on: another read asks it again, as the settings name it."""

    def nodes(self) -> list[redis.Redis]:
        return [self.client, *self._readers]

    def primaries(self) -> list[redis.Redis]:
        return [self.client]

    def refresh(self) -> None:
        self.client.refresh()
