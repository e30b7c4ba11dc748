"""A primary and its replica: their roles, and fail-over. ElastiCache's control plane, in small."""

import asyncio
import contextlib
import logging
import time

import hiredis

from cacheops.redis.identity import BEGIN, NOTE_REPLICAS, record_key
from xyzsite.localregions.exceptions import LocalRegionsError, ServerFailed
from xyzsite.localregions.plan import HOST
from xyzsite.localregions.proxy import Target
from xyzsite.localregions.redisfiles import slot_range
from xyzsite.localregions.servers import RedisServer

logger = logging.getLogger(__name__)

# How long a promoted server may take to call itself primary, in seconds; it takes a few milliseconds.
PROMOTE_SECONDS = 1.0
# How long a planned failover may wait for the replica to have every write, in seconds.
HANDOVER_SECONDS = 2.0
# Writes to a primary that was frozen, while it learns that it was replaced, in milliseconds.
FENCE_MILLISECONDS = 1_000


class Shard:
    """Two servers with the same data. `primary` is the one that the supervisor has chosen."""

    def __init__(self, region: str, servers: list[RedisServer], silence: float, replace_after: float) -> None:
        self.region = region
        self.servers = servers
        self.primary = servers[0]
        self.silence = silence
        self.replace_after = replace_after
        self.busy = asyncio.Lock()
        self.fenced: set[str] = set()  # whose writes are held until they follow the new primary

    @property
    def number(self) -> int | None:
        """Which of its region's shards it is, from 1 on."""
        return self.servers[0].node.shard

    @property
    def others(self) -> list[RedisServer]:
        return [server for server in self.servers if server is not self.primary]

    @property
    def linked(self) -> bool:
        """Whether the primary serves and every other server is its replica, in sync."""
        return self.primary.role == "primary" and all(
            server.role == "replica" and server.in_sync and server.follows == self.primary.port
            for server in self.others
        )

    def lost(self, server: RedisServer, now: float) -> bool:
        """Return whether a server is dead, or silent for too long."""
        return not server.running or server.silent_for(now) > self.silence

    async def reconcile(self, now: float) -> None:
        """Bring the servers to what they should be: promote when the primary is lost, demote who came back."""
        if self.busy.locked():
            return
        async with self.busy:
            self.adopt()
            if self.lost(self.primary, now):
                await self.replace_primary(now)
            self.restart_ended(now)
            self.align()

    async def replace_primary(self, now: float) -> None:
        """Promote the replica that has most of the data, if one answers."""
        candidates = [server for server in self.others if server.usable and not self.lost(server, now)]
        if not candidates:
            return
        chosen, old = max(candidates, key=lambda server: server.offset), self.primary
        began = time.monotonic()
        try:
            await self.promote(chosen)
        except (OSError, hiredis.ReplyError, ServerFailed) as error:
            logger.warning("%s was not promoted, trying again: %s", chosen.node.name, error)
            return
        self.primary = chosen
        self.fence(old)
        logger.warning(
            "%s is lost; %s is primary after %.0f ms", old.node.name, chosen.node.name, (time.monotonic() - began) * 1e3
        )

    async def settle(self, server: RedisServer) -> None:
        """Wait until a server calls itself primary. Raises ServerFailed."""
        deadline = time.monotonic() + PROMOTE_SECONDS
        while time.monotonic() < deadline:
            if (await server.ask("ROLE"))[0] == "master":
                server.role = "primary"
                return
            await asyncio.sleep(0.002)
        raise ServerFailed(f"{server.node.name} did not become primary")

    def restart_ended(self, now: float) -> None:
        """Start a server again that has ended a moment ago, as ElastiCache replaces a node."""
        for server in self.servers:
            if server.down_since is not None and now - server.down_since >= self.replace_after:
                logger.info("%s is started again", server.node.name)
                self.restart(server)

    async def failover(self) -> None:
        """Hand the primary's role to its replica without losing a write. Raises ServerFailed, LocalRegionsError."""
        async with self.busy:
            if not self.linked:
                raise LocalRegionsError(f"{self.region} has no replica in sync now: wait, see `regions status`.")
            old, chosen = self.primary, self.others[0]
            try:
                await self.catch_up(old, chosen)
                await self.promote(chosen)
            except (OSError, hiredis.ReplyError, ServerFailed) as error:
                old.leave("CLIENT", "UNPAUSE")
                raise ServerFailed(f"{chosen.node.name} did not take over: {error}") from error
            self.primary = chosen
            self.fence(old)

    async def crash(self) -> None:
        """End all servers at once, and start them from their last snapshots before another can take over."""
        async with self.busy:
            for server in self.servers:
                server.kill()
            while any(server.running for server in self.servers):
                await asyncio.sleep(0.002)
            for server in [self.primary, *self.others]:
                self.restart(server)

    async def catch_up(self, old: RedisServer, chosen: RedisServer) -> None:
        """Hold writes until the replica has them all.

        CLUSTER FAILOVER would do it too, but needs votes, which the primaries give once in two node time-outs.
        """
        await old.ask("CLIENT", "PAUSE", int(HANDOVER_SECONDS * 1e3), "WRITE")
        self.fenced.add(old.node.name)
        deadline = time.monotonic() + HANDOVER_SECONDS / 2
        while (await old.ask("ROLE"))[1] != (await chosen.ask("ROLE"))[4]:
            if time.monotonic() > deadline:
                raise ServerFailed(f"{chosen.node.name} lags behind")
            await asyncio.sleep(0.002)

    @property
    def record_key(self) -> str:
        """The key under which the servers hold their identity record."""
        return record_key()

    async def begin(self) -> None:
        """Say to a new, empty primary that it is new: otherwise nothing is cached on it for half a minute."""
        await self.primary.ask("EVAL", BEGIN, 1, self.record_key)
        await self.note_replicas()

    async def note_replicas(self) -> None:
        """Name the linked replicas to their primary, so that one that takes over is recognised."""
        history = (await self.primary.info("replication"))["master_replid"]
        runs = [(await server.info("server"))["run_id"] for server in self.others]
        await self.primary.ask("EVAL", NOTE_REPLICAS, 1, self.record_key, history, *runs)

    def adopt(self) -> None:
        """Accept a primary that was promoted from outside."""

    def align(self) -> None:
        """Let demoted nodes answer again: they redirect clients to the primary."""
        for server in self.others:
            if server.role == "replica" and server.node.name in self.fenced:
                self.fenced.discard(server.node.name)
                server.leave("CLIENT", "UNPAUSE")

    def restart(self, server: RedisServer) -> None:
        raise NotImplementedError

    async def promote(self, server: RedisServer) -> None:
        raise NotImplementedError

    def fence(self, old: RedisServer) -> None:
        """Leave word for a frozen primary that it is one no longer, to be read when it wakes."""
        raise NotImplementedError


class ClusterShard(Shard):
    """A shard of a Redis Cluster: its nodes agree on the primary, and redirect clients."""

    @property
    def record_key(self) -> str:
        first, last = slot_range(self.servers[0].node).split("-")
        return record_key([range(int(first), int(last) + 1)])

    async def promote(self, server: RedisServer) -> None:
        if server.role != "primary":
            await server.ask("CLUSTER", "FAILOVER", "TAKEOVER")
        await self.settle(server)

    def adopt(self) -> None:
        if self.primary.role == "replica":
            for server in self.others:
                if server.role == "primary":
                    logger.info("%s is primary now, by a command from outside", server.node.name)
                    self.primary = server

    def fence(self, old: RedisServer) -> None:
        old.leave("CLIENT", "PAUSE", FENCE_MILLISECONDS, "WRITE")
        self.fenced.add(old.node.name)

    def restart(self, server: RedisServer) -> None:
        server.start()  # its nodes.conf knows the cluster, and the cluster knows better who is primary


class PairShard(Shard):
    """A primary and its replica behind two stable addresses; the supervisor makes them follow one another."""

    def __init__(self, region: str, servers: list[RedisServer], silence: float, replace_after: float) -> None:
        super().__init__(region, servers, silence, replace_after)
        self.writes = Target(self.primary.port)
        self.reads = Target(self.primary.port)

    async def reconcile(self, now: float) -> None:
        if not self.busy.locked() and self.lost(self.primary, now):
            self.writes.move(None)  # from here on the old primary is out of reach
        await super().reconcile(now)
        if not self.busy.locked():
            self.point(now)

    def point(self, now: float) -> None:
        """Let the stable addresses lead to the servers that serve now."""
        if not self.lost(self.primary, now) and self.primary.role == "primary":
            self.writes.move(self.primary.port)
        readers = [server for server in self.others if server.usable and server.in_sync and not self.lost(server, now)]
        self.reads.move(readers[0].port if readers else self.writes.port)

    async def promote(self, server: RedisServer) -> None:
        await server.ask("REPLICAOF", "NO", "ONE")
        await self.settle(server)

    async def catch_up(self, old: RedisServer, chosen: RedisServer) -> None:
        self.writes.move(None)
        await super().catch_up(old, chosen)

    def align(self) -> None:
        if self.primary.role == "replica":
            self.primary.leave("REPLICAOF", "NO", "ONE")
        for server in self.others:
            if server.role == "primary" or (server.role and server.follows != self.primary.port):
                self.fence(server)
        super().align()

    def fence(self, old: RedisServer) -> None:
        old.leave("REPLICAOF", HOST, self.primary.port)
        old.leave("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")

    def restart(self, server: RedisServer) -> None:
        server.start(replica_of=None if server is self.primary else self.primary.port)


async def all_linked(shards: list[Shard], seconds: float) -> bool:
    """Wait until every shard serves with its replica in sync; return whether that was so in time."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            while not all(shard.linked for shard in shards):
                await asyncio.sleep(0.005)
            return True
    return False
