"""Figures of a region's Redis servers and keys."""

from collections.abc import Mapping, Sequence
from typing import Any

from cacheops.redis import Command, Servers
from cacheops.redis.transport import Transport
from cacheops.stores.inspection import Inspection
from cacheops.stores.reply import Reply


class RedisInspection(Inspection):
    """Counts go over the store's own transport: whoever adds them sends them before the next look-up."""

    def __init__(self, servers: Servers, transport: Transport) -> None:
        self._servers = servers
        self._transport = transport

    @property
    def by_sentinels(self) -> bool:
        return self._servers.options.by_sentinels

    def problem(self) -> str:
        return self._servers.problem()

    def nodes(self) -> list[dict[str, Any]]:
        return self._servers.infos()

    def sizes(self, keys: Sequence[str]) -> list[int]:
        found = self._transport.run_many([("MEMORY", "USAGE", key) for key in keys], keys)
        return [size or 0 for size in found]

    def add_counts(self, key: str, counts: Mapping[str, int], keep: int, ttl: float) -> Reply[None]:
        commands: list[Command] = [("ZINCRBY", key, count, name) for name, count in counts.items()]
        commands += [("ZREMRANGEBYRANK", key, 0, -keep - 1), ("PEXPIRE", key, round(ttl * 1000))]
        return self._transport.send(commands, [key] * len(commands), lambda answers: None)

    def top_counts(self, keys: Sequence[str], size: int) -> list[list[tuple[str, float]]]:
        found = self._transport.run_many([("ZREVRANGE", key, 0, size - 1, "WITHSCORES") for key in keys])
        return [
            [(name.decode(), float(count)) for name, count in zip(row[::2], row[1::2], strict=True)] for row in found
        ]

    def slow_log(self, most: int) -> list[tuple[str, list[dict[str, Any]]]]:
        return self._servers.slow_log(most)

    def connections(self) -> int | None:
        return self._servers.open_lines()
