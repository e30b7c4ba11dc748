"""Keep the processors from sleeping while something is timed.

A processor that waits for an answer goes to sleep, and on a virtual machine its waking takes longer than the answer:
a GET of 45 microseconds becomes one of 180, and all that is measured is how often each peer waits. Busy servers do not
sleep. So one process a processor counts, under Linux' SCHED_IDLE: it runs only where nothing else wants to.
"""

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator

SPIN = "import os\nos.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))\nwhile True: pass"


@contextlib.contextmanager
def kept_awake() -> Iterator[str]:
    """Keep them awake within the block; yield what was done, for the report."""
    if not hasattr(os, "SCHED_IDLE"):
        yield "may sleep"
        return
    spinning = [subprocess.Popen([sys.executable, "-c", SPIN]) for _ in range(os.cpu_count() or 1)]
    try:
        yield "kept awake"
    finally:
        for process in spinning:
            process.kill()
            process.wait()
