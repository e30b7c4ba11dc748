"""LocalRegions: start, ask and end the local regions from Python."""

import contextlib
import fcntl
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from xyzsite.localregions import control, environment, exceptions, processes, state
from xyzsite.localregions.exceptions import LocalRegionsError, NotRunning, ServerFailed
from xyzsite.localregions.plan import Options, Plan, known_region

CHECKOUT = Path(__file__).resolve().parents[2]
# How long the supervisor may take to end its servers; a database writes its checkpoint first, in seconds.
DOWN_SECONDS = 30.0


class LocalRegions:
    """The regions whose state is in `directory`. Every method raises LocalRegionsError, or one of its kinds."""

    def __init__(self, directory: Path | str) -> None:
        self.directory = Path(directory).resolve()

    @property
    def state(self) -> state.State:
        return state.read(self.directory)

    @property
    def running(self) -> bool:
        """Whether a supervisor runs."""
        supervisor = self.state.supervisor
        return supervisor is not None and supervisor.alive

    @property
    def plan(self) -> Plan:
        """Return what runs. Raises NotRunning."""
        if not self.running:
            raise NotRunning("The local regions are not running: start them with `manage.py regions up`.")
        return self.state.plan(self.directory)

    def up(self, options: Options | None = None, *, base_port: int | None = None, owner: int | None = None) -> bool:
        """Start everything and wait until it serves; False when it ran already.

        `owner` is the process with which all ends. Raises LocalRegionsError when it runs with other options.
        """
        options = options or Options()
        self.directory.mkdir(parents=True, exist_ok=True)
        with self._locked():
            if self.running:
                if differences := differing(self.state.options, options):
                    raise LocalRegionsError(
                        f"The local regions run with other options ({differences}): `regions down` first."
                    )
                return False
            self._clean()
            self._start(options, base_port, owner)
            environment.write_files(self.plan)
        return True

    def _start(self, options: Options, base_port: int | None, owner: int | None) -> None:
        request = {
            "directory": str(self.directory),
            "options": asdict(options),
            "base_port": base_port,
            "owner": asdict(state.Process.of(owner)) if owner is not None else None,
        }
        with (self.directory / "supervisor.log").open("ab") as log:
            daemon = subprocess.Popen(
                [sys.executable, "-m", "xyzsite.localregions.daemon"],
                cwd=CHECKOUT,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                start_new_session=True,
            )
        answer = _exchange(daemon, json.dumps(request) + "\n")
        if not answer:
            lines = (self.directory / "supervisor.log").read_text(errors="replace").splitlines()
            raise ServerFailed("The supervisor ended at once:\n" + "\n".join(lines[-5:]))
        reply = json.loads(answer)
        if "error" in reply:
            raise getattr(exceptions, reply["kind"])(reply["error"])

    def down(self) -> bool:
        """End every server; False when none ran. What a killed supervisor left is ended too."""
        if not self.directory.exists():
            return False
        with self._locked():
            was_running = self.running
            if was_running:
                self._stop()
            return self._clean() or was_running

    def _stop(self) -> None:
        """Ask the supervisor to end, and wait for it; end it when it does not."""
        before = self.state
        assert before.supervisor is not None
        with contextlib.suppress(NotRunning):
            control.ask(before.control, "stop")
        deadline = time.monotonic() + DOWN_SECONDS
        while before.supervisor.alive and time.monotonic() < deadline:
            time.sleep(0.01)
        if before.supervisor.alive:
            processes.end(before.supervisor.pid, before.supervisor.started)

    def _clean(self) -> bool:
        """End the servers that a supervisor left behind, and forget it; return whether there was something."""
        left = self.state
        found = left.supervisor is not None
        for server in left.servers.values():
            found = found or server.alive
            processes.end(server.pid, server.started)
        if found:
            state.write(self.directory, state.cleared(left))
        environment.remove_files(self.directory)
        return found

    def status(self) -> list[dict[str, Any]]:
        """Return a row for each node: region, node, kind, shard, role, address, state, in_sync, offset and lag (bytes
        of the replication stream), memory (bytes), pid."""
        return self._ask("status")

    def kill(self, node: str) -> None:
        """End a node at once; it comes back as a replica after Options.replace_after seconds."""
        self._ask("kill", node)

    def pause(self, node: str) -> None:
        """Freeze a node."""
        self._ask("pause", node)

    def resume(self, node: str) -> None:
        """Let a frozen node go on."""
        self._ask("resume", node)

    def partition(self, region: str) -> None:
        """Drop everything between a region and the others."""
        self._ask("partition", region)

    def heal(self) -> None:
        """End every partition."""
        self._ask("heal")

    def failover(self, region: str) -> None:
        """Make the replica of each shard of a region its primary, without losing a write."""
        self._ask("failover", region)

    def failover_database(self, region: str | None = None) -> str:
        """Make a replica the primary database, that of a region or the one with most of the log; return its name."""
        name: str = self._ask("failover_database", region)
        return name

    def distance(self, region: str, milliseconds: float, *, jitter: float = 0.0, loss: float = 0.0) -> None:
        """Put a region so many milliseconds, there and back, from each of the others; the loss is in percent."""
        self._ask("distance", region, milliseconds, jitter, loss)

    def crash(self, region: str, shard: int | None = None) -> None:
        """End all servers of a region at once, or those of one shard; they come back with their last snapshots."""
        self._ask("crash", region, shard)

    def wait_linked(self, seconds: float = 15.0) -> None:
        """Wait until every shard serves with its replica in sync."""
        self._ask("wait_linked", seconds)

    def environment(self, region: str) -> dict[str, str]:
        """Return the environment variables of a process that runs in a region."""
        return environment.environment(self.plan, known_region(region))

    def _ask(self, command: str, *arguments: Any) -> Any:
        return control.ask(self.state.control, command, *arguments)

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        """Let one `up` or `down` work at a time."""
        with (self.directory / "lock").open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield


def differing(running: Options, wanted: Options) -> str:
    """Return the names of the options that differ, by comma."""
    return ", ".join(each.name for each in fields(Options) if getattr(running, each.name) != getattr(wanted, each.name))


def _exchange(daemon: "subprocess.Popen[str]", request: str) -> str:
    """Send the request and return the line of the answer; "" when there is none."""
    assert daemon.stdin is not None
    assert daemon.stdout is not None
    with daemon.stdin, daemon.stdout:
        daemon.stdin.write(request)
        daemon.stdin.flush()
        answer = daemon.stdout.readline()
    daemon.wait()  # the supervisor itself has left it
    return answer
