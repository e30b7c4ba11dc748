"""A replica is loaded from where it is proved to hold what was cleared before the leases, and nowhere else."""

from contextlib import closing

import pytest

from cacheops import bypassed
from cacheops.warming import Reads, Rows, replica
from cacheops.warming.fanout import RegionFanout
from cacheops.warming.replica import Source
from tests.testapp.cached import statements
from tests.testapp.models import Book
from tests.waiting import until

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("books")]

TASKS = {"rows": lambda: Rows(Book, [1], "default"), "reads": lambda: Reads([title])}


def title() -> str:
    return Book.objects.get(pk=1).title


def on(alias: str) -> str:
    with bypassed():
        return Book.objects.using(alias).get(pk=1).title


def caught_up(alias: str) -> Source:
    """Return a source whose replica holds all; each look is a new one's, since one gives up after some failures."""
    found: Source = until(lambda: next(filter(Source.sources, [Source("default", alias)]), None), "it has caught up")
    return found


def test_a_replica_that_follows_holds_what_was_committed_before(far):
    for number in range(20):
        Book.objects.filter(pk=1).update(title=f"title {number}")
        source = caught_up(far)
        assert source.sources() == {"default": far}
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
    source = caught_up(far)
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
