"""A primary with its readers."""

import contextlib
from collections.abc import Sequence
from typing import Any

import redis

from cacheops.redis.clients import RegionRedis
from cacheops.redis.errors import MOVING, UNANSWERED
from cacheops.redis.options import ServerOptions
from cacheops.redis.pipeline import PIPELINE_LIMIT, RAW, Command, exchange, keep_failed
from cacheops.redis.topology import Servers


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
