"""A pytest plugin, loaded before Django's settings are: starts the servers and names them in the environment.

Each process that runs tests has servers of its own, and runs as a process of us-east-1, on the local regions with their
databases. What the environment already names is used as it is: DATABASE_URL, REDIS_URL_US_EAST_1.
"""

import atexit
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from xyzsite.localregions.manager import LocalRegions
from xyzsite.localregions.plan import HOME, Options

# Seconds. A machine that runs the suite is busier than one that serves pages.
PATIENCE = dict.fromkeys(("REDIS_SOCKET_TIMEOUT", "REDIS_SOCKET_CONNECT_TIMEOUT", "REDIS_RETRY_BUDGET"), "1")

# Where the suite's regions are, for tests that break them; absent when the environment named its own.
DIRECTORY = "XYZ_TEST_REGIONS"


def start() -> None:
    """Start what the environment does not name; it ends with this process."""
    directory = Path(tempfile.mkdtemp(prefix="xyz-tests-"))
    directory.chmod(0o711)  # PostgreSQL's user enters it
    regions = LocalRegions(directory)
    atexit.register(stop, regions, os.getpid())
    # Streaming replicas would take a tenth of the processor's time; the one test that reads from one starts it.
    options = Options(postgres="DATABASE_URL" not in os.environ, replicas=False, volatile=True)
    regions.up(options, owner=os.getpid())
    named = "REDIS_URL_US_EAST_1" in os.environ
    for name, value in regions.environment(HOME).items():
        if not (named and name.startswith("REDIS_")):
            os.environ.setdefault(name, value)
    os.environ[DIRECTORY] = str(directory)


def stop(regions: LocalRegions, pid: int) -> None:
    """End the servers and remove what they wrote, in the process that started them (not in one that it forked)."""
    if os.getpid() == pid:
        regions.down()
        shutil.rmtree(regions.directory, ignore_errors=True)


@pytest.hookimpl(wrapper=True)
def pytest_load_initial_conftests(early_config: pytest.Config) -> Iterator[Any]:
    """Start them before pytest-django loads the settings: in each worker of pytest-xdist, not in what directs these."""
    named = {"DATABASE_URL", "REDIS_URL_US_EAST_1"} <= os.environ.keys()
    directs = getattr(early_config.known_args_namespace, "numprocesses", 0) and "PYTEST_XDIST_WORKER" not in os.environ
    for name, seconds in PATIENCE.items():
        os.environ.setdefault(name, seconds)
    if not named and not directs:
        start()
    return (yield)
