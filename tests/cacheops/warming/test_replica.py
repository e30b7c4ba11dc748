"""A replica is loaded from where it is proved to hold what was cleared before the leases, and nowhere else."""

import signal
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import environ
import pytest
from django.db import connections

from cacheops import bypassed
from cacheops.warming import Reads, Rows, replica
from cacheops.warming.fanout import RegionFanout
from cacheops.warming.replica import Source
from tests.testapp.cached import statements
from tests.testapp.models import Book
from tests.waiting import until
from xyzsite.localregions import ports, postgres, processes
from xyzsite.localregions.manager import LocalRegions
from xyzsite.localregions.programs import find_postgres

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("books")]

FAR = "far"  # an alias of the streaming replica in another region
TASKS = {"rows": lambda: Rows(Book, [1], "default"), "reads": lambda: Reads([title])}


@pytest.fixture(scope="module")
def replica_url(regions: LocalRegions) -> Iterator[str]:
    """Start a streaming replica of the suite's database; return its address."""
    plan = regions.plan
    root = plan.data_root or plan.directory
    program = postgres.runnable(find_postgres(), root)
    data, log, slot = root / "far-db", plan.directory / "far-db.log", "far"
    primary, port = plan.port("us-east-1-db"), ports.choose([slot], {})[slot]
    postgres.create_slots(primary, [slot])
    postgres.clone(program, primary, data)
    command = postgres.command(program, data, port, volatile=True)
    process = processes.spawn(command + postgres.replica_options(primary, slot), log, user=program.user)
    postgres.wait_ready(process, data, log)
    yield postgres.url(port)
    process.send_signal(signal.SIGINT)  # fast shutdown
    process.wait(20)


@pytest.fixture
def far(replica_url: str) -> Iterator[str]:
    """Let the process know the replica, as its routers would in that region."""
    own = connections["default"].settings_dict
    address = environ.Env.db_url_config(replica_url)
    config = {**own, **address, "ENGINE": "django.db.backends.postgresql", "NAME": own["NAME"]}
    connections.settings[FAR] = config
    yield FAR
    connections[FAR].close()
    del connections[FAR]
    del connections.settings[FAR]


@pytest.fixture
def lagging(far: str) -> Iterator[str]:
    """Let the replica stand still."""
    until(lambda: Source("default", far).sources(), "the replica follows")
    run(far, "SELECT pg_wal_replay_pause()")
    until(lambda: run(far, "SELECT pg_get_wal_replay_pause_state()") == "paused", "it stands still")
    yield far
    run(far, "SELECT pg_wal_replay_resume()")


def run(alias: str, sql: str) -> Any:
    with connections[alias].cursor() as cursor:
        cursor.execute(sql)
        return cursor.fetchone()[0]


def title() -> str:
    return Book.objects.get(pk=1).title


def on(alias: str) -> str:
    with bypassed():
        return Book.objects.using(alias).get(pk=1).title


def test_a_replica_that_follows_holds_what_was_committed_before(far):
    for number in range(20):
        Book.objects.filter(pk=1).update(title=f"title {number}")
        source = Source("default", far)
        assert until(source.sources, "it has caught up") == {"default": far}
        assert on(far) == f"title {number}"
        assert source.used == far


def test_one_that_lags_is_not_read(lagging, monkeypatch):
    monkeypatch.setattr(replica, "CATCH_UP_SECONDS", 0.0)
    source = Source("default", lagging)
    Book.objects.filter(pk=1).update(title="new")
    assert source.sources() == {}
    assert source.used == "default"
    assert on(lagging) == "Title 0"


@pytest.mark.parametrize("kind", TASKS)
def test_a_lagging_replica_fills_nothing_old(kind, lagging, monkeypatch):
    monkeypatch.setattr(replica, "CATCH_UP_SECONDS", 0.0)
    Book.objects.filter(pk=1).update(title="new")
    with closing(RegionFanout(("us-east-1",), Source("default", lagging))) as fanout:
        TASKS[kind]().warm(fanout)
    assert fanout.outcomes["us-east-1"].warmed == 1
    assert title() == "new"


@pytest.mark.parametrize("kind", TASKS)
def test_what_is_loaded_from_a_replica_is_what_the_primary_holds(kind, far):
    source = Source("default", far)
    until(source.sources, "it has caught up")
    with closing(RegionFanout(("us-east-1",), source)) as fanout, statements("default") as primary:
        TASKS[kind]().warm(fanout)
    assert source.used == far
    assert not [sql for sql in primary if 'FROM "testapp_book"' in sql]
    found = Book.objects.get(pk=1)
    with bypassed():
        assert vars(found) | {"_state": 0} == vars(Book.objects.get(pk=1)) | {"_state": 0}
    assert found._state.db == "default"


def test_a_server_that_is_no_replica_proves_nothing():
    assert Source("default", "default").sources() == {}
    assert Source("default", "other").sources() == {}


def test_after_some_failures_the_primary_is_read_to_the_end(monkeypatch):
    monkeypatch.setattr(replica, "CATCH_UP_SECONDS", 0.0)
    asked: list[str] = []
    monkeypatch.setattr(Source, "_has_replayed", lambda self, alias: bool(asked.append(alias)))
    source = Source("default", "default")
    for _ in range(10):
        assert source.sources() == {}
    assert len(asked) == replica.MOST_FAILURES
