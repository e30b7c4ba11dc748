"""A streaming replica of the suite's database, in another region, for the tests that read from one."""

import shutil
import signal
from collections.abc import Iterator
from typing import Any

import environ
import pytest
from django.db import connections

from cacheops.regions.lag import lag_meter
from tests.waiting import until
from xyzsite.localregions import ports, postgres, processes
from xyzsite.localregions.manager import LocalRegions
from xyzsite.localregions.programs import find_postgres
from xyzsite.router import REPLICA


@pytest.fixture(scope="module")
def replica_url(regions: LocalRegions) -> Iterator[str]:
    """Start a streaming replica of the suite's database; return its address."""
    plan = regions.plan
    root = plan.data_root or plan.directory
    program = postgres.runnable(find_postgres(), root)
    data, log, slot = root / "far-db", plan.directory / "far-db.log", "far"
    primary, port = plan.port("us-east-1-db"), ports.choose([slot], {})[slot]
    postgres.create_slots(primary, [slot])
    shutil.rmtree(data, ignore_errors=True)  # of a process that was killed before it could remove it
    postgres.clone(program, primary, data)
    command = postgres.command(program, data, port, volatile=True)
    process = processes.spawn(command + postgres.replica_options(primary, slot), log, user=program.user)
    postgres.wait_ready(process, data, log)
    yield postgres.url(port)
    process.send_signal(signal.SIGINT)  # fast shutdown
    process.wait(20)
    shutil.rmtree(data)  # another module's begins with a copy of its own


@pytest.fixture
def far(replica_url: str) -> Iterator[str]:
    """Let the process know the replica, as its routers would in that region."""
    own = connections["default"].settings_dict
    address = environ.Env.db_url_config(replica_url)
    options = {"target_session_attrs": "any"}
    config = {**own, **address, "ENGINE": "django.db.backends.postgresql", "NAME": own["NAME"], "OPTIONS": options}
    connections.settings[REPLICA] = config
    yield REPLICA
    resume(REPLICA)
    connections[REPLICA].close()
    del connections[REPLICA]
    del connections.settings[REPLICA]


@pytest.fixture
def lagging(far: str) -> str:
    """Let the replica stand still."""
    pause(far)
    return far


def run(alias: str, sql: str) -> Any:
    with connections[alias].cursor() as cursor:
        cursor.execute(sql)
        return cursor.fetchone()[0]


def execute(alias: str, sql: str) -> None:
    with connections[alias].cursor() as cursor:
        cursor.execute(sql)


def catch_up(alias: str) -> None:
    """Wait until a replica shows all that is committed now."""
    end = run("default", "SELECT pg_current_wal_insert_lsn()::text")
    until(lambda: run(alias, f"SELECT pg_last_wal_replay_lsn() >= '{end}'"), "the replica follows")


def follow(alias: str) -> None:
    """Wait until this process has seen a replica show all that is committed now."""
    catch_up(alias)
    until(lambda: lag_meter.measure(alias, "default").seconds == 0, "it is known to follow")


def pause(alias: str) -> None:
    """Let a replica stand still, once it shows all that is committed now."""
    follow(alias)
    run(alias, "SELECT pg_wal_replay_pause()")
    until(lambda: run(alias, "SELECT pg_get_wal_replay_pause_state()") == "paused", "it stands still")


def resume(alias: str) -> None:
    run(alias, "SELECT pg_wal_replay_resume()")
