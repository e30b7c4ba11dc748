"""Processes that belong to the site: begun again when they end by themselves, and ended with it."""

import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from xyzsite.localregions.lifeline import end, tied

# One that ends sooner after its start has not worked; seconds.
QUICK_SECONDS = 10.0
# Before it is begun again, by how often it has ended so in a row, in seconds. Then the whole ends.
PAUSES = (0.0, 1.0, 2.0, 4.0, 8.0)

Say = Callable[[str], None]


class PlatformError(Exception):
    """The platform could not be started, or go on; the message says why and what to do."""


class Watched:
    """A command that is to run until `end_all`.

    Its process is in a group of its own: Ctrl-C reaches only the one that started it, which ends the others in order.
    Where that one is killed, the other ends by its lifeline: the next start finds the port free.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        environment: Mapping[str, str],
        directory: Path,
        *,
        quiet: bool = True,
        outlives_sites: bool = False,
    ) -> None:
        self.name = name
        self.outlives_sites = outlives_sites
        self._command = command
        self._environment = environment
        self._directory = directory
        self._stdout = subprocess.DEVNULL if quiet else None
        self._failures = 0
        self._due: float | None = None  # when it is begun again (monotonic)
        self.start()

    def start(self) -> None:
        self._due, self._started = None, time.monotonic()
        self.process = subprocess.Popen(
            tied(self._command),
            cwd=self._directory,
            env=self._environment,
            stdout=self._stdout,
            start_new_session=True,
        )

    def poll(self) -> int | None:
        """Return the status with which it has ended; None while it runs."""
        return self.process.poll()

    def look(self, say: Say) -> None:
        """Begin it again where it has ended. Raise PlatformError where it ends each time at once."""
        code = self.poll()
        if code is None:
            return
        now = time.monotonic()
        if self._due is None:
            self._failures = self._failures + 1 if now - self._started < QUICK_SECONDS else 1
            if self._failures > len(PAUSES):
                raise PlatformError(
                    f"{self.name} has ended {self._failures} times in a row, with status {code}: what it says is above."
                )
            say(f"{self.name} ended by itself, with status {code}: starting another.")
            self._due = now + PAUSES[self._failures - 1]
        if now >= self._due:
            self.start()


def end_all(watched: Sequence[Watched], seconds: float) -> None:
    """Ask all to end, and make those that have not after so many seconds."""
    for each in watched:
        if each.poll() is None:
            each.process.terminate()
    for each in watched:
        end(each.process, seconds)
