"""What deploy/compose.yaml runs, as plain processes: its commands and environment, with addresses of this machine."""

import contextlib
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import psycopg
import yaml

from tests.deploy.conftest import FILES, PASSWORDS, PROGRAMS, Node, start_node
from xyzsite.localregions import ports
from xyzsite.localregions.manager import CHECKOUT

TEXT = (FILES / "compose.yaml").read_text()
DROP_SLOTS = "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE database = %s"


def interpolated(text: str, given: dict[str, str]) -> str:
    """Return a compose file's text with the values of ${NAME:-default}, of the environment given, and $$ as $."""
    return re.sub(r"\$\{(\w+):-([^}]*)\}", lambda found: given.get(found[1], found[2]), text).replace("$$", "$")


def image_command() -> list[str]:
    """Return what the image runs where a service names nothing else: the Dockerfile's CMD."""
    (found,) = re.findall(r"^CMD (.+)$", (FILES / "Dockerfile").read_text(), re.MULTILINE)
    return [str(word) for word in yaml.safe_load(found)]  # JSON is YAML


class Platform:
    """The services of the compose file; what runs ends with the stack."""

    def __init__(self, stack: contextlib.ExitStack, folder: Path, static_files: Path) -> None:
        self.services: dict[str, Any] = yaml.safe_load(interpolated(TEXT, PASSWORDS))["services"]
        self.folder, self.static_files = folder, static_files
        self.port = ports.choose(["web"], {})["web"]
        self.nodes: dict[str, Node] = {}
        self.database = new_database(stack, f"compose_{os.getpid()}")
        self._stack = stack

    def start_redis(self) -> None:
        """Start the servers of all regions, a primary before its replica, and form the cluster."""
        for name, service in self.services.items():
            command = service.get("command", [])
            if command[1:2] == ["/etc/redis/start.sh"]:
                options = [self.here(word) for word in command[4:]]
                if options:
                    options[-1] = str(self.nodes[command[5]].port)
                self.nodes[name] = start_node(self._stack, PROGRAMS[0], self.folder, command[2], *options)
        self.finish("us-east-1-init")

    def start(self, name: str, **extra: str) -> subprocess.Popen[bytes]:
        """Start a service's process."""
        process = self._popen(name, [], extra)
        self._stack.callback(process.wait, 60)
        self._stack.callback(process.kill)
        return process

    def finish(self, name: str, *more: str, command: list[str] | None = None, **extra: str) -> str:
        """Run a job, or another command in a service's place, to its end; return what it said."""
        status = self._popen(name, list(more), extra, command).wait(120)
        said = (self.folder / f"{name}.log").read_text()
        assert status == 0, said
        return said

    def healthy(self, name: str) -> bool:
        """Return whether a service's own health check succeeds."""
        kind, *command = self.services[name]["healthcheck"]["test"]
        assert kind == "CMD"
        done = subprocess.run(
            [self.here(word) for word in command], env=self.environment(name), capture_output=True, check=False
        )
        return done.returncode == 0

    def environment(self, name: str) -> dict[str, str]:
        """Return what a service's process gets: nothing of this one but how programs are found."""
        own = {key: self.here(value) for key, value in self.services[name].get("environment", {}).items()}
        if "DATABASE_URL" in own:
            own["DATABASE_URL"] = self.database
        image = {
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "DJANGO_SETTINGS_MODULE": "xyzsite.settings.production",
            "STATIC_ROOT": str(self.static_files),
        }
        return image | own

    def here(self, word: str) -> str:
        """Return a word of the file with this machine's addresses."""
        word = word.replace("/etc/redis", str(FILES / "redis")).replace("0.0.0.0", "127.0.0.1")
        word = re.sub(r"(?<=[:@0-9.a-z]):8000\b", f":{self.port}", word)
        for name, node in self.nodes.items():
            formed = f"127.0.0.1:{node.port}@{node.bus}"
            word = formed if word == f"{name}:6379" else word.replace(f"@{name}:6379", f"@127.0.0.1:{node.port}")
            word = "127.0.0.1" if word == name else word
        return word

    def _popen(
        self, name: str, more: list[str], extra: dict[str, str], command: list[str] | None = None
    ) -> subprocess.Popen[bytes]:
        words = command or self.services[name].get("command") or image_command()
        with (self.folder / f"{name}.log").open("wb") as log:
            return subprocess.Popen(
                [self.here(word) for word in words] + more,
                cwd=CHECKOUT,
                env=self.environment(name) | extra,
                stdout=log,
                stderr=subprocess.STDOUT,
            )


def new_database(stack: contextlib.ExitStack, name: str) -> str:
    """Return the address of an empty database on the suite's server, which is dropped with the stack."""
    known = os.environ["DATABASE_URL"]
    admin = stack.enter_context(psycopg.connect(known, autocommit=True))
    admin.execute(f"CREATE DATABASE {name}".encode())
    stack.callback(admin.execute, f"DROP DATABASE {name} WITH (FORCE)".encode())
    stack.callback(admin.execute, DROP_SLOTS, [name])
    return urlunsplit(urlsplit(known)._replace(path=f"/{name}"))
