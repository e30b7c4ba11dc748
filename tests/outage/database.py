"""A PostgreSQL of a module's own, which its tests stop, kill and freeze."""

import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from xyzsite.localregions import ports, postgres, processes
from xyzsite.localregions.programs import find_postgres


class Database:
    """The server, and what befalls it."""

    def __init__(self, folder: Path) -> None:
        self.port = ports.choose(["postgres"], {})["postgres"]
        self.root = folder
        self.data = folder / "data"
        self.program = postgres.runnable(find_postgres(), folder)
        postgres.initialise(self.program, self.data, volatile=True)
        self.start()
        postgres.create_database(self.port)

    @property
    def url(self) -> str:
        return postgres.url(self.port)

    def start(self) -> None:
        command = postgres.command(self.program, self.data, self.port, volatile=True)
        self.process: subprocess.Popen[bytes] = processes.spawn(command, self.root / "log", user=self.program.user)
        postgres.wait_ready(self.process, self.data, self.root / "log")

    def stop(self) -> None:
        """End it, as for an upgrade: connections are told."""
        self.process.send_signal(signal.SIGINT)
        self.process.wait()

    def kill(self) -> None:
        processes.signal_tree(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def freeze(self) -> None:
        processes.signal_tree(self.process.pid, signal.SIGSTOP)

    def come_back(self) -> None:
        if self.process.poll() is None:
            processes.signal_tree(self.process.pid, signal.SIGCONT)
        else:
            self.start()


@pytest.fixture(scope="module")
def database() -> Iterator[Database]:
    folder = Path(tempfile.mkdtemp(prefix="xyz-database-"))
    folder.chmod(0o711)
    started = Database(folder)
    yield started
    processes.signal_tree(started.process.pid, signal.SIGKILL)
    started.process.wait()
    shutil.rmtree(folder, ignore_errors=True)
