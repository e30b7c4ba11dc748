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
        self.client = self._to_primary()
        self._readers = self._to_readers()
        self._turn = 0

    def _to_primary(self) -> RegionRedis:
        return RegionRedis.to(self.options.urls[0], self.options)

    def _to_readers(self) -> list[RegionRedis]:
        return [RegionRedis.to(url, self.options, reader=True) for url in self.options.urls[1:]]

    def node_of(self, key: str | bytes) -> redis.Redis:
        return self.client

    def reader_of(self, key: str) -> redis.Redis | None:
        readers = self._readers
        if not readers:
            return None
        self._turn = turn = (self._turn + 1) % len(readers)
        return readers[turn]

    def reader_failed(self) -> None:
        """Go on: another read asks it again, as the settings name it."""

    def nodes(self) -> list[redis.Redis]:
        return [self.client, *self._readers]

    def primaries(self) -> list[redis.Redis]:
        return [self.client]

    def refresh(self) -> None:
        self.client.refresh()
