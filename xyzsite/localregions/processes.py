"""Start, recognise and end server processes."""

import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

# prctl(2): the signal that the kernel sends to this process when its parent ends.
PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None) if sys.platform == "linux" else None


def spawn(command: Sequence[str | Path], log: Path, *, user: str | None = None) -> subprocess.Popen[bytes]:
    """Start a server in the background that does not outlive us (on Linux), its output appended to `log`."""
    with log.open("ab") as output:
        return subprocess.Popen(
            [str(part) for part in command],
            cwd="/",  # ours may be a folder that `user` cannot enter
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            user=user,
            extra_groups=[] if user else None,
            start_new_session=True,  # Ctrl-C at the terminal is for the supervisor, which ends servers in order
            preexec_fn=_die_with_parent(),
        )


def _die_with_parent() -> Callable[[], None] | None:
    """Return what a child calls before it becomes the server. A parent killed with -9 cannot end its children."""
    libc = _libc
    if libc is None:
        return None
    return lambda: libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def started_at(pid: int) -> str | None:
    """Return when a process started, as the system says; None when it is gone. With the pid it names a process."""
    if sys.platform == "linux":
        try:
            stat = Path(f"/proc/{pid}/stat").read_text()
        except (FileNotFoundError, ProcessLookupError):
            return None
        state, *fields = stat.rpartition(")")[2].split()
        return None if state in "ZX" else fields[18]  # proc(5): field 22
    done = subprocess.run(["ps", "-o", "lstart=", "-p", str(pid)], capture_output=True, text=True, check=False)
    return done.stdout.strip() or None


def alive(pid: int, started: str | None) -> bool:
    """Return whether the process that was `pid` and started then still runs: numbers are given again to others."""
    return started is not None and started_at(pid) == started


def descendants(pid: int) -> list[int]:
    """Return the processes below `pid`, at any depth."""
    parents = _parents()
    found, level = [], {pid}
    while level := {child for child, parent in parents.items() if parent in level}:
        found += sorted(level)
    return found


def _parents() -> dict[int, int]:
    """Return the parent of every process."""
    if sys.platform != "linux":
        done = subprocess.run(["ps", "-A", "-o", "pid=,ppid="], capture_output=True, text=True, check=True)
        return {int(pid): int(parent) for pid, parent in map(str.split, done.stdout.splitlines())}
    parents = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                stat = (folder / "stat").read_text()
            except (FileNotFoundError, ProcessLookupError):
                continue
            parents[int(folder.name)] = int(stat.rpartition(")")[2].split()[1])
    return parents


def signal_tree(pid: int, number: signal.Signals) -> None:
    """Send a signal to a process and all below it (PostgreSQL's children are sessions of their own)."""
    for each in [pid, *descendants(pid)]:
        try:
            os.kill(each, number)
        except ProcessLookupError:
            continue


def end(pid: int, started: str | None) -> None:
    """Kill what is left of a server that an earlier supervisor started, and wait until it is gone."""
    if not alive(pid, started):
        return
    signal_tree(pid, signal.SIGKILL)
    deadline = time.monotonic() + 5
    while alive(pid, started) and time.monotonic() < deadline:
        time.sleep(0.01)
