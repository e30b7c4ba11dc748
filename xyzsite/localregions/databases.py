"""The PostgreSQL servers: a primary in the home region, a streaming replica in each second region."""

import asyncio
import logging
import shutil
import signal
import time
from collections.abc import Callable
from typing import Any

import psycopg

from xyzsite.localregions import plan as layout
from xyzsite.localregions import postgres
from xyzsite.localregions.exceptions import ServerFailed
from xyzsite.localregions.plan import Plan
from xyzsite.localregions.programs import PostgresProgram
from xyzsite.localregions.servers import PostgresServer, Server

logger = logging.getLogger(__name__)

# A replica that does not stream by then has lost its place in the primary's log and is copied anew, in seconds.
STREAM_SECONDS = 10.0


class Databases:
    """All PostgreSQL servers; none where the regions run without."""

    def __init__(self, plan: Plan, program: PostgresProgram | None) -> None:
        self.plan = plan
        self.servers: list[PostgresServer] = []
        if program is not None:
            nodes = layout.postgres_nodes(plan.options)
            self.servers = [PostgresServer(plan, node, program, self._source(node)) for node in nodes]

    def _source(self, node: layout.Node) -> int | None:
        """Return the port from which a replica streams: its region's link, which a partition cuts."""
        return None if node.first else self.plan.port(layout.link(node.region, f"{layout.HOME}-db"))

    @property
    def primary(self) -> PostgresServer:
        return self.servers[0]

    @property
    def replicas(self) -> list[PostgresServer]:
        return self.servers[1:]

    async def boot(self) -> None:
        """Make what is missing, start all, and wait until the database is there. Raises ServerFailed."""
        if not self.servers:
            return
        await asyncio.to_thread(self._make)
        await self._start(self.primary)
        await asyncio.to_thread(postgres.create_slots, self.primary.port, [server.slot for server in self.replicas])
        await asyncio.to_thread(postgres.create_database, self.primary.port)
        await asyncio.gather(*(self._start(server) for server in self.replicas))
        await self.wait_streaming()

    def _make(self) -> None:
        """Make the clusters that are not there: the primary by initdb, a replica as a copy of one at rest."""
        data = self.plan.folder(self.primary.node)
        fresh = not (data / "PG_VERSION").exists()
        if fresh:
            shutil.rmtree(data, ignore_errors=True)
            postgres.initialise(self.primary.program, data, volatile=self.plan.options.volatile)
        for server in self.replicas:
            copy = self.plan.folder(server.node)
            if fresh or not (copy / "standby.signal").exists():
                shutil.rmtree(copy, ignore_errors=True)
                postgres.copy_for_replica(server.program, data, copy)

    async def _start(self, server: PostgresServer) -> None:
        server.start()
        assert server.process is not None
        data, log = self.plan.folder(server.node), self.plan.log(server.node)
        await asyncio.to_thread(postgres.wait_ready, server.process, data, log)

    async def wait_streaming(self) -> None:
        """Wait until every replica has what the primary has now. Raises ServerFailed.

        One that cannot follow any more is made anew from a copy of the primary.
        """
        end = await self._end_of_log(self.primary)
        if await self._streaming(end, STREAM_SECONDS):
            return
        for server in self.replicas:
            if server.slot not in await self._followers(end):
                logger.warning("%s has lost its place in the log and is copied again", server.node.name)
                await self._copy_again(server)
        if not await self._streaming(end, STREAM_SECONDS):
            raise ServerFailed(f"A database replica does not follow: see the logs in {self.plan.directory}.")

    async def _streaming(self, end: int | None, seconds: float) -> bool:
        deadline = time.monotonic() + seconds
        wanted = {server.slot for server in self.replicas}
        while not wanted <= await self._followers(end):
            if time.monotonic() > deadline:
                return False
            await asyncio.sleep(0.02)
        return True

    async def _followers(self, end: int | None) -> set[str]:
        """Return the slots of the replicas that have replayed the log up to `end` (bytes)."""
        reached = f"state = 'streaming' and (replay_lsn - '0/0')::bigint >= {end or 0}"
        rows = await query(self.primary.port, f"select application_name from pg_stat_replication where {reached}")
        return {row[0] for row in rows or []}

    async def _copy_again(self, server: PostgresServer) -> None:
        server.kill()
        if server.process is not None:
            await asyncio.to_thread(server.process.wait)
        data = self.plan.folder(server.node)
        await asyncio.to_thread(shutil.rmtree, data)
        await asyncio.to_thread(postgres.clone, server.program, self.primary.port, data)
        await self._start(server)

    def reconcile(self, now: float, replace_after: float) -> None:
        """Start again what has ended a moment ago."""
        for server in self.servers:
            if server.notice_end(now) and server.down_since is not None and now - server.down_since >= replace_after:
                logger.info("%s is started again", server.node.name)
                server.start()

    def stop(self, how: signal.Signals) -> None:
        """Ask every server to end: SIGINT for a clean end, SIGQUIT at once."""
        for server in reversed(self.servers):
            if server.paused:
                server.resume()
            if server.process is not None and server.running:
                server.process.send_signal(how)

    def remove_volatile(self) -> None:
        """Remove the data that was to be thrown away."""
        if self.plan.options.volatile:
            for server in self.servers:
                shutil.rmtree(self.plan.folder(server.node), ignore_errors=True)
            if self.servers and self.plan.data_root not in (None, self.plan.directory):
                postgres.remove_root(self.plan.data_root)

    async def rows(self, state_of: Callable[[Server], str]) -> list[dict[str, Any]]:
        """Return a row of `regions status` for each server; the offset is the byte of the log that it has reached."""
        ends = await asyncio.gather(*(self._end_of_log(server) for server in self.servers))
        pairs = zip(self.servers, ends, strict=True)
        return [self._row(server, end, ends[0], state_of(server)) for server, end in pairs]

    async def _end_of_log(self, server: PostgresServer) -> int | None:
        if not server.usable or server.paused:
            return None
        function = "pg_current_wal_lsn" if server.primary_port is None else "pg_last_wal_replay_lsn"
        rows = await query(server.port, f"select ({function}() - '0/0')::bigint")
        return rows[0][0] if rows else None

    def _row(self, server: PostgresServer, end: int | None, primary_end: int | None, state: str) -> dict[str, Any]:
        replica = server.primary_port is not None
        lag = None if end is None or primary_end is None or not replica else max(primary_end - end, 0)
        return {
            "region": server.node.region,
            "node": server.node.name,
            "kind": server.node.kind,
            "shard": None,
            "role": "replica" if replica else "primary",
            "address": f"{layout.HOST}:{server.port}",
            "state": state,
            "in_sync": end is not None,
            "offset": end,
            "lag": lag,
            "memory": None,
            "pid": server.process.pid if server.process and server.running else None,
        }


async def query(port: int, statement: str) -> list[tuple[Any, ...]] | None:
    """Return the rows of a query; None when the server does not answer within a second."""
    try:
        async with asyncio.timeout(1.0):
            connection = await psycopg.AsyncConnection.connect(postgres.url(port, "postgres"), autocommit=True)
            async with connection:
                return await (await connection.execute(statement)).fetchall()
    except (psycopg.Error, TimeoutError):
        return None
