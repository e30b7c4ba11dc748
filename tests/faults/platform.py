"""The platform as `make run` serves it, in all regions, with all that a fault may reach."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.request import urlopen

import psycopg

from tests import clients
from tests.faults.write_behind.platform import MAKE_WORLD
from tests.waiting import until
from xyzsite.demo.load.account import Row
from xyzsite.demo.load.fleet import LoadDevice, World
from xyzsite.localregions import ports
from xyzsite.localregions.manager import CHECKOUT, LocalRegions
from xyzsite.localregions.plan import HOME
from xyzsite.localregions.serving import served_urls

START_SECONDS = 180.0
DEVICES = 18  # six a region


class Platform:
    """`manage.py serve`, whose regions are in a folder; what it says goes to var/faults.log."""

    log = CHECKOUT / "var" / "faults.log"

    def __init__(self, folder: Path) -> None:
        self.regions = LocalRegions(folder)

    @contextmanager
    def running(self) -> Iterator[Mapping[str, str]]:
        """Serve within the block; yield the sites by region."""
        port = ports.choose(["first"], {})["first"]
        command = [sys.executable, "manage.py", "serve", "--no-fleet", "--port", str(port)]
        self.log.parent.mkdir(exist_ok=True)
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(
                [*command, "--dir", str(self.regions.directory)],
                cwd=CHECKOUT,
                env=self._environment(),
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        try:
            yield self._wait_served()
        finally:
            root = self.regions.state.data_root
            self._process.send_signal(signal.SIGTERM)
            self._process.wait()
            if root:
                shutil.rmtree(root, ignore_errors=True)

    def _environment(self, region: str = "") -> dict[str, str]:
        own = {name: value for name, value in os.environ.items() if not name.startswith(("REDIS_", "DATABASE_"))}
        known = self.regions.environment(region) if region else {}
        return {**own, **known, "DJANGO_SETTINGS_MODULE": "xyzsite.settings.local", "FLUSH_SECONDS": "1"}

    def _wait_served(self) -> Mapping[str, str]:
        deadline = time.monotonic() + START_SECONDS
        while not (sites := served_urls(self.regions.directory)):
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(self.log.read_text()[-3000:])
            time.sleep(0.1)
        return sites

    def make_world(self) -> World:
        done = subprocess.run(
            [sys.executable, "-c", MAKE_WORLD.replace("12", str(DEVICES))],
            env=self._environment(HOME), cwd=CHECKOUT, capture_output=True, text=True, check=True,
        )  # fmt: skip
        devices, token, cookie = json.loads(done.stdout)
        return World([LoadDevice(*device) for device in devices], token, cookie)

    def readings(self, devices: Sequence[LoadDevice]) -> list[Row]:
        """Return what the database holds of devices, asked of the database itself."""
        with psycopg.connect(self.regions.environment(HOME)["DATABASE_URL"]) as connection:
            asked = "SELECT device_id, taken_at, value FROM devices_reading WHERE device_id = ANY(%s)"
            return connection.execute(asked, [[device.id for device in devices]]).fetchall()

    def wait_well(self) -> None:
        """Wait until every server serves with its replica in sync, and every site says that it is well."""
        self.regions.wait_linked(60)
        for url in served_urls(self.regions.directory).values():
            until(lambda at=url: is_well(at), f"{url} is well")

    def nodes(self, kind: str = "", role: str = "") -> list[str]:
        """Return the servers of a role at this moment: Redis servers, or those of a kind."""
        rows = self.regions.status()
        wanted = [row for row in rows if (row["kind"] == kind if kind else row["kind"] != "postgres")]
        return [row["node"] for row in wanted if role in ("", row["role"])]

    def pid(self, node: str) -> int:
        return int(clients.row(self.regions, node)["pid"])

    def relays(self) -> list[int]:
        return self._pids("manage.py relay")

    def flushers(self) -> list[int]:
        return self._pids("manage.py flush_writes")

    def web_processes(self) -> list[int]:
        """Return the processes that answer requests, not those that start them."""
        main = self._pids("xyzsite.wsgi")
        parents = {parent for pid, parent, _ in self._below() if pid in main}
        return [pid for pid in main if pid not in parents]

    def _pids(self, command: str) -> list[int]:
        return [pid for pid, _, words in self._below() if command in words and "lifeline" not in words]

    def _below(self) -> list[tuple[int, int, str]]:
        """Return each process that serves, its parent and its command."""
        listed = subprocess.run(["ps", "-eww", "-o", "pid=,ppid=,args="], capture_output=True, text=True, check=True)
        lines = [line.split(maxsplit=2) for line in listed.stdout.splitlines()]
        rows = [(int(pid), int(parent), words) for pid, parent, words in lines]
        found = {self._process.pid}
        while more := {pid for pid, parent, _ in rows if parent in found} - found:
            found |= more
        return [row for row in rows if row[0] in found]


def is_well(url: str) -> bool:
    with suppress(OSError), urlopen(f"{url}/healthz", timeout=5) as answer:
        return bool(json.load(answer)["status"] == "ok")
    return False
