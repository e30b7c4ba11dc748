"""A Redis server that a test starts, kills, and starts again from the snapshot that it has left."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from tests.clients import FAILURES
from tests.waiting import until
from xyzsite.localregions import ports, processes
from xyzsite.localregions.programs import find_redis
from xyzsite.localregions.redisfiles import TLS


def listening(port: int, tls: Path | None) -> str:
    """Return the lines of a configuration for a port: of TLS alone, where there is a folder with certificates."""
    return TLS.format(port=port, folder=tls) if tls else f"port {port}\n"


def operator_of(port: int, tls: Path | None, **options: Any) -> redis.Redis:
    options |= {"ssl": True, "ssl_ca_certs": str(tls / "ca.crt")} if tls else {}
    return redis.Redis(port=port, retry=Retry(NoBackoff(), 0), decode_responses=True, **options)


class Server:
    """A Redis server with a folder and a port of its own, and the client of an operator."""

    def __init__(self, folder: Path, tls: Path | None = None) -> None:
        folder.mkdir()
        self.folder = folder
        self.port = ports.choose(["redis"], {})["redis"]
        (folder / "redis.conf").write_text(listening(self.port, tls))
        self.operator = operator_of(self.port, tls)
        self.process: Any = None

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def start(self, *options: Any) -> "Server":
        """Start it from the snapshot or the log that it has left; as a new server where there is none."""
        own = [self.folder / "redis.conf", "--dir", self.folder, "--bind", "127.0.0.1", "--save", "3600 1"]
        own += ["--repl-diskless-sync", "no", "--repl-ping-replica-period", "1"]
        self.process = processes.spawn([find_redis().path, *own, *options], self.folder / "log")
        until(self.answers, "the server answers")
        return self

    def answers(self) -> bool:
        try:
            return bool(self.operator.ping())
        except FAILURES:
            return False

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()
        self.operator.connection_pool.disconnect()

    def go_back(self, lose: Callable[[], Any], *options: Any) -> None:
        """Have the server lose what `lose` does: it is killed, and started from a snapshot of before."""
        self.operator.save()
        lose()
        self.kill()
        self.start(*options)

    def follow(self, primary: "Server") -> None:
        self.operator.replicaof("127.0.0.1", primary.port)
        until(lambda: self.is_linked_to(primary), "the replica is linked")

    def is_linked_to(self, primary: "Server") -> bool:
        own, theirs = self.operator.info("replication"), primary.operator.info("replication")
        return (
            own.get("master_link_status") == "up"
            and own["master_replid"] == theirs["master_replid"]
            and own["slave_repl_offset"] == theirs["master_repl_offset"]
        )

    def promote(self) -> None:
        self.operator.replicaof("NO", "ONE")

    def permit(self, *rules: str) -> None:
        self.operator.execute_command("ACL", "SETUSER", "default", *rules)
