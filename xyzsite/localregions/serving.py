"""The whole platform on one machine: servers, data, and the site; what `make run` starts and ends."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import FrameType
from typing import Any

from xyzsite.localregions.exceptions import ProgramMissing
from xyzsite.localregions.lifeline import end, tied
from xyzsite.localregions.manager import LocalRegions
from xyzsite.localregions.plan import Options
from xyzsite.settings.regions import variable

HOST = "127.0.0.1"
START_SECONDS = 60.0  # for the site to answer: a slow laptop's first import of everything
STOP_SECONDS = 10.0  # for a process to end before it is killed; its lifeline does so after 8
LOOK_SECONDS = 0.5  # how often the processes are looked after

OLD_DATABASE = (
    "The database was made by an older version, in which people belonged to another app; it can't be migrated. "
    "Begin anew with an empty one: remove the folder var/ (make run loads the demo data again), or name another "
    "database in DATABASE_URL."
)

Say = Callable[[str], None]


class PlatformError(Exception):
    """The platform could not be started; the message says why and what to do."""


class Stopped(Exception):
    """Someone asked for the end: Ctrl-C, or a signal."""


class LocalPlatform:
    """Starts everything in order, says what it does, and ends whatever it has started."""

    def __init__(self, base_dir: Path, region: str, port: int, say: Say) -> None:
        self.base_dir = base_dir
        self.region = region
        self.port = port
        self.say = say
        self.regions = LocalRegions(base_dir / "var" / "regions")
        self.environment = dict(os.environ)
        self._site: subprocess.Popen[bytes] | None = None
        self._worker: subprocess.Popen[bytes] | None = None
        self._on_regions = False  # the site uses the local regions
        self._own_regions = False  # this process has started them

    def run(self) -> None:
        """Serve until stopped. Raise PlatformError where something does not start."""
        check_port(self.port)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, _stop)
        try:
            self._start_regions()
            self._prepare()
            self._start_worker()
            self._serve()
        except Stopped:
            self.say("\nStopping …")
        finally:
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                signal.signal(number, signal.SIG_IGN)  # a second Ctrl-C must not leave a process behind
            self._end()

    def _start_regions(self) -> None:
        given = given_by_user(self.regions.directory / f"{self.region}.env")
        if variable("REDIS_URL", self.region) in given:
            self.say(f"Using the servers that the environment names for {self.region}.")
            return
        started = time.monotonic()
        try:
            if not self.regions.running:
                self._own_regions = self.regions.up(Options(postgres="DATABASE_URL" not in given), owner=os.getpid())
        except ProgramMissing as error:
            self.say(f"{error}\nGoing on without: SQLite, and caches in the memory of each process.")
            return
        self._on_regions = True
        known = self.regions.environment(self.region)
        self.environment |= {name: value for name, value in known.items() if name not in given}
        verb = "Started" if self._own_regions else "Found"
        self.say(f"{verb} the local regions ({', '.join(self._engines())}) in {time.monotonic() - started:.1f} s.")
        self.say("They are near each other: `manage.py regions distance us-west-2 62` puts one as far away as it is.")

    def _engines(self) -> list[str]:
        rows = self.regions.status()
        databases = sum(row["kind"] == "postgres" for row in rows)
        found = [f"{len(rows) - databases} Redis servers"]
        return found + ([f"{databases} PostgreSQL servers"] if databases else [])

    def _prepare(self) -> None:
        self._manage("migrate", "--verbosity", "0", says="Migrated the database")
        self._manage("seed_demo", says="Loaded the demo data", show=True)
        self._manage("warm_cache", says="Warmed the cache")

    def _manage(self, *arguments: str, says: str, show: bool = False) -> None:
        started = time.monotonic()
        command = [sys.executable, str(self.base_dir / "manage.py"), *arguments]
        done = subprocess.run(command, env=self.environment, capture_output=True, text=True, check=False)
        if "InconsistentMigrationHistory" in done.stderr:
            raise PlatformError(OLD_DATABASE)
        if done.returncode:
            raise PlatformError(f"manage.py {' '.join(arguments)} failed:\n{done.stdout}{done.stderr}")
        self.say(f"{says} in {time.monotonic() - started:.1f} s.")
        if show:
            self.say(done.stdout.strip())

    def _start_worker(self) -> None:
        """Start flush_writes, without which readings are not buffered; without servers there is nothing for it."""
        if variable("REDIS_URL", self.region) in self.environment:
            command = [sys.executable, str(self.base_dir / "manage.py"), "flush_writes"]
            self._worker = self._process(command, stdout=subprocess.DEVNULL)

    def _process(self, command: list[str], **options: Any) -> "subprocess.Popen[bytes]":
        """Start a process in a group of its own: Ctrl-C reaches only this one, which ends the others in order.

        Where this one is killed, the other ends by its lifeline: the next start finds the port free.
        """
        environment = {"DJANGO_SETTINGS_MODULE": "xyzsite.settings.local", **self.environment}
        return subprocess.Popen(tied(command), cwd=self.base_dir, env=environment, start_new_session=True, **options)

    def _serve(self) -> None:
        command = [sys.executable, "-m", "gunicorn", "-c", "python:xyzsite.server", "xyzsite.wsgi"]
        # A cache in memory is one process's own: two would be stale for each other's writes.
        workers = 2 if variable("REDIS_URL", self.region) in self.environment else 1
        command += ["--bind", f"{HOST}:{self.port}", "--workers", str(workers), "--log-level", "warning"]
        command += ["--access-logfile", os.devnull]
        self._site = self._process(command)
        self._wait_for_site()
        self.say(f"\nThe platform runs on http://{HOST}:{self.port} in {self.region}. Ctrl-C ends it.")
        while (code := self._site.poll()) is None:
            self._check_regions()
            if self._worker is not None and self._worker.poll() is not None:
                self.say(f"flush_writes ended by itself, with status {self._worker.returncode}: starting another.")
                self._start_worker()
            time.sleep(LOOK_SECONDS)
        raise PlatformError(f"The web server ended by itself, with status {code}.")

    def _check_regions(self) -> None:
        """Raise PlatformError where the regions' supervisor was killed: nothing promotes or restarts a server then."""
        if self._on_regions and not self.regions.running:
            raise PlatformError(
                "The local regions have ended, or their supervisor was killed. The site ends as well, as it would "
                "answer with errors: start again (`make run`), which ends what is left of them and starts new ones."
            )

    def _wait_for_site(self) -> None:
        assert self._site is not None
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            if self._site.poll() is not None:
                raise PlatformError(f"The web server did not start; it ended with status {self._site.returncode}.")
            with socket.socket() as probe:
                if probe.connect_ex((HOST, self.port)) == 0:
                    return
            time.sleep(0.05)
        raise PlatformError(f"The web server did not answer within {START_SECONDS:.0f} s.")

    def _end(self) -> None:
        end(self._site, STOP_SECONDS)
        end(self._worker, STOP_SECONDS)
        if self._own_regions:  # a start that was broken off ends with this process, its owner
            if self._worker is not None:
                self._flush()
            self.regions.down()

    def _flush(self) -> None:
        """Bring to the database what is buffered: these servers keep nothing when they end."""
        try:
            self._manage("flush_writes", "--once", says="Stored what was buffered")
        except PlatformError as error:
            self.say(str(error))


def _stop(number: int, frame: FrameType | None) -> None:
    raise Stopped


def check_port(port: int) -> None:
    """Raise PlatformError where another program listens on the port."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except (OSError, OverflowError) as error:
            raise PlatformError(
                f"Port {port} can't be used ({error}): choose another, as `make run PORT=8001`."
            ) from error


def given_by_user(regions_file: Path) -> Mapping[str, str]:
    """Return the environment, without what xyzsite.settings.local took from the file of regions that ran."""
    lines = regions_file.read_text(encoding="utf-8").splitlines() if regions_file.exists() else []
    written = dict(line.split("=", 1) for line in lines)
    return {name: value for name, value in os.environ.items() if written.get(name) != value}
