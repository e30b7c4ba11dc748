"""A pytest plugin, loaded before Django's settings are: starts the servers and names them in the environment.

What the environment already names is used as it is.
"""

import atexit
import os
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path

from xyzsite.localregions import ports, postgres, processes, programs


def start_postgres() -> None:
    """Start a PostgreSQL for this run and put its address into DATABASE_URL."""
    folder = Path(tempfile.mkdtemp(prefix="xyz-tests-"))
    folder.chmod(0o711)
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    program = postgres.runnable(programs.find_postgres(), folder)
    port = ports.choose(["postgres"], {})["postgres"]
    postgres.initialise(program, folder / "data")
    log = folder / "postgres.log"
    command = postgres.command(program, folder / "data", port, volatile=True)
    process = processes.spawn(command, log, user=program.user)
    atexit.register(stop, process)
    postgres.wait_ready(process, folder / "data", log)
    postgres.create_database(port)
    os.environ["DATABASE_URL"] = postgres.url(port)


def stop(process: subprocess.Popen[bytes]) -> None:
    process.send_signal(signal.SIGQUIT)
    process.wait(timeout=10)


if "DATABASE_URL" not in os.environ:
    start_postgres()
