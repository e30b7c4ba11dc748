"""A run whose readers are in follower regions: they read replicas, which relays tell their regions of."""

import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.consistency import database
from tests.consistency.commits import CommitLog, flushed
from tests.consistency.faults import begin, nodes
from tests.consistency.follower_faults import FollowerFaults, Relays
from tests.consistency.run import HarnessFailed, Options, Outcome, Run
from xyzsite.localregions.manager import LocalRegions


class FollowerRun(Run):
    """The first processes write in the home region; the others read and write in the followers, by turns."""

    def __init__(self, options: Options, regions: LocalRegions, directory: Path, tell: Callable[[str], None]) -> None:
        database.drop_slots(regions.environment(options.regions[0])["DATABASE_URL"])
        super().__init__(options, regions, directory, tell)
        self.commits = CommitLog(directory / "commits", self.writing + 1)
        self.relays = Relays(self.start_relay, options.followers)
        self.follower_faults = FollowerFaults(regions, self.relays, options)

    def environment(self, slot: int) -> dict[str, str]:
        options = self.options
        if slot < options.writers:
            return super().environment(slot) | {"HARNESS_FOLLOWING": ",".join(options.followers)}
        return self.environment_in(options.followers[slot % len(options.followers)], super().environment(slot))

    def environment_in(self, region: str, common: dict[str, str]) -> dict[str, str]:
        """Return the environment of a process in a follower region: the home's databases, and its own."""
        servers = self.regions.environment(region)
        return {
            **common,
            **{name: value for name, value in servers.items() if not name.startswith("DATABASE_")},
            "HARNESS_FOLLOWING": ",".join(self.options.followers),
            "HARNESS_DATABASE": database.named(servers["DATABASE_URL"]),
            "HARNESS_REPLICA": database.named(servers["DATABASE_REPLICA_URL"]),
        }

    def start_relay(self, region: str) -> subprocess.Popen[bytes]:
        log = f"relay-{region}.log"
        environment = self.environment_in(region, super().environment(0)) | {"HARNESS_LOG": str(self.directory / log)}
        return self.spawn({"role": "relay", "strategy": self.options.strategy}, environment, log)

    def forget_entries(self) -> None:
        super().forget_entries()
        begin(nodes(self.regions, self.options.followers))

    @contextmanager
    def running(self) -> Iterator[list[subprocess.Popen[bytes]]]:
        faults = threading.Thread(target=self.follower_faults.run)
        self.relays.look()
        try:
            with super().running() as running:
                faults.start()
                yield running
                self.follower_faults.stop()  # and undo: who stands still does not see the end
                faults.join()
        finally:
            self.follower_faults.stop()
            if faults.ident is not None:
                faults.join()
            self.relays.end()
            database.drop_slots(self.url)

    def settle(self) -> None:
        super().settle()
        self.relays.look()
        if self.follower_faults.failed is not None:
            raise HarnessFailed("A fault could not be made, or undone.") from self.follower_faults.failed

    def publish(self, found: list[int], *, promised: bool) -> None:
        super().publish(found, promised=promised)
        with database.connected(self.url) as connection:
            self.commits.note(self.board.orchestrator, flushed(connection), dict(enumerate(found)))

    def progress(self, seconds: float) -> str:
        return f"{super().progress(seconds)}; {sum(self.follower_faults.done.values())} faults in followers"

    def outcome(self, seconds: float) -> Outcome:
        outcome = super().outcome(seconds)
        outcome.faults = dict(self.follower_faults.done)
        return outcome
