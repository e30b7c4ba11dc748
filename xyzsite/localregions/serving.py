"""The whole platform on one machine: servers, data, and a site a region; what `make run` starts and ends."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import FrameType

from xyzsite.localregions import postgres
from xyzsite.localregions.exceptions import ProgramMissing
from xyzsite.localregions.manager import LocalRegions
from xyzsite.localregions.plan import HOME, Options
from xyzsite.localregions.watched import PlatformError, Say, Watched, end_all
from xyzsite.settings.regions import variable

HOST = "127.0.0.1"
START_SECONDS = 60.0  # for the sites to answer: a slow laptop's first import of everything
STOP_SECONDS = 10.0  # for a process to end before it is killed; its lifeline does so after 8
LOOK_SECONDS = 0.5  # how often the processes are looked after

OLD_DATABASE = (
    "The database was made by an older version, in which people belonged to another app; it can't be migrated. "
    "Begin anew with an empty one: remove the folder var/ (make run loads the demo data again), or name another "
    "database in DATABASE_URL."
)


class Stopped(Exception):
    """Someone asked for the end: Ctrl-C, or a signal."""


SERVED = "served.json"  # a file: where the sites are, by region


class LocalPlatform:
    """Starts everything in order, says what it does, and ends whatever it has started.

    `served` are the regions that get a site, at ports from `port` on. `own_region` is the one whose servers the
    environment may name: it is then served alone.
    """

    def __init__(
        self,
        base_dir: Path,
        served: Sequence[str],
        port: int,
        say: Say,
        *,
        own_region: str = HOME,
        directory: Path | None = None,
        fleet: bool = True,
    ) -> None:
        self.base_dir = base_dir
        self.ports = {region: port + number for number, region in enumerate(served)}
        self.own_region = own_region
        self.say = say
        self.fleet = fleet
        self.regions = LocalRegions(directory or base_dir / "var" / "regions")
        self.environment = dict(os.environ)  # of commands that are no region's own
        self.environments: dict[str, dict[str, str]] = {}  # by region that is served
        self._watched: list[Watched] = []
        self._on_regions = False  # the sites use the local regions
        self._own_regions = False  # this process has started them
        self._has_log = False  # of the local regions' own databases, which relays read

    def run(self) -> None:
        """Serve until stopped. Raise PlatformError where something does not start."""
        for region, port in self.ports.items():
            check_port(port, region, len(self.ports))
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, _stop)
        try:
            self._start_regions()
            self._manage("migrate", "--verbosity", "0", says="Migrated the database")
            self._manage("seed_demo", says="Loaded the demo data", show=True)
            self._start_relays()
            self._start_sites()
            self._manage("warm_cache", says="Warmed the cache")
            self._wait(self._all_answer, "The web servers did not answer")
            self._start_fleet()
            self._note_addresses()
            self._greet()
            self._look_after()
        except Stopped:
            self.say("\nStopping …")
        finally:
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                signal.signal(number, signal.SIG_IGN)  # a second Ctrl-C must not leave a process behind
            self._end()

    # --- the servers --------------------------------------------------------------------------------------------------

    def _start_regions(self) -> None:
        given = given_by_user(self.regions.directory / f"{self.own_region}.env")
        if variable("REDIS_URL", self.own_region) in given:
            self.say(f"Using the servers that the environment names for {self.own_region}.")
            self._serve_alone()
            return
        started = time.monotonic()
        options = Options(postgres="DATABASE_URL" not in given)
        try:
            if not self.regions.running:
                self._own_regions = self.regions.up(options, owner=os.getpid())
        except ProgramMissing as error:
            self.say(f"{error}\nGoing on without: SQLite, and caches in the memory of each process.")
            self._serve_alone()
            return
        self._on_regions = True
        self._has_log = options.postgres and self.regions.plan.options.postgres
        self.environment = self._environment_in(HOME, given)
        self.environments = {region: self._environment_in(region, given) for region in self.ports}
        verb = "Started" if self._own_regions else "Found"
        self.say(f"{verb} the local regions ({', '.join(self._engines())}) in {time.monotonic() - started:.1f} s.")
        self.say("They are near each other: `manage.py regions distance us-west-2 62` puts one as far away as it is.")

    def _serve_alone(self) -> None:
        """Serve the own region, which alone has what the environment names."""
        if self.own_region not in self.ports:
            raise PlatformError(f"REGIONS must name {self.own_region} then, which is served alone.")
        if len(self.ports) > 1:
            self.say(f"Without the local regions there is one site, in {self.own_region}.")
        self.ports = {self.own_region: min(self.ports.values())}
        self.environments = {self.own_region: self.environment}

    def _environment_in(self, region: str, given: Mapping[str, str]) -> dict[str, str]:
        known = self.regions.environment(region)
        if "DATABASE_URL" in given:
            for name in ("DATABASE_REPLICA_URL", "FOLLOWER_REGIONS"):  # of another database
                known.pop(name, None)
        return {**known, **given, "XYZ_REGION": region}

    def _engines(self) -> list[str]:
        rows = self.regions.status()
        databases = sum(row["kind"] == "postgres" for row in rows)
        found = [f"{len(rows) - databases} Redis servers"]
        return found + ([f"{databases} PostgreSQL servers"] if databases else [])

    # --- commands that end --------------------------------------------------------------------------------------------

    def _manage(self, *arguments: str, says: str, show: bool = False) -> None:
        started = time.monotonic()
        done = subprocess.run(
            self._command(*arguments), env=self.environment, capture_output=True, text=True, check=False
        )
        if "InconsistentMigrationHistory" in done.stderr:
            raise PlatformError(OLD_DATABASE)
        if done.returncode:
            raise PlatformError(f"manage.py {' '.join(arguments)} failed:\n{done.stdout}{done.stderr}")
        self.say(f"{says} in {time.monotonic() - started:.1f} s.")
        if show:
            self.say(done.stdout.strip())

    def _command(self, *arguments: str) -> list[str]:
        return [sys.executable, str(self.base_dir / "manage.py"), *arguments]

    # --- processes that stay ------------------------------------------------------------------------------------------

    def _watch(self, name: str, command: Sequence[str], environment: Mapping[str, str], **options: bool) -> None:
        settings = {"DJANGO_SETTINGS_MODULE": "xyzsite.settings.local"}
        self._watched.append(Watched(name, command, {**settings, **environment}, self.base_dir, **options))

    def _start_relays(self) -> None:
        """Start a relay a region, and wait until each is at work: one that begins makes what is cached misses."""
        if not self._has_log:
            return
        try:
            self._manage("relay", "--install", says="Published the tables to the relays")
        except PlatformError as error:
            self.say(f"{error}Going on without relays: what is written past Django is not seen.")
            return
        for region, environment in self.environments.items():
            self._watch(f"The relay of {region}", self._command("relay"), environment)
        port = self.regions.plan.port(f"{HOME}-db")
        self._wait(lambda: postgres.active_relays(port) >= len(self.environments), "The relays did not begin")

    def _start_sites(self) -> None:
        """Start in each region a web server and, without which readings are not buffered, flush_writes."""
        for region, environment in self.environments.items():
            has_servers = variable("REDIS_URL", region) in environment
            if has_servers:  # without them there is nothing for it
                command = self._command("flush_writes", "--drain")
                self._watch(f"flush_writes of {region}", command, environment, outlives_sites=True)
            # A cache in memory is one process's own: two would be stale for each other's writes.
            workers = 2 if has_servers and region == self.own_region else 1
            command = [sys.executable, "-m", "gunicorn", "-c", "python:xyzsite.server", "xyzsite.wsgi"]
            command += ["--bind", f"{HOST}:{self.ports[region]}", "--workers", str(workers)]
            command += ["--log-level", "warning", "--access-logfile", os.devnull]
            self._watch(f"The web server of {region}", command, environment, quiet=False)

    def _start_fleet(self) -> None:
        if self.fleet:
            sites = [f"{region}={self._url(region)}" for region in self.environments]
            self._watch("The fleet", self._command("demo_fleet", *sites), self.environment)

    def _url(self, region: str) -> str:
        return f"http://{HOST}:{self.ports[region]}"

    def _note_addresses(self) -> None:
        found = {region: self._url(region) for region in self.environments}
        self.regions.directory.mkdir(parents=True, exist_ok=True)
        (self.regions.directory / SERVED).write_text(json.dumps(found))

    def _greet(self) -> None:
        if len(self.environments) == 1:
            for region in self.environments:
                self.say(f"\nThe platform runs on {self._url(region)} in {region}. Ctrl-C ends it.")
        else:
            self.say("\nThe platform runs in three regions:" if len(self.ports) == 3 else "\nThe platform runs:")
            for region, environment in self.environments.items():
                kind = "reads a replica of the database" if "DATABASE_REPLICA_URL" in environment else ""
                self.say(f"  {self._url(region)}  {region}  {kind}".rstrip())
            self.say("What is changed in one is seen in all: the foot of each page says its region. Ctrl-C ends it.")
        if self.fleet:
            self.say("The demo's devices post a reading a second; FLEET=0 leaves that out.")

    def _look_after(self) -> None:
        while True:
            self._check_regions()
            for process in self._watched:
                process.look(self.say)
            time.sleep(LOOK_SECONDS)

    def _check_regions(self) -> None:
        """Raise PlatformError where the regions' supervisor was killed: nothing promotes or restarts a server then."""
        if self._on_regions and not self.regions.running:
            raise PlatformError(
                "The local regions have ended, or their supervisor was killed. The site ends as well, as it would "
                "answer with errors: start again (`make run`), which ends what is left of them and starts new ones."
            )

    def _wait(self, ready: Callable[[], bool], failure: str) -> None:
        """Wait until something is so. Raise PlatformError where a process ends meanwhile, or it takes too long."""
        deadline = time.monotonic() + START_SECONDS
        while not ready():
            for process in self._watched:
                if (code := process.poll()) is not None:
                    raise PlatformError(f"{process.name} did not start; it ended with status {code}.")
            if time.monotonic() > deadline:
                raise PlatformError(f"{failure} within {START_SECONDS:.0f} s.")
            time.sleep(0.05)

    def _all_answer(self) -> bool:
        return all(map(is_listening, self.ports.values()))

    def _end(self) -> None:
        """End the sites, then what stores their readings, then the servers, which keep nothing."""
        (self.regions.directory / SERVED).unlink(missing_ok=True)
        end_all([process for process in self._watched if not process.outlives_sites], STOP_SECONDS)
        end_all(self._watched, STOP_SECONDS)
        if self._own_regions:  # a start that was broken off ends with this process, its owner
            self.regions.down()


def _stop(number: int, frame: FrameType | None) -> None:
    raise Stopped


def served_urls(directory: Path) -> dict[str, str]:
    """Return by region where the platform is served, as its process has noted in the local regions' directory."""
    try:
        found: dict[str, str] = json.loads((directory / SERVED).read_text())
    except FileNotFoundError:
        return {}
    return found


def is_listening(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex((HOST, port)) == 0


def check_port(port: int, region: str, count: int) -> None:
    """Raise PlatformError where another program listens on the port of a region, one of so many in a row."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except (OSError, OverflowError) as error:
            others = f", which takes {count} in a row" if count > 1 else ""
            raise PlatformError(
                f"Port {port}, of {region}, can't be used ({error}): choose another, as `make run PORT=8100`{others}."
            ) from error


def given_by_user(regions_file: Path) -> Mapping[str, str]:
    """Return the environment, without what xyzsite.settings.local took from the file of regions that ran."""
    lines = regions_file.read_text(encoding="utf-8").splitlines() if regions_file.exists() else []
    written = dict(line.split("=", 1) for line in lines)
    return {name: value for name, value in os.environ.items() if written.get(name) != value}
