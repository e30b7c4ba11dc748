"""Run a command for as long as its parent lives: `python -m xyzsite.localregions.lifeline PARENT COMMAND…`.

A process that is killed (SIGKILL) can end nothing that it has started, and what would do it for it (PR_SET_PDEATHSIG of
prctl) is Linux's alone. So this one stands between them, and looks whose child it is.
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence

LOOK_SECONDS = 0.2
END_SECONDS = 8.0  # for the command to end by itself before it is ended


def end(process: "subprocess.Popen[bytes] | None", seconds: float) -> None:
    """End a process: ask it, then make it."""
    if process is None or process.poll() is not None:
        return
    process.terminate()
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def tied(command: Sequence[str]) -> list[str]:
    """Return the command that ends with this process."""
    return [sys.executable, "-m", "xyzsite.localregions.lifeline", str(os.getpid()), *command]


def main(parent: int, command: Sequence[str]) -> int:
    """Return the command's status, as a shell reports it."""
    asked: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, frame: asked.append(number))
    process = subprocess.Popen(command)
    while process.poll() is None:
        if asked or os.getppid() != parent:
            end(process, END_SECONDS)
        else:
            time.sleep(LOOK_SECONDS)
    return process.returncode if process.returncode >= 0 else 128 - process.returncode


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), sys.argv[2:]))
