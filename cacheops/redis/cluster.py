"""A cluster's servers."""

import threading
import time
from collections.abc import Sequence
from typing import Any

import redis
from redis.exceptions import AskError

from cacheops.exceptions import StoreUnavailable
from cacheops.redis.clients import RegionCluster
from cacheops.redis.errors import DRIVER_ERRORS, REDIRECTED
from cacheops.redis.options import ServerOptions
from cacheops.redis.pipeline import RAW, Command, exchange, keep_failed
from cacheops.redis.topology import Servers

LAYOUT_SECONDS = 10.0  # for which figures rely on a cluster's known nodes: a replica that joins is nobody's error


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
