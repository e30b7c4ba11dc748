"""Three sentinels that watch a primary and its replica: real servers, which a test may kill."""

import signal
import uuid
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from cacheops.redis.identity import begin
from tests.clients import FAILURES
from tests.redis_server import Server, listening, operator_of
from tests.waiting import until
from xyzsite.localregions import ports, processes
from xyzsite.localregions.programs import find_redis

SERVICE = "shop"
# Milliseconds without an answer. On a busy machine, one that is only slow must not be taken for dead.
PATIENT, QUICK = 30_000, 500
CONFIGURATION = """
bind 127.0.0.1
dir {folder}
sentinel myid {id}
sentinel monitor {service} 127.0.0.1 {primary} 2
sentinel down-after-milliseconds {service} {patient}
sentinel failover-timeout {service} 1000
sentinel known-replica {service} 127.0.0.1 {replica}
"""
# They would find each other within two seconds.
KNOWN = "sentinel known-sentinel {service} 127.0.0.1 {port} {id}\n"


class OneSentinel:
    """A sentinel with a folder and a port of its own, and a client of it."""

    def __init__(self, folder: Path, port: int, tls: Path | None) -> None:
        folder.mkdir()
        self.folder, self.port, self.id, self.tls = folder, port, uuid.uuid4().hex + "0" * 8, tls
        self.client = operator_of(port, tls, protocol=2)

    def configure(self, primary: Server, replica: Server, others: "Iterable[OneSentinel]") -> None:
        own = {"id": self.id, "folder": self.folder, "service": SERVICE, "patient": PATIENT}
        text = listening(self.port, self.tls) + CONFIGURATION.format(**own, primary=primary.port, replica=replica.port)
        text += "".join(KNOWN.format(service=SERVICE, port=other.port, id=other.id) for other in others)
        (self.folder / "sentinel.conf").write_text(text)

    def start(self) -> None:
        command = [find_redis().path, self.folder / "sentinel.conf", "--sentinel"]
        self.process = processes.spawn(command, self.folder / "log")

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()
        self.client.connection_pool.disconnect()

    def state(self) -> dict[str, Any]:
        """Return what it says of the service; nothing where it does not answer."""
        try:
            found: Any = self.client.sentinel_masters()
        except FAILURES:
            return {}
        return dict(found.get(SERVICE, {}))


class Sentinels:
    """Two servers and three sentinels. Who is the primary changes with each fail-over."""

    def __init__(self, folder: Path, tls: Path | None = None) -> None:
        self.scheme = "rediss+sentinel" if tls else "redis+sentinel"
        self.servers = [Server(folder / name, tls).start() for name in ("a", "b")]
        self.servers[1].follow(self.servers[0])
        chosen = ports.choose(["1", "2", "3"], {}).items()
        self.all = [OneSentinel(folder / name, port, tls) for name, port in chosen]
        for each in self.all:
            each.configure(*self.servers, [other for other in self.all if other is not each])
            each.start()
        until(self.whole, "the sentinels know each other and the replica")

    @property
    def url(self) -> str:
        hosts = ",".join(f"127.0.0.1:{each.port}" for each in self.all)
        return f"{self.scheme}://{hosts}/{SERVICE}/0"

    def whole(self) -> bool:
        """Return whether each sentinel knows the two others and a replica, and the primary for alive."""
        states = [each.state() for each in self.all]
        return all(
            state and state["num-other-sentinels"] == 2 and state["num-slaves"] >= 1 and state["flags"] == "master"
            for state in states
        )

    @property
    def primary(self) -> Server:
        """Return the server that most sentinels name primary."""
        named = [each.state().get("port") for each in self.all]
        return next(server for server in self.servers if named.count(server.port) > 1)

    @property
    def replica(self) -> Server:
        return next(server for server in self.servers if server is not self.primary)

    def fail_over(self) -> Server:
        """Kill the primary; return the server that has taken over."""
        before, after = self.primary, self.replica
        before.kill()
        self._take_for_dead(after=QUICK)
        until(lambda: all(each.state().get("port") == after.port for each in self.all), "a replica has taken over")
        self._take_for_dead(after=PATIENT)
        return after

    def _take_for_dead(self, after: int) -> None:
        for each in self.all:
            each.client.sentinel_set(SERVICE, "down-after-milliseconds", after)

    def heal(self) -> None:
        """Have every server and sentinel run, and the replica linked."""
        for each in self.all:
            if each.process.poll() is not None:
                each.start()
        until(lambda: all(each.state() for each in self.all), "the sentinels answer")
        primary, replica = self.primary, self.replica
        if replica.process.poll() is not None:
            replica.start("--replicaof", "127.0.0.1", primary.port)
        until(lambda: replica.operator.info("replication").get("master_link_status") == "up", "the replica is linked")
        until(self.whole, "the sentinels know it")

    def empty(self) -> None:
        """Have servers that are empty, and known to be new."""
        self.primary.operator.flushall()
        assert begin(self.primary.operator)
        until(lambda: self.replica.is_linked_to(self.primary), "the replica has it")

    def end(self) -> None:
        for each in self.all:
            if each.process.poll() is None:
                each.process.send_signal(signal.SIGCONT)
                each.kill()
            each.client.close()
        for server in self.servers:
            if server.process.poll() is None:
                server.kill()
            server.operator.close()
