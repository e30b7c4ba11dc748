"""What is done to follower regions while their readers read, one thing at a time."""

import random
import signal
import subprocess
import threading
from collections import Counter
from collections.abc import Callable
from functools import partial

import psycopg

from tests.consistency.faults import nodes
from tests.consistency.run import Options
from xyzsite.localregions.exceptions import LocalRegionsError
from xyzsite.localregions.manager import LocalRegions
from xyzsite.localregions.plan import HOME

FAULTS = ("relay", "replica", "redis", "primary", "link", "lag")
Act = Callable[[], None]


class Relays:
    """A relay process for each region: begun again when it ends."""

    def __init__(self, start: Callable[[str], subprocess.Popen[bytes]], regions: tuple[str, ...]) -> None:
        self._start = start
        self._regions = regions
        self._running: dict[str, subprocess.Popen[bytes]] = {}

    def look(self) -> None:
        """Begin those that do not run."""
        for region in self._regions:
            if region not in self._running or self._running[region].poll() is not None:
                self._running[region] = self._start(region)

    def send(self, region: str, number: signal.Signals) -> None:
        if region in self._running:
            self._running[region].send_signal(number)

    def end(self) -> None:
        for process in self._running.values():
            process.kill()
            process.wait()


class FollowerFaults:
    """Kills, freezes and parts by turns, with pauses in between. `done` counts what was done."""

    def __init__(self, regions: LocalRegions, relays: Relays, options: Options) -> None:
        self.regions = regions
        self.relays = relays
        self.options = options
        self.random = random.Random(options.seed)
        self.done: Counter[str] = Counter()
        self.failed: Exception | None = None
        self._stopped = threading.Event()

    def stop(self) -> None:
        self._stopped.set()

    def run(self) -> None:
        """Do one thing after the other until stopped, each of them as often."""
        acts: list[tuple[str, Act]] = []
        every = self.options.kill_every
        while not self._stopped.wait(self.random.uniform(0.5, 1.5) * every):
            acts = acts or self.random.sample(everything := self.acts(), len(everything))
            if not acts:
                return
            name, act = acts.pop()
            try:
                act()
                self.regions.wait_linked(30.0)
            except (LocalRegionsError, psycopg.Error) as error:
                self.failed = error
                return
            self.done[name] += 1

    def acts(self) -> list[tuple[str, Act]]:
        """Return everything that may be done: its name, and what does it."""
        wanted, followers = self.options.faults, self.options.followers
        found: list[tuple[str, Act]] = []
        if "relay" in wanted:
            for region in followers:
                found += [("relay killed", partial(self.relays.send, region, signal.SIGKILL))]
                found += [("relay frozen", partial(self._freeze_relay, region))]
        servers = [f"{region}-db" for region in followers] if "replica" in wanted else []
        for kind, names in (
            ("replica", servers),
            ("redis", self._redis() if "redis" in wanted else []),
            ("primary", [f"{HOME}-db"] if "primary" in wanted else []),
        ):
            for name in names:
                found += [(f"{kind} killed", partial(self.regions.kill, name))]
                found += [(f"{kind} frozen", partial(self._freeze, name))]
        if "primary" in wanted:
            found += [("primary parted", partial(self._part, HOME))]
        if "link" in wanted:
            found += [("region parted", partial(self._part, region)) for region in followers]
        if "lag" in wanted:
            found += [("replica stood still", partial(self._stand_still, region)) for region in followers]
        return found

    def _redis(self) -> list[str]:
        return [row["node"] for row in nodes(self.regions, self.options.followers)]

    def _wait(self) -> None:
        self._stopped.wait(self.options.freeze_seconds)

    def _freeze(self, node: str) -> None:
        self.regions.pause(node)
        self._wait()
        self.regions.resume(node)

    def _freeze_relay(self, region: str) -> None:
        self.relays.send(region, signal.SIGSTOP)
        self._wait()
        self.relays.send(region, signal.SIGCONT)

    def _part(self, region: str) -> None:
        self.regions.partition(region)
        self._wait()
        self.regions.heal()

    def _stand_still(self, region: str) -> None:
        """Let a replica replay nothing for a while, as a long query on it may."""
        with psycopg.connect(self.regions.environment(region)["DATABASE_REPLICA_URL"], autocommit=True) as replica:
            replica.execute("SELECT pg_wal_replay_pause()")
            self._wait()
            replica.execute("SELECT pg_wal_replay_resume()")
