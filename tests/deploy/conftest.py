"""Redis servers started from the files in deploy/redis, as a deployment starts them."""

import contextlib
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from xyzsite.localregions import ports, programs

FILES = Path(__file__).resolve().parents[2] / "deploy"
PASSWORDS = {
    f"{user.upper()}_PASSWORD": f"{user}-secret" for user in ("app", "operations", "monitoring", "replication")
}
PROGRAMS = list(dict.fromkeys(programs.redis_paths()))


class Node:
    """A running server and its address."""

    def __init__(self, process: subprocess.Popen[bytes], port: int, bus: int) -> None:
        self.process = process
        self.bus = bus
        self.port = port

    def client(self, user: str | None = None) -> redis.Redis:
        password = PASSWORDS[f"{user.upper()}_PASSWORD"] if user else None
        once = Retry(NoBackoff(), 0)
        return redis.Redis("127.0.0.1", self.port, username=user, password=password, decode_responses=True, retry=once)


@pytest.fixture(scope="module", params=PROGRAMS, ids=[path.name for path in PROGRAMS])
def program(request) -> Path:
    """Each Redis or Valkey server program of this machine."""
    return request.param


@pytest.fixture(scope="module")
def start(program: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Node]]:
    """Return a call that starts a server: start("pair", "--replicaof", ...)."""
    with contextlib.ExitStack() as stack:
        yield partial(start_node, stack, program, tmp_path_factory.mktemp("deploy"))


@pytest.fixture(scope="session")
def static_files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder into which the image's own line has collected the static files."""
    folder = tmp_path_factory.mktemp("static")
    dockerfile = (FILES / "Dockerfile").read_text().replace("\\\n", " ")
    (line,) = [line for line in re.findall(r"^RUN (.+)$", dockerfile, re.MULTILINE) if "collectstatic" in line]
    done = subprocess.run(
        ["sh", "-c", line],
        cwd=FILES.parent,
        env={
            "PATH": f"{Path(sys.executable).parent}:{os.defpath}",
            "DJANGO_SETTINGS_MODULE": "xyzsite.settings.production",
            "STATIC_ROOT": str(folder),
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return folder


def start_node(stack: contextlib.ExitStack, program: Path, folder_of_all: Path, form: str, *options: str) -> Node:
    """Start a server by start.sh, which ends with the stack."""
    chosen = ports.choose(["node", "bus"], {})
    folder = folder_of_all / str(chosen["node"])
    log = folder_of_all / f"{chosen['node']}.log"
    # A replica is served at once, not after the 5 s in which others may join.
    own = ["--bind", "127.0.0.1", "--port", str(chosen["node"]), "--repl-diskless-sync-delay", "0"]
    if form == "cluster":
        own += ["--cluster-port", str(chosen["bus"])]
    process = subprocess.Popen(
        ["sh", FILES / "redis" / "start.sh", form, folder, *own, *options],
        env=os.environ | PASSWORDS | {"REDIS_SERVER": str(program)},
        stdout=stack.enter_context(log.open("wb")),
        stderr=subprocess.STDOUT,
    )
    stack.callback(process.wait, 10)
    stack.callback(process.kill)
    node = Node(process, chosen["node"], chosen["bus"])
    wait_ready(node, log)
    return node


@pytest.fixture(scope="module")
def pair(start: Callable[..., Node]) -> Node:
    """Return a primary that the tests of this module share."""
    return start("pair")


def wait_ready(node: Node, log: Path) -> None:
    """Wait until the server answers its operations user."""
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        if node.process.poll() is not None:
            pytest.fail(f"The server ended:\n{log.read_text()}")
        with contextlib.suppress(redis.ConnectionError), node.client("operations") as client:
            client.ping()
            return
        time.sleep(0.02)
    pytest.fail(f"The server does not answer:\n{log.read_text()}")
