"""A peer's process, and the pipe over which it is told what to run."""

import json
import os
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from benchmarks import servers
from benchmarks.environments import BY_NAME, CLUSTER, OURS, PEER_CODE, PLAIN, ROOT, Peer


class PipedProcess:
    """A process that answers commands, a JSON object a line. `ask` raises RuntimeError when it has ended."""

    def __init__(self, title: str, command: Sequence[str], folder: Path, environment: Mapping[str, str]) -> None:
        self._title = title
        self._process = subprocess.Popen(
            command, cwd=folder, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def ask(self, do: str, **arguments: Any) -> dict[str, Any]:
        """Send a command and return the answer."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps({"do": do, **arguments}) + "\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        if not answer:
            raise RuntimeError(f"{self._title} ended while it was to {do} {arguments}: see its error above.")
        return json.loads(answer)

    def end(self) -> None:
        """Close the pipe, on which the process ends, and wait for it."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(timeout=30)


class PeerProcess(PipedProcess):
    """A running peer."""

    def __init__(self, peer: Peer, database_url: str, redis_url: str) -> None:
        self.peer = peer
        database = database_settings(database_url)
        environment = {name: value for name, value in os.environ.items() if not name.startswith(("DJANGO", "PYTHON"))}
        if peer.name in OURS:
            environment["PYTHONPATH"] = str(ROOT)
        command = [str(peer.python), "worker.py", peer.name, json.dumps(database), redis_url]
        super().__init__(peer.title, command, PEER_CODE, environment)


@contextmanager
def running_peers(started: servers.Servers, names: Sequence[str]) -> Iterator[dict[str, PeerProcess]]:
    """Start the peers; the first one, plain Django, makes the rows."""
    peers: dict[str, PeerProcess] = {}
    with ExitStack() as stack:
        for name in names:
            peer = BY_NAME[name]
            address = f"redis://127.0.0.1:{started.redis_port}/{peer.database}"
            if peer == CLUSTER:
                address = stack.enter_context(servers.cluster())
            peers[name] = PeerProcess(peer, started.database_url, address)
            stack.callback(peers[name].end)
            if peer == PLAIN:
                peers[name].ask("create")
            peers[name].ask("prepare")
        yield peers


def database_settings(url: str) -> dict[str, Any]:
    """Return what DATABASES says of the database at a URL, but for its engine."""
    address = urlsplit(url)
    return {
        "NAME": address.path.lstrip("/"),
        "USER": address.username,
        "HOST": address.hostname,
        "PORT": address.port,
        "CONN_MAX_AGE": None,
    }
