"""The platform's pages, asked for by Zipf's law: with our cache, with django-cachalot, and with none."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from benchmarks.environments import FOLDER, ROOT
from benchmarks.pages import site_of_its_own
from benchmarks.processes import PipedProcess
from benchmarks.scale.axes import Bench, Point, together

CACHALOT = "django-cachalot==2.9.1"
PAGES_WRITES = (0.0, 0.01, 0.1, 0.3)  # of the requests, that a device posts a reading
PROCESSES = 2
DAYS = 7  # of readings
DATABASES = {"plain": 9, "cachalot": 10, "cached": 11}


def cachalot_folder() -> Path:
    """Return a folder with django-cachalot alone: the rest is in our own environment. It is made on the first use."""
    folder = FOLDER / "only-cachalot"
    if not (folder / "cachalot").exists():
        print("Fetching django-cachalot ...", flush=True)
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"]
        subprocess.run([*command, "--target", str(folder), CACHALOT], check=True)
    return folder


def pages(bench: Bench, sizes: tuple[float, ...] = PAGES_WRITES) -> Iterator[Point]:
    """Ask for pages, and post readings, in a database of the platform's own."""
    shared = site_of_its_own(bench.servers, DAYS) | {"PYTHONPATH": str(cachalot_folder())}
    for name, database in DATABASES.items():
        bench.servers.empty(database)
        own = shared | {"REDIS_URL_US_EAST_1": f"redis://127.0.0.1:{bench.servers.redis_port}/{database}"}
        command = [sys.executable, "-m", "benchmarks.pages_worker", name]
        workers = [PipedProcess(name, command, ROOT, own) for _ in range(PROCESSES)]
        for worker in workers:
            worker.ask("visit")
        for size in sizes:
            together(workers, bench.seconds / 3, size)
            found = together(workers, bench.seconds, size)
            yield {"axis": "pages", "peer": name, "x": size * 100, **found}
        for worker in workers:
            worker.end()
