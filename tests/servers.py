"""A pytest plugin, loaded before Django's settings are: starts the servers and names them in the environment.

Each process that runs tests has servers of its own, and runs as a process of us-east-1, on the local regions with their
databases. What the environment already names is used as it is: DATABASE_URL, REDIS_URL_US_EAST_1.

With --no-servers there are none: the regions are in memory, the database is SQLite's, and tests that need more are left
out: those of the folders and modules below, and those marked `servers`. So are tests that start other processes.
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
from xyzsite.settings.regions import REGIONS, variable

# Seconds. A machine that runs the suite is busier than one that serves pages.
PATIENCE = dict.fromkeys(("REDIS_SOCKET_TIMEOUT", "REDIS_SOCKET_CONNECT_TIMEOUT", "REDIS_RETRY_BUDGET"), "1")

# Where the suite's regions are, for tests that break them; absent when the environment named its own.
DIRECTORY = "XYZ_TEST_REGIONS"

TESTS = Path(__file__).parent
ON_SERVERS = {
    TESTS / name
    for name in (
        "browser",
        "cacheops/backends/test_django_users.py",
        "cacheops/monitoring/test_cloudwatch.py",
        "cacheops/monitoring/test_dashboards.py",
        "cacheops/monitoring/test_flush.py",
        "cacheops/monitoring/test_processes.py",
        "cacheops/orm/test_fields.py",
        "cacheops/orm/test_first_migrate.py",
        "cacheops/orm/test_lost_database.py",
        "cacheops/orm/test_machine.py",
        "cacheops/orm/test_parallel_tests.py",
        "cacheops/orm/test_raw_transactions.py",
        "cacheops/orm/test_fastpath.py",
        "cacheops/orm/test_writes.py",
        "cacheops/orm/test_writes_unseen.py",
        "cacheops/panel/test_actions.py",
        "cacheops/panel/test_figures.py",
        "cacheops/panel/test_other_processes.py",
        "cacheops/panel/test_plain.py",
        "cacheops/patterns/write_behind",
        "cacheops/redis/test_connections.py",
        "cacheops/redis/test_failover.py",
        "cacheops/redis/test_outage.py",
        "cacheops/redis/test_sentinel.py",
        "cacheops/redis/test_transport.py",
        "cacheops/relay",
        "cacheops/sessions",
        "cacheops/stores/test_redis.py",
        "cacheops/warming/test_command.py",
        "cacheops/warming/test_replica.py",
        "consistency",
        "deploy",
        "devices/test_import_readings_process.py",
        "faults",
        "outage",
        "races",
        "recovery",
        "traps",
        "xyzsite/demo/test_seed_demo.py",
        "xyzsite/localregions/test_command.py",
        "xyzsite/localregions/test_lifeline.py",
        "xyzsite/localregions/test_serve.py",
        "xyzsite/localregions/test_up_and_down.py",
        "xyzsite/settings/test_production.py",
        "xyzsite/test_front.py",
        "xyzsite/warming",
    )
}


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--no-servers", action="store_true", help="start none, and leave out the tests that need them")


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    return True if config.option.no_servers and collection_path in ON_SERVERS else None


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.option.no_servers:
        left_out = [item for item in items if item.get_closest_marker("servers")]
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if not item.get_closest_marker("servers")]


def on_servers(*names: str) -> list[Any]:
    """Return parameters that are left out where there are no servers."""
    return [pytest.param(name, marks=pytest.mark.servers) for name in names]


def start_none() -> None:
    """Have all data in this process's memory, whatever a .env file names."""
    os.environ["DATABASE_URL"] = "sqlite:///unused.sqlite3"  # Django's test database of it is in memory
    os.environ.update(dict.fromkeys((variable("REDIS_URL", region) for region in REGIONS), ""))


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
    if early_config.known_args_namespace.no_servers:
        start_none()
    elif not named and not directs:
        start()
    return (yield)
