"""One run: servers, a database, readers and writers, faults; in the end the figures."""

import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.consistency import database
from tests.consistency.board import ROWS, WINDOW, Board
from tests.consistency.faults import Faults, begin, nodes
from tests.consistency.reports import read_all
from tests.consistency.rules import IMMORTAL
from xyzsite.localregions.manager import CHECKOUT, LocalRegions

STEP = 0.1  # seconds between two looks at the processes
PROGRESS = 10.0  # seconds between two lines about how far it is


@dataclass(frozen=True)
class Options:
    """What a run does; ends after so many reads, or so many seconds."""

    reads: int = 5_000_000
    seconds: float = 24 * 3600.0
    faults: frozenset[str] = frozenset()
    regions: tuple[str, ...] = ("us-west-2",)
    readers: int = 2
    writers: int = 1
    seed: int = 1
    strategy: str = "engine"
    on_unreachable: str = "queue"
    wait_replicas: int = 1
    hot: int = IMMORTAL  # how many items, beside the mortal ones, are written and read one by one
    pause: float = 0.05  # share of loads and commits that stand still on each side
    pause_seconds: float = 0.01  # for so long at most
    reads_per_write: float = 40.0  # reads of all readers for one transaction of all writers, on average
    kill_every: float = 5.0  # seconds between two killings of writers, and of servers, on average
    stop_at_stale: bool = False  # end with the first stale read: to prove the harness
    near: float = 0.0  # seconds: readers read at the level near, and are judged by it
    followers: tuple[str, ...] = ()  # regions that cache their replica: readers read there, `regions` are the primary's
    freeze_seconds: float = 10.0  # for which followers' servers stand still, or a region is parted


@dataclass
class Outcome:
    figures: dict[str, int]
    seconds: float
    kills: int = 0
    servers_killed: int = 0
    failovers: int = 0
    evicted: int = 0
    crashed: int = 0  # shards, which came back with older snapshots
    reports: list[dict[str, str]] = field(default_factory=list)
    faults: dict[str, int] = field(default_factory=dict)  # what was done in follower regions, how often

    @property
    def stale(self) -> int:
        return self.figures["stale"]


class Run:
    """The orchestrator. `regions` are running local regions with a database; `directory` is for what the run leaves."""

    def __init__(self, options: Options, regions: LocalRegions, directory: Path, tell: Callable[[str], None]) -> None:
        self.options = options
        self.regions = regions
        self.directory = directory
        self.tell = tell
        self.random = random.Random(options.seed)
        self.processes = options.writers + options.readers
        self.writing = self.processes if options.followers else options.writers  # processes that may write
        self.home = regions.environment(options.regions[0])
        self.url = database.create(self.home["DATABASE_URL"], self.fill)
        self.board = Board(directory / "board", self.processes, self.writing)
        self.faults = Faults(regions, options.regions, set(options.faults), options.seed, options.kill_every)
        self.kills = 0
        self.settled: list[tuple[float, list[int]]] = []  # from when on what was found after a kill is promised

    def environment(self, slot: int) -> dict[str, str]:
        """Return the environment of a process: the regions by turns."""
        options = self.options
        region = options.regions[slot % len(options.regions)]
        servers = self.regions.environment(region)
        return {
            **{name: value for name, value in os.environ.items() if not name.startswith(("REDIS_", "DATABASE_"))},
            **{name: value for name, value in servers.items() if not name.startswith("DATABASE_")},
            "DJANGO_SETTINGS_MODULE": "tests.consistency.settings",
            "HARNESS_REGIONS": ",".join(options.regions),
            "HARNESS_WAIT_REPLICAS": str(options.wait_replicas),
            "HARNESS_ON_UNREACHABLE": options.on_unreachable,
            "HARNESS_NEAR": str(options.near),
            "HARNESS_MARK_SECONDS": "3" if {"kill", "snapshot-restart"} & options.faults else "10",
            "HARNESS_LOG": str(self.directory / f"process-{slot}.log"),
        }

    def start(self, slot: int, seed: int) -> subprocess.Popen[bytes]:
        """Start the process of a slot; the first slots write, the others read."""
        options = self.options
        task = {
            "role": "writer" if slot < options.writers else "reader",
            "directory": str(self.directory),
            "processes": self.processes,
            "writers": self.writing,
            "slot": slot,
            "seed": seed,
            "strategy": options.strategy,
            "hot": options.hot,
            "pause": [options.pause, options.pause_seconds],
            "reads_per_write": options.reads_per_write * options.writers,
            "dies": "kill" in options.faults,
            "holds": "locks" in options.faults,
            "snapshots": "snapshot" in options.faults,
            "near": options.near,
            "follows": bool(options.followers),
        }
        return self.spawn(task, self.environment(slot), f"process-{slot}.log")

    def spawn(self, task: dict[str, Any], environment: dict[str, str], log_name: str) -> subprocess.Popen[bytes]:
        with (self.directory / log_name).open("ab") as log:
            return subprocess.Popen(
                [sys.executable, "-m", "tests.consistency.process", json.dumps(task)],
                cwd=CHECKOUT,
                env={"HARNESS_DATABASE": self.url, **environment},
                stdout=log,
                stderr=log,
            )

    def fill(self, url: str) -> None:
        """Fill a new database, through caches that nobody else uses."""
        code = "import django; django.setup(); from tests.consistency import database; database.fill()"
        environment = self.environment(0) | {"HARNESS_DATABASE": url}
        subprocess.run([sys.executable, "-c", code], cwd=CHECKOUT, env=environment, check=True)

    def run(self) -> Outcome:
        """Run to the end. Raise HarnessFailed where a process ended that nobody has killed."""
        self.forget_entries()
        self.publish(database.counters(self.url), promised=True)
        with self.running() as running:
            self.wait_connected(running)
            self.board.start()
            began = time.monotonic()
            last = began
            next_kill = began + self.options.kill_every
            while not self.done(began):
                time.sleep(STEP)
                if "kill" in self.options.faults and time.monotonic() > next_kill:
                    next_kill = time.monotonic() + self.random.uniform(0.5, 1.5) * self.options.kill_every
                    running[self.random.randrange(self.options.writers)].kill()
                self.replace_dead(running)
                self.settle()
                self.faults.step()
                if time.monotonic() - last > PROGRESS:
                    last = time.monotonic()
                    self.tell(self.progress(last - began))
            seconds = time.monotonic() - began
        return self.outcome(seconds)

    def wait_connected(self, running: list[subprocess.Popen[bytes]]) -> None:
        while self.board.figure("connected") < self.processes:
            self.replace_dead(running)
            time.sleep(STEP)

    def forget_entries(self) -> None:
        """Empty the caches: an earlier run's entries are of another database."""
        self.regions.wait_linked()
        begin(nodes(self.regions, self.options.regions))

    def done(self, began: float) -> bool:
        if self.options.stop_at_stale and self.board.figure("stale"):
            return True
        return self.board.figure("reads") >= self.options.reads or time.monotonic() - began > self.options.seconds

    @contextmanager
    def running(self) -> Iterator[list[subprocess.Popen[bytes]]]:
        running = [self.start(slot, self.random.randrange(1 << 30)) for slot in range(self.processes)]
        try:
            yield running
            self.board.stop()
            for process in running:
                process.wait(20)
        finally:
            for process in running:
                process.kill()
                process.wait()

    def replace_dead(self, running: list[subprocess.Popen[bytes]]) -> None:
        """Start a writer anew that was killed, after what it may have committed is known."""
        for slot, process in enumerate(running):
            code = process.poll()
            if code is None:
                continue
            if code != -9 or slot >= self.writing:
                log = (self.directory / f"process-{slot}.log").read_text(errors="replace")
                raise HarnessFailed(f"Process {slot} ended with status {code}:\n{log[-3000:]}")
            self.kills += 1
            self.reconcile(slot)
            running[slot] = self.start(slot, self.random.randrange(1 << 30))

    def reconcile(self, slot: int) -> None:
        """Publish what a killed writer has committed, by what the database holds once it has done with it."""
        backend = self.board.backend(slot)
        if backend:
            database.wait_gone(self.url, backend)
        found = database.counters(self.url)
        self.publish(found, promised=False)
        for row in range(ROWS):
            self.board.put("intent", slot, row, 0)
        self.settled.append((time.monotonic() + WINDOW, found))

    def settle(self) -> None:
        """Promise what was found after a kill, when a queued invalidation must have arrived."""
        now = time.monotonic()
        for due, found in self.settled:
            if due <= now:
                self.publish(found, promised=True)
        self.settled = [item for item in self.settled if item[0] > now]

    def publish(self, found: list[int], *, promised: bool) -> None:
        for row, counter in enumerate(found):
            self.board.publish("strict", self.board.orchestrator, row, counter)
            if promised:
                self.board.publish("floor", self.board.orchestrator, row, counter)

    def progress(self, seconds: float) -> str:
        figures = self.board.figures()
        names = ("reads", "hits", "misses", "bypasses", "stale", "window", "writes", "queued", "late_marks")
        text = ", ".join(f"{figures[name]:,} {name}" for name in names)
        ended = f"{self.kills} writers, {self.faults.killed} servers and {self.faults.crashed} shards killed"
        return f"{seconds:6.0f} s: {text}, {ended}"

    def outcome(self, seconds: float) -> Outcome:
        return Outcome(
            self.board.figures(),
            seconds,
            self.kills,
            self.faults.killed,
            self.faults.handed_over,
            sum(self.faults.evicted.values()),
            self.faults.crashed,
            read_all(self.directory),
        )


class HarnessFailed(Exception):
    """The run itself went wrong: its figures say nothing about the engine."""
