"""The PostgreSQL servers: a primary, which starts in the home region, and a streaming replica in each other one."""

import asyncio
import contextlib
import logging
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg

from xyzsite.localregions import plan as layout
from xyzsite.localregions import postgres
from xyzsite.localregions.exceptions import LocalRegionsError, ServerFailed
from xyzsite.localregions.plan import Plan
from xyzsite.localregions.programs import PostgresProgram
from xyzsite.localregions.proxy import Endpoint, Target
from xyzsite.localregions.servers import PostgresServer, Server

logger = logging.getLogger(__name__)

# A replica that does not stream by then has lost its place in the primary's log and is copied anew, in seconds.
STREAM_SECONDS = 10.0
# For a primary to end when it is replaced, its log sent, in seconds.
END_SECONDS = 10.0
# For an answer: of a server that a fail-over takes for dead otherwise, and of one that is only looked at, in seconds.
PATIENCE, LOOK_SECONDS = 5.0, 1.0
TIMELINE = "('x' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8))::bit(32)::int"


class Databases:
    """All PostgreSQL servers; none where the regions run without."""

    def __init__(self, plan: Plan, program: PostgresProgram | None) -> None:
        self.plan = plan
        self.servers: list[PostgresServer] = []
        self._chosen = 0  # which of them is the primary
        self.busy = asyncio.Lock()
        self.parted: set[str] = set()  # regions that the others do not reach
        self.moved: Callable[[], None] = lambda: None  # called when the primary is in another region
        self.target = Target()  # the primary, as all other regions reach it
        self.home = Endpoint(self.target)  # and as the home region does, once it has left
        if program is not None:
            nodes = layout.postgres_nodes(plan.options)
            self.servers = [PostgresServer(plan, node, program, self._source(node)) for node in nodes]
            self.target.port = self.primary.port

    def _source(self, node: layout.Node) -> int | None:
        """Return the port from which a server streams at first."""
        return None if node.first else self._address(node)

    def _address(self, node: layout.Node) -> int:
        """Return the port at which a region reaches the primary: its link, which a partition cuts; the home's own."""
        name = f"{layout.HOME}-db"
        return self.plan.port(name if node.region == layout.HOME else layout.link(node.region, name))

    @property
    def primary(self) -> PostgresServer:
        return self.servers[self._chosen]

    @property
    def replicas(self) -> list[PostgresServer]:
        return [server for server in self.servers if server is not self.primary]

    @property
    def region(self) -> str:
        """The region in which the primary is."""
        return self.primary.node.region if self.servers else layout.HOME

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
        self._bring_home(data)
        fresh = not (data / "PG_VERSION").exists()
        if fresh:
            shutil.rmtree(data, ignore_errors=True)
            postgres.initialise(self.primary.program, data, volatile=self.plan.options.volatile)
        for server in self.replicas:
            copy = self.plan.folder(server.node)
            if fresh or not (copy / "standby.signal").exists():
                shutil.rmtree(copy, ignore_errors=True)
                postgres.copy_for_replica(server.program, data, copy)

    def _bring_home(self, home: Path) -> None:
        """Let the primary start in the home region: exchange its data with what was left there by a fail-over."""
        if not (home / "standby.signal").exists():
            return
        for folder in [self.plan.folder(server.node) for server in self.replicas]:
            if (folder / "PG_VERSION").exists() and not (folder / "standby.signal").exists():
                home.rename(aside := home.with_name(f"{home.name}.aside"))
                folder.rename(home)
                aside.rename(folder)
                postgres.remove_slots(home)
                return
        (home / "standby.signal").unlink()  # a fail-over that was broken off before it promoted

    async def _start(self, server: PostgresServer) -> None:
        server.start()
        assert server.process is not None
        data, log = self.plan.folder(server.node), self.plan.log(server.node)
        await asyncio.to_thread(postgres.wait_ready, server.process, data, log)

    async def wait_streaming(self) -> None:
        """Wait until every replica that is neither frozen nor parted has what the primary has. Raises ServerFailed.

        One that cannot follow any more is made anew from a copy of the primary.
        """
        end = await self._end_of_log(self.primary)
        if await self._streaming(end, STREAM_SECONDS):
            return
        for server in self.replicas:
            if self._is_reachable(server) and server.slot not in await self._followers(end):
                logger.warning("%s has lost its place in the log and is copied again", server.node.name)
                await self._copy_again(server)
        if not await self._streaming(end, STREAM_SECONDS):
            raise ServerFailed(f"A database replica does not follow: see the logs in {self.plan.directory}.")

    def _is_reachable(self, server: PostgresServer) -> bool:
        """Return whether a replica can follow the primary now."""
        return not server.paused and (
            server.node.region == self.region or not self.parted & {server.node.region, self.region}
        )

    async def _streaming(self, end: int | None, seconds: float) -> bool:
        deadline = time.monotonic() + seconds
        wanted = {server.slot for server in self.replicas if self._is_reachable(server)}
        while not wanted <= await self._followers(end):
            if time.monotonic() > deadline:
                return False
            await asyncio.sleep(0.02)
        return True

    async def _followers(self, end: int | None) -> set[str]:
        """Return the slots of the replicas that have replayed the log up to `end` (bytes), on the primary's timeline.

        One that was ahead of a replica that was promoted streams too, what it has already.
        """
        reached = f"state = 'streaming' and (replay_lsn - '0/0')::bigint >= {end or 0}"
        rows = await query(
            self.primary.port, f"select application_name, {TIMELINE} from pg_stat_replication where {reached}"
        )
        timelines = dict(rows or [])
        found = set()
        for server in self.replicas:
            if server.slot in timelines:
                own = await query(server.port, "select received_tli from pg_stat_wal_receiver")
                if own == [(timelines[server.slot],)]:
                    found.add(server.slot)
        return found

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
        if self.busy.locked():
            return
        for server in self.servers:
            if server.notice_end(now) and server.down_since is not None and now - server.down_since >= replace_after:
                logger.info("%s is started again", server.node.name)
                server.start()

    async def failover(self, region: str | None) -> str:
        """Make a replica the primary, that of a region or the one with most of the log; return its node's name.

        A primary that answers ends first, once its replicas have all of its log. Of one that is dead, frozen or parted
        from the others, what the replica lacks is lost. Raises LocalRegionsError, ServerFailed.
        """
        async with self.busy:
            old = self.primary
            is_alive = self.region not in self.parted and await self._end_of_log(old) is not None
            chosen = await self._candidate(region, is_alive)
            is_clean = await self._end(old, ask=is_alive)  # the replicas have the last of its log by their links
            self.target.move(None)
            data = self.plan.folder(old.node)
            await asyncio.to_thread(postgres.demote, old.program, data)
            try:
                await asyncio.to_thread(postgres.promote, chosen.port)
            except (psycopg.Error, ServerFailed) as error:
                (data / "standby.signal").unlink()
                await self._start(old)
                self.target.move(old.port)
                raise ServerFailed(f"{chosen.node.name} was not promoted: {error}") from error
            await self._follow(chosen, old, is_clean)
            return chosen.node.name

    async def _candidate(self, region: str | None, is_alive: bool) -> PostgresServer:
        """Return the replica to promote: one that follows, where the primary is alive. Raises LocalRegionsError."""
        if region == self.primary.node.region:
            raise LocalRegionsError(f"The primary database is in {region} already.")
        ends = {server: await self._end_of_log(server) for server in self.replicas}
        following = await self._followers(None) if is_alive else {server.slot for server in ends}
        usable = {server: end for server, end in ends.items() if end is not None and server.slot in following}
        wanted = [server for server in usable if region in (None, server.node.region)]
        if not wanted:
            raise LocalRegionsError(f"No replica {f'in {region} ' if region else ''}follows now: see `regions status`.")
        return max(wanted, key=lambda server: usable[server] or 0)

    async def _end(self, server: PostgresServer, *, ask: bool) -> bool:
        """End a server; return whether it has ended by itself, when it had sent all of its log."""
        assert server.process is not None
        if ask:
            server.process.send_signal(signal.SIGINT)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(END_SECONDS if ask else 0):
                while server.running:
                    await asyncio.sleep(0.01)
        server.kill()
        await asyncio.to_thread(server.process.wait)
        return server.process.returncode == 0

    async def _follow(self, chosen: PostgresServer, old: PostgresServer, is_clean: bool) -> None:
        """Have all follow the new primary; an old one that may have more of the log than it is copied anew."""
        self._chosen = self.servers.index(chosen)
        chosen.primary_port, old.primary_port = None, self._address(old.node)
        slots = [server.slot for server in self.replicas]
        await asyncio.to_thread(postgres.create_slots, chosen.port, slots)
        if old.node.first and not old.moved:
            old.moved = True
            await self.home.start(self._address(old.node))
        self.target.move(chosen.port)
        self.moved()
        await (self._start(old) if is_clean else self._copy_again(old))
        await self.wait_streaming()

    def stop(self, how: signal.Signals) -> None:
        """Ask every server to end: SIGINT for a clean end, SIGQUIT at once."""
        self.home.close()
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
        ends = await asyncio.gather(*(self._end_of_log(server, LOOK_SECONDS) for server in self.servers))
        pairs = zip(self.servers, ends, strict=True)
        return [self._row(server, end, ends[self._chosen], state_of(server)) for server, end in pairs]

    async def _end_of_log(self, server: PostgresServer, seconds: float = PATIENCE) -> int | None:
        if not server.usable or server.paused:
            return None
        function = "pg_current_wal_lsn" if server.primary_port is None else "pg_last_wal_replay_lsn"
        rows = await query(server.port, f"select ({function}() - '0/0')::bigint", seconds)
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


async def query(port: int, statement: str, seconds: float = PATIENCE) -> list[tuple[Any, ...]] | None:
    """Return the rows of a query; None when the server does not answer within so many seconds."""
    try:
        async with asyncio.timeout(seconds):
            connection = await psycopg.AsyncConnection.connect(postgres.url(port, "postgres"), autocommit=True)
            async with connection:
                return await (await connection.execute(statement)).fetchall()
    except (psycopg.Error, TimeoutError):
        return None
