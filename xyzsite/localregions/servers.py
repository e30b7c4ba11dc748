"""The servers as the supervisor sees them: a process each, and for Redis the connection that watches it."""

import asyncio
import contextlib
import logging
import signal
import ssl
import subprocess
import time
from typing import Any

import hiredis

from xyzsite.localregions import postgres, processes
from xyzsite.localregions.plan import HOST, Node, Plan, second
from xyzsite.localregions.programs import PostgresProgram, RedisProgram
from xyzsite.localregions.resp import RedisLink

logger = logging.getLogger(__name__)


class Server:
    """A process of ours. `down_since` (monotonic) is set while it has ended and was not asked to."""

    def __init__(self, plan: Plan, node: Node) -> None:
        self.plan = plan
        self.node = node
        self.process: subprocess.Popen[bytes] | None = None
        self.paused = False
        self.down_since: float | None = None

    @property
    def port(self) -> int:
        return self.plan.port(self.node.name)

    @property
    def running(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the server and to the processes that it started."""
        if self.process is not None and self.process.poll() is None:
            processes.signal_tree(self.process.pid, number)

    def kill(self) -> None:
        self.paused = False
        self.signal(signal.SIGKILL)

    def pause(self) -> None:
        self.paused = True
        self.signal(signal.SIGSTOP)

    def resume(self) -> None:
        self.paused = False
        self.signal(signal.SIGCONT)

    def start(self) -> None:
        raise NotImplementedError

    @property
    def usable(self) -> bool:
        """Whether the server serves, as far as is known."""
        raise NotImplementedError

    def notice_end(self, now: float) -> bool:
        """Return whether the process has ended, and remember since when."""
        if self.running:
            self.down_since = None
            return False
        if self.down_since is None:
            self.down_since = now
            code = self.process.returncode if self.process else None
            logger.warning("%s has ended (exit status %s)", self.node.name, code)
        return True


class RedisServer(Server):
    """A Redis node. `role` and `offset` are what it last said of itself ("" while it has not been heard)."""

    def __init__(self, plan: Plan, node: Node, program: RedisProgram, tls: ssl.SSLContext | None) -> None:
        super().__init__(plan, node)
        self.program = program
        self.tls = tls
        self.link: RedisLink | None = None
        self.role = ""
        self.offset = 0
        self.follows: int | None = None
        self.in_sync = False
        self.silent_since: float | None = None
        self.changed = asyncio.Event()
        self._connecting: asyncio.Task[None] | None = None

    def start(self, *, replica_of: int | None = None) -> None:
        """Start the program, for a pair as a replica of the server at a port where one is given."""
        command: list[Any] = [self.program.path, self.plan.folder(self.node) / "redis.conf"]
        if replica_of is not None:
            command += ["--replicaof", HOST, replica_of]
        self.forget()
        self.process = processes.spawn(command, self.plan.log(self.node))
        self.down_since = None
        self.silent_since = time.monotonic()

    def forget(self) -> None:
        """Drop the connection and what is known of the server."""
        if self.link is not None:
            self.link.close()
        self.link, self.role, self.in_sync, self.follows = None, "", False, None

    def silent_for(self, now: float) -> float:
        """Return for how many seconds the server has owed an answer."""
        return 0.0 if self.silent_since is None else now - self.silent_since

    @property
    def usable(self) -> bool:
        """Whether the server runs and answered the last time that it was asked."""
        return self.running and bool(self.role) and self.link is not None and self.link.open

    def beat(self, now: float) -> None:
        """Ask how the server is, unless an answer is still owed; connect again where the connection is lost."""
        if self.notice_end(now):
            self.forget()
        elif self.link is None or not self.link.open:
            self._reconnect(now)
        elif self.link.waiting:
            self.silent_since = self.silent_since or now
        else:
            self.silent_since = now
            self.link.call("ROLE").add_done_callback(self._heard)

    def _reconnect(self, now: float) -> None:
        self.role = ""
        self.silent_since = self.silent_since or now
        if self._connecting is None or self._connecting.done():
            self._connecting = asyncio.get_running_loop().create_task(self._connect())

    async def _connect(self) -> None:
        with contextlib.suppress(OSError, hiredis.ReplyError):  # TimeoutError is an OSError; the next beat tries again
            self.link = await RedisLink.connect(self.port, self.plan.options.password, self.tls)
            self.link.lost.add_done_callback(lambda _: self.changed.set())
            self.changed.set()

    def _heard(self, answer: "asyncio.Future[Any]") -> None:
        """Take the answer to ROLE: ["master", offset, replicas] or ["slave", host, port, state, offset]."""
        if answer.cancelled() or answer.exception() is not None:
            return
        reply = answer.result()
        before = self.role
        self.silent_since = None
        self.role = {"master": "primary", "slave": "replica"}[reply[0]]
        if self.role == "primary":
            self.offset, self.in_sync, self.follows = reply[1], True, None
        else:
            self.offset, self.in_sync, self.follows = max(reply[4], 0), reply[3] == "connected", reply[2]
        if before != self.role:
            self.changed.set()

    async def ask(self, *command: str | int, seconds: float = 1.0) -> Any:
        """Send a command and return its answer. Raises ConnectionError, TimeoutError, hiredis.ReplyError."""
        if self.link is None:
            raise ConnectionResetError(f"{self.node.name} is not connected")
        return await self.link.ask(*command, seconds=seconds)

    def leave(self, *command: str | int) -> None:
        """Send a command without waiting: a stopped server reads it first when it resumes."""
        if self.link is not None:
            self.link.call(*command)

    async def in_cluster(self) -> bool:
        """Return whether a cluster node finds every slot served."""
        return "cluster_state:ok" in await self.ask("CLUSTER", "INFO")

    async def info(self, section: str, *, seconds: float = 1.0) -> dict[str, str]:
        """Return one section of what a server tells of itself. Raises as `ask` does."""
        text = await self.ask("INFO", section, seconds=seconds)
        return dict(line.split(":", 1) for line in text.split("\r\n") if ":" in line)

    async def memory(self) -> int | None:
        """Return the bytes in use; None when the server does not say."""
        try:
            return int((await self.info("memory", seconds=0.3))["used_memory"])
        except (OSError, hiredis.ReplyError):
            return None


class PostgresServer(Server):
    """A PostgreSQL. `primary_port` is where a replica streams from; None: it is the primary.

    `moved` is set once it does not listen on the port of its own name.
    """

    def __init__(self, plan: Plan, node: Node, program: PostgresProgram, primary_port: int | None) -> None:
        super().__init__(plan, node)
        self.program = program
        self.primary_port = primary_port
        self.moved = False

    @property
    def port(self) -> int:
        return self.plan.port(second(self.node.name) if self.moved else self.node.name)

    @property
    def slot(self) -> str:
        """Return the replication slot that keeps the log for this replica."""
        return self.node.name.replace("-", "_")

    def start(self) -> None:
        data = self.plan.folder(self.node)
        command = postgres.command(self.program, data, self.port, volatile=self.plan.options.volatile)
        if self.primary_port is not None:
            command += postgres.replica_options(self.primary_port, self.slot)
        self.process = processes.spawn(command, self.plan.log(self.node), user=self.program.user)
        self.down_since = None

    @property
    def usable(self) -> bool:
        return self.process is not None and self.running and postgres.ready(self.process, self.plan.folder(self.node))
