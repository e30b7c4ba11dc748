"""The platform's processes on regions that a test breaks: web server and workers, each of which may be killed."""

import json
import os
import random
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg

from cacheops.patterns.write_behind.buffer import GROUP
from tests import clients
from tests.mending import mend
from tests.waiting import until
from xyzsite.demo.load.account import Row
from xyzsite.demo.load.fleet import LoadDevice, World
from xyzsite.localregions.manager import CHECKOUT, LocalRegions

REGION = "us-east-1"
STREAM = "co:{write-behind.readings}:s"
MAKE_WORLD = """
import json
import django
django.setup()
from xyzsite.demo.load.world import make_world
world = make_world(12)
print(json.dumps([[[d.id, d.serial, d.metric] for d in world.devices], world.token, world.cookie]))
"""
MANAGE = [sys.executable, str(CHECKOUT / "manage.py")]


class PlatformProcesses:
    """A web server with two processes, and two workers of flush_writes."""

    def __init__(self, regions: LocalRegions, variables: Mapping[str, str]) -> None:
        self.environment = {
            **os.environ,
            **regions.environment(REGION),
            "DJANGO_SETTINGS_MODULE": "xyzsite.settings.local",
            "LOG_LEVEL": "CRITICAL",
            "FLUSH_BATCH": "10",
            "FLUSH_SECONDS": "0.1",
            "FLUSH_RETRY_SECONDS": "0.5",
            **variables,
        }
        self.manage("migrate", "--verbosity", "0")
        self.world = self._make_world()
        self._redis = clients.cluster(regions)
        self.workers: list[subprocess.Popen[bytes]] = []
        self.site: subprocess.Popen[bytes] | None = None

    def manage(self, *arguments: str) -> str:
        return self._output([*MANAGE, *arguments])

    def _output(self, command: list[str]) -> str:
        done = subprocess.run(command, env=self.environment, cwd=CHECKOUT, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def _make_world(self) -> World:
        devices, token, cookie = json.loads(self._output([sys.executable, "-c", MAKE_WORLD]))
        return World([LoadDevice(*device) for device in devices], token, cookie)

    def start(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as listening:
            self.url = "http://127.0.0.1:{1}".format(*listening.getsockname())
            bind = f"fd://{listening.fileno()}"
            command = [sys.executable, "-m", "gunicorn", "-c", "python:xyzsite.server", "xyzsite.wsgi", "--bind", bind]
            self.site = self._start([*command, "--log-level", "critical"], pass_fds=[listening.fileno()])
        for _ in range(2):
            self.start_worker()

    def start_worker(self) -> None:
        """Start a worker, and wait until it works: one that is killed before it begins proves nothing."""
        worker = self._start([*MANAGE, "flush_writes"], stdout=subprocess.PIPE)
        self.workers.append(worker)
        assert worker.stdout is not None
        with worker.stdout:
            assert worker.stdout.readline()

    def _start(self, command: list[str], **options: Any) -> "subprocess.Popen[bytes]":
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL} | options
        return subprocess.Popen(command, env=self.environment, cwd=CHECKOUT, **quiet)

    def state(self) -> str:
        return self.manage("flush_writes", "--state")

    def web_processes(self) -> list[int]:
        assert self.site is not None
        return [int(pid) for pid in Path(f"/proc/{self.site.pid}/task/{self.site.pid}/children").read_text().split()]

    def kill_a_web_process(self) -> None:
        if found := self.web_processes():
            os.kill(random.choice(found), signal.SIGKILL)

    @contextmanager
    def only(self, process: int) -> Iterator[None]:
        """Let one of the web processes answer everything: the others stand still."""
        others = [pid for pid in self.web_processes() if pid != process]
        for pid in others:
            os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            for pid in others:
                os.kill(pid, signal.SIGCONT)

    def kill_a_worker(self) -> None:
        """Kill one while it has a batch that is not done, and start another in its place."""
        pid = until(self._busy_worker, "a worker with a batch")
        os.kill(pid, signal.SIGKILL)
        (worker,) = (worker for worker in self.workers if worker.pid == pid)
        worker.wait()
        self.workers.remove(worker)
        self.start_worker()

    def _busy_worker(self) -> int | None:
        """Return the process that has taken writes from the stream; its name in the group holds its number."""
        try:
            consumers = self._redis.xpending(STREAM, GROUP)["consumers"]
        except clients.FAILURES:  # a primary is being replaced
            return None
        pids = [int(consumer["name"].split(":")[-2]) for consumer in consumers]
        return next((worker.pid for worker in self.workers if worker.pid in pids), None)

    def stop(self) -> None:
        for process in [self.site, *self.workers]:
            if process is not None:
                process.terminate()
                process.wait()
        self.site, self.workers = None, []

    def readings(self) -> list[Row]:
        """Return what the database holds of the fleet, asked of the database itself."""
        ids = [device.id for device in self.world.devices]
        with psycopg.connect(self.environment["DATABASE_URL"]) as connection:
            asked = "SELECT device_id, taken_at, value FROM devices_reading WHERE device_id = ANY(%s)"
            return connection.execute(asked, [ids]).fetchall()


@contextmanager
def platform_on(regions: LocalRegions, **variables: str) -> Iterator[PlatformProcesses]:
    """Run the platform on regions made whole; end all of it."""
    mend(regions)
    platform = PlatformProcesses(regions, variables)
    try:
        platform.start()
        yield platform
    finally:
        platform.stop()
