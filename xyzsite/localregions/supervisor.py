"""The supervisor: starts the servers, watches them, promotes and replaces, and does what `regions` asks."""

import asyncio
import logging
import signal
import ssl
import time
from collections.abc import Callable, Iterator
from typing import Any

from xyzsite.localregions import plan as layout
from xyzsite.localregions import redisfiles, state
from xyzsite.localregions.databases import Databases
from xyzsite.localregions.distance import REAL, Distance, checked
from xyzsite.localregions.exceptions import LocalRegionsError, ServerFailed, UnknownName
from xyzsite.localregions.plan import Plan
from xyzsite.localregions.programs import RedisProgram
from xyzsite.localregions.proxy import Endpoint, Target
from xyzsite.localregions.servers import RedisServer, Server
from xyzsite.localregions.shards import ClusterShard, PairShard, Shard, all_linked

logger = logging.getLogger(__name__)

# How often each server is asked how it is, in seconds; a closed connection wakes the supervisor at once.
BEAT = 0.05
# Far above the half second that it takes, for machines that are busy with other things.
BOOT_SECONDS = 30.0
# How long a server may take to end when asked, in seconds.
STOP_SECONDS = 10.0


class Supervisor:
    """All servers of all regions, in one event loop."""

    def __init__(
        self,
        plan: Plan,
        program: RedisProgram,
        tls: ssl.SSLContext | None,
        databases: Databases,
        owner: state.Process | None,
    ) -> None:
        self.plan = plan
        self.owner = owner
        self.databases = databases
        self.redis = [RedisServer(plan, node, program, tls) for node in layout.redis_nodes()]
        self.shards = [self._shard(key) for key in dict.fromkeys((s.node.region, s.node.shard) for s in self.redis)]
        self.endpoints: dict[str, Endpoint] = {}
        self.partitioned: set[str] = set()
        self.distances: dict[frozenset[str], Distance] = {}
        if plan.options.distance == "real":
            self.distances = {pair: checked(milliseconds) for pair, milliseconds in REAL.items()}
        databases.parted, databases.moved = self.partitioned, self._relink
        self.stopping = asyncio.Event()
        self._changed = asyncio.Event()
        for server in self.redis:
            server.changed = self._changed

    def _shard(self, key: tuple[str, int | None]) -> Shard:
        servers = [server for server in self.redis if (server.node.region, server.node.shard) == key]
        kind = ClusterShard if servers[0].node.kind == "cluster" else PairShard
        return kind(key[0], servers, self.plan.options.silence, self.plan.options.replace_after)

    @property
    def servers(self) -> list[Server]:
        return [*self.redis, *self.databases.servers]

    def server(self, name: str) -> Server:
        """Return a server by its node's name. Raises UnknownName."""
        layout.known_node(name, self.plan.options)
        return next(server for server in self.servers if server.node.name == name)

    async def boot(self) -> None:
        """Start everything and wait until it serves, replicas linked. Raises ServerFailed."""
        databases = asyncio.create_task(self.databases.boot())
        try:
            await self._boot_redis()
            await self._open_endpoints()
            await databases
        finally:
            databases.cancel()

    async def _boot_redis(self) -> None:
        for server in self.redis:
            redisfiles.write(self.plan, server.node, server.program)
        followers = [s for s in self.redis if s.node.kind == "pair" and not s.node.first]
        for server in self.redis:
            if server not in followers:
                server.start()
        await self._until(lambda: all(s.role for s in self.redis if s not in followers))
        # Started after their primaries: a replica that finds none tries again only after a second.
        for server in followers:
            server.start(replica_of=self._shard_of(server).primary.port)
        for shard in self.shards:
            if isinstance(shard, ClusterShard):
                await shard.promote(shard.primary)
        await self._until(lambda: all(shard.linked for shard in self.shards))
        while not all([await server.in_cluster() for server in self.redis if server.node.kind == "cluster"]):
            await asyncio.sleep(0.005)
        for shard in self.shards:
            await shard.begin()

    def _shard_of(self, server: RedisServer) -> Shard:
        return next(shard for shard in self.shards if server in shard.servers)

    async def _until(self, ready: Callable[[], bool]) -> None:
        """Beat until something is so. Raises ServerFailed with the logs of those that ended or do not answer."""
        deadline = time.monotonic() + BOOT_SECONDS
        while not ready():
            await asyncio.sleep(0.005)
            for server in self.redis:
                if server.process is not None:
                    server.beat(time.monotonic())
            ended = [server for server in self.redis if server.down_since is not None]
            if ended or time.monotonic() > deadline:
                raise ServerFailed(self._explain(ended or [s for s in self.redis if not s.usable] or self.redis))

    def _explain(self, servers: list[RedisServer]) -> str:
        logs = [self.plan.log(server.node) for server in servers]
        last = [log.read_text(errors="replace").splitlines()[-1:] for log in logs if log.exists()]
        lines = [f"{s.node.name}: {''.join(line)}" for s, line in zip(servers, last, strict=False)]
        return "Redis servers did not start:\n" + "\n".join(lines)

    async def _open_endpoints(self) -> None:
        targets = self._targets()
        for region in layout.PAIRS:
            for name in (layout.primary_endpoint(region), layout.reader_endpoint(region)):
                await self._open(name, targets[name])
        for source, _, name in layout.links(self.plan.options):
            await self._open(layout.link(source, name), targets[name])
        self._part()

    async def _open(self, name: str, target: Target) -> None:
        self.endpoints[name] = Endpoint(target)
        await self.endpoints[name].start(self.plan.port(name))

    def _targets(self) -> dict[str, Target]:
        """Return where each endpoint leads: a pair's servers by turns, the others always to the same."""
        targets = {}
        for shard in self.shards:
            if isinstance(shard, PairShard):
                targets[layout.primary_endpoint(shard.region)] = shard.writes
                targets[layout.reader_endpoint(shard.region)] = shard.reads
        targets[f"{layout.HOME}-db"] = self.databases.target
        for _, name in layout.endpoints(self.plan.options):
            targets.setdefault(name, Target(self.plan.ports[name]))
        return targets

    async def run(self, record: Callable[["Supervisor"], None]) -> None:
        """Watch until asked to stop, or until the owner is gone; `record` is called after each round."""
        last = time.monotonic()
        while not self.stopping.is_set():
            now = time.monotonic()
            self._discount_stall(now - last - BEAT)
            last = now
            await self.tick(now)
            record(self)
            await self._pause()

    async def tick(self, now: float) -> None:
        """Ask every server how it is and act on what is known."""
        for server in self.redis:
            server.beat(now)
        await asyncio.gather(*(shard.reconcile(now) for shard in self.shards))
        self.databases.reconcile(now, self.plan.options.replace_after)
        if self.owner is not None and not self.owner.alive:
            logger.info("the owner (process %s) is gone", self.owner.pid)
            self.stopping.set()

    def _discount_stall(self, late: float) -> None:
        """Forgive servers a silence in which this process itself did not run."""
        if late > BEAT:
            for server in self.redis:
                if server.silent_since is not None:
                    server.silent_since += late

    async def _pause(self) -> None:
        try:
            async with asyncio.timeout(BEAT):
                await self._changed.wait()
        except TimeoutError:
            return
        self._changed.clear()

    # What `regions` asks for, by name.

    async def kill(self, node: str) -> None:
        """End a node at once; it comes back as a replica."""
        self.server(node).kill()
        self._changed.set()

    async def pause(self, node: str) -> None:
        """Freeze a node: its connections stay open, it answers nothing."""
        self.server(node).pause()

    async def resume(self, node: str) -> None:
        """Let a frozen node go on."""
        self.server(node).resume()

    async def partition(self, region: str) -> None:
        """Drop everything between a region and the others."""
        self.partitioned.add(layout.known_region(region))
        self._stall()

    async def heal(self) -> None:
        """End every partition."""
        self.partitioned.clear()
        self._stall()

    def _stall(self) -> None:
        for source, region, link in self._links():
            link.stall(source != region and bool(self.partitioned & {source, region}))

    def _links(self) -> Iterator[tuple[str, str, Endpoint]]:
        """Yield the regions at both ends of each link, which are one where the primary database has come to it."""
        for source, region, name in layout.links(self.plan.options):
            at = self.databases.region if name == f"{layout.HOME}-db" else region
            yield source, at, self.endpoints[layout.link(source, name)]
        yield layout.HOME, self.databases.region, self.databases.home

    async def distance(self, region: str, milliseconds: float, jitter: float = 0.0, loss: float = 0.0) -> None:
        """Put a region so many milliseconds, there and back, from each of the others; the loss is in percent."""
        layout.known_region(region)
        found = checked(milliseconds, jitter, loss)
        self.distances |= {frozenset((region, other)): found for other in layout.REGIONS if other != region}
        self._part()

    def _part(self) -> None:
        for source, region, link in self._links():
            link.distance = self.distances.get(frozenset((source, region)), Distance())

    def _relink(self) -> None:
        self._part()
        self._stall()

    async def failover(self, region: str) -> None:
        """Hand the primary's role to the replica, in each shard of a region."""
        layout.known_region(region)
        for shard in self.shards:
            if shard.region == region:
                await shard.failover()
                if isinstance(shard, PairShard):
                    shard.point(time.monotonic())

    async def failover_database(self, region: str | None = None) -> str:
        """Make a replica the primary database, have the others follow it, and return its name."""
        return await self.databases.failover(region and layout.known_region(region))

    async def crash(self, region: str, number: int | None = None) -> None:
        """End all servers of a region at once, or those of one shard; they come back with their last snapshots."""
        layout.known_region(region)
        shards = [shard for shard in self.shards if shard.region == region and number in (None, shard.number)]
        if not shards:
            raise UnknownName(f"{region} has no shard {number}.")
        await asyncio.gather(*(shard.crash() for shard in shards))

    async def stop(self) -> None:
        """End everything."""
        self.stopping.set()

    async def wait_linked(self, seconds: float) -> None:
        """Wait until every shard serves with its replica in sync. Raises LocalRegionsError when that takes longer."""
        if not await all_linked(self.shards, seconds):
            raise LocalRegionsError(f"Not every replica was in sync within {seconds:g} s: see `regions status`.")

    async def status(self) -> list[dict[str, Any]]:
        """Return a row for each node."""
        rows = [await self._redis_row(shard, server) for shard in self.shards for server in shard.servers]
        rows += await self.databases.rows(self._state_of)
        return sorted(rows, key=lambda row: layout.REGIONS.index(row["region"]))

    async def _redis_row(self, shard: Shard, server: RedisServer) -> dict[str, Any]:
        primary = server is shard.primary
        return {
            "region": server.node.region,
            "node": server.node.name,
            "kind": server.node.kind,
            "shard": server.node.shard,
            "role": "primary" if primary else "replica",
            "address": f"{layout.HOST}:{server.port}",
            "state": self._state_of(server),
            "in_sync": server.usable and server.in_sync,
            "offset": server.offset,
            "lag": None if primary else max(shard.primary.offset - server.offset, 0),
            "memory": await server.memory() if server.usable else None,
            "pid": server.process.pid if server.process and server.running else None,
        }

    def _state_of(self, server: Server) -> str:
        """Return paused, down, silent, starting or up, and "partitioned" for what others cannot reach."""
        if not server.running:
            return "down"
        if server.paused:
            return "paused"
        if isinstance(server, RedisServer) and server.silent_for(time.monotonic()) > self.plan.options.silence:
            return "silent"
        if not server.usable:
            return "starting"
        return "partitioned" if server.node.region in self.partitioned else "up"

    def processes(self) -> Iterator[tuple[str, int]]:
        """Yield the name and pid of every server that runs."""
        for server in self.servers:
            if server.process is not None and server.running:
                yield server.node.name, server.process.pid

    async def shut_down(self) -> None:
        """End every server and close every address."""
        for endpoint in self.endpoints.values():
            endpoint.close()
        for server in self.redis:
            server.kill()
        self.databases.stop(signal.SIGQUIT if self.plan.options.volatile else signal.SIGINT)
        deadline = time.monotonic() + STOP_SECONDS
        while any(server.running for server in self.servers):
            if time.monotonic() > deadline:
                for each in self.servers:
                    each.kill()
            await asyncio.sleep(0.005)
        await asyncio.to_thread(self.databases.remove_volatile)
