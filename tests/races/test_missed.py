"""What a region has missed reaches it before its entries are used again: queued invalidations, marks that ran out."""

from typing import Any

import pytest
from django.db import connection
from django.db.transaction import atomic

from cacheops.conf import conf
from cacheops.exceptions import CommandRefused, StoreError, StoreUnavailable
from cacheops.instrumentation.counters import counters
from cacheops.models import QueuedInvalidation
from cacheops.patterns.aside import AsideEntry, CacheAsideManager
from cacheops.regions import outbox, regions
from cacheops.stores.circuit_breaker import CacheCircuitBreaker, CircuitState
from cacheops.writing.changes import Changes
from cacheops.writing.intent import WriteIntent
from tests.races.actors import Actor, Gate, at_commit, write_unseen
from tests.testapp.cached import is_hit
from tests.testapp.models import Book
from tests.waiting import until

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("books")]


def title() -> str:
    return Book.objects.get(pk=1).title


class Failed:
    """A reply that fails where it is waited for, and reports nothing."""

    def __init__(self, error: StoreError) -> None:
        self.error = error

    def result(self) -> Any:
        raise self.error

    def on_result(self, callback: Any) -> None:
        """It is never called."""


def fail_over(store: Any, kept: dict[str, bytes]) -> None:
    """Have a region's keys be as they were, as on a primary that took over and had not heard of the latest."""
    for key, value in kept.items():
        store.servers.client.restore(key, 60_000, value, replace=True)
    store.close()  # the connections to the old primary are gone


@pytest.fixture
def _queue(books: None) -> Any:
    yield
    QueuedInvalidation.objects.all().delete()


@pytest.mark.usefixtures("_queue")
class TestQueue:
    @pytest.fixture
    def one_region(self, settings: Any) -> str:
        """Only servers that others share can miss something."""
        settings.CACHEOPS_REGIONS = ("us-east-1",)
        settings.CACHEOPS_LOCAL_REGION = "us-east-1"
        return "redis"

    def test_a_long_queue_is_replayed_to_its_end(self, monkeypatch):
        monkeypatch.setattr(outbox, "BATCH", 2)
        assert title() == "Title 0"
        write_unseen("new", *["testapp_tag"] * 4, "testapp_book")
        regions.local.outbox.recheck()
        assert title() == "new"

    def test_a_long_queue_is_replayed_to_its_end_within_a_transaction(self, monkeypatch):
        monkeypatch.setattr(outbox, "BATCH", 2)
        assert title() == "Title 0"
        write_unseen("new", *["testapp_tag"] * 4, "testapp_book")
        regions.local.outbox.recheck()
        with atomic():
            assert title() == "new"

    def test_a_writer_sees_its_own_queued_write(self, monkeypatch):
        """Others looked at the queue after the mark and before the commit, when nothing was there to be seen."""
        assert title() == "Title 0"
        gate, store = Gate(), regions.local.store
        monkeypatch.setattr(store, "mark", lambda *args: Failed(StoreUnavailable("no answer")))
        monkeypatch.setattr(store, "clear", lambda *args: Failed(StoreUnavailable("no answer")))

        def write() -> str:
            at_commit(before=gate)
            Book.objects.filter(pk=1).update(title="new")
            return title()

        writer = Actor(write)
        gate.wait()
        assert title() == "Title 0"
        gate.open()
        assert writer.result() == "new"

    def test_a_write_in_a_transaction_of_raw_sql_is_queued_with_it(self, monkeypatch):
        assert title() == "Title 0"
        monkeypatch.setattr(regions.local.store, "mark", lambda *args: Failed(StoreUnavailable("no answer")))
        with connection.cursor() as cursor:
            cursor.execute("BEGIN")
            Book.objects.filter(pk=1).update(title="new")
            assert QueuedInvalidation.objects.filter(table="testapp_book").exists()
            cursor.execute("COMMIT")
        assert Actor(title).result() == "new"

    def test_what_a_failover_has_undone_is_replayed_again(self):
        """The invalidation was applied to a primary that is lost, and the one that took over has not heard of it."""
        assert title() == "Title 0"
        assert is_hit("default", title)
        store = regions.local.store
        kept = {key: store.servers.client.dump(key) for keys in store.scan(conf.prefix) for key in keys}
        write_unseen("new", "testapp_book")
        regions.local.outbox.recheck()
        with atomic():  # the queue's rows stay: they are deleted only outside of transactions
            assert title() == "new"
        fail_over(store, kept)
        assert title() == "new"

    def test_a_failover_between_the_look_up_and_the_lease_of_many(self, monkeypatch):
        """The lease brings what is stored: it may come from a primary that has not heard of an invalidation."""

        def titles() -> list[str]:
            found = manager.get_or_set_many([AsideEntry("titles:1", [Book.objects.filter(pk=1)])], load)
            return list(found.values())

        def load(keys: list[str]) -> dict[str, str]:
            return {key: Book.objects.get(pk=1).title for key in keys}

        def lock(*args: Any) -> list[bool]:
            monkeypatch.undo()
            free = take_locks(*args)
            fail_over(store, kept)
            return free

        manager = CacheAsideManager()
        assert titles() == ["Title 0"]
        store = regions.local.store
        take_locks = store.lock
        kept = {key: store.servers.client.dump(key) for keys in store.scan(conf.prefix) for key in keys}
        write_unseen("new", "testapp_book")
        regions.local.outbox.recheck()
        with atomic():  # the queue's rows stay: they are deleted only outside of transactions
            assert title() == "new"
            monkeypatch.setattr(store, "lock", lock)
            assert titles() == ["new"]

    def test_marks_that_the_region_lost_are_not_late(self, caplog):
        assert title() == "Title 0"
        gate, store = Gate(), regions.local.store

        def write():
            at_commit(before=gate)
            Book.objects.filter(pk=1).update(title="new")
            return title()  # hears how the marks were cleared

        writer = Actor(write)
        gate.wait()
        for keys in store.scan(conf.prefix):
            store.delete(keys)
        gate.open()
        assert writer.result() == "new"
        assert (counters.late_marks, counters.lost_marks > 0) == (0, True)
        assert "lost marks" in caplog.text
        assert "raise" not in caplog.text

    def test_a_connection_that_is_lost_with_each_read_is_of_no_use(self, monkeypatch):
        assert title() == "Title 0"
        store = regions.local.store
        read = store.read

        def read_once(keys: Any) -> Any:
            store.close()
            return read(keys)

        monkeypatch.setattr(store, "read", read_once)
        assert title() == "Title 0"
        assert regions.local.breaker.failures == 1


def test_a_condition_first_used_after_a_mark_ran_out(settings):
    """The writer took longer than its mark may stand, and does not know of the entry: it gives up the whole table."""
    settings.CACHEOPS_MARK_SECONDS = 0.05
    gate = Gate()

    def found() -> int:
        return Book.objects.filter(pages=777).count()

    def write():
        at_commit(before=gate)
        Book.objects.filter(pk=1).update(pages=777)
        title()  # hears how the marks were cleared

    assert title()
    writer = Actor(write)
    gate.wait()
    until(lambda: found() == 0 and is_hit("default", found), "the mark has run out")
    gate.open()
    writer.result()
    assert found() == 1
    assert (counters.late_marks > 0, counters.lost_marks) == (True, 0)


def test_marks_that_were_refused_are_neither_late_nor_lost(monkeypatch):
    """Part of them may have come all the same, so they are cleared."""
    assert title() == "Title 0"
    monkeypatch.setattr(regions.local.store, "mark", lambda *args: Failed(CommandRefused("out of memory")))
    Book.objects.filter(pk=1).update(title="new")
    assert title() == "new"
    assert (counters.late_marks, counters.lost_marks, counters.total("errors")) == (0, 0, 1)
    QueuedInvalidation.objects.all().delete()


def test_a_probe_that_never_tells_is_followed_by_another():
    """Its caller failed by something else, such as an error of the database."""
    now = [0.0]
    breaker = CacheCircuitBreaker(failure_threshold=1, recovery_timeout=10.0, clock=lambda: now[0])
    breaker.failed()
    now[0] = 10.0
    assert [breaker.allows(), breaker.allows(), breaker.state] == [True, False, CircuitState.HALF_OPEN]
    now[0] = 20.0
    assert [breaker.allows(), breaker.allows()] == [True, False]


def test_a_refusal_is_an_answer(settings, monkeypatch):
    """A region that refuses a mark when it is tried again has answered: it is asked again the next time."""
    settings.CACHEOPS_BREAKER_THRESHOLD = 1
    settings.CACHEOPS_BREAKER_RECOVERY = 0.0
    region = regions.local
    with pytest.raises(StoreUnavailable), region.guard():
        raise StoreUnavailable
    assert region.breaker.state is not CircuitState.CLOSED
    changes = Changes()
    changes.add("testapp_book", None, "test")

    with monkeypatch.context() as full, atomic():
        full.setattr(region.store, "mark", lambda *args: Failed(CommandRefused("out of memory")))
        WriteIntent("default", changes).mark()
    assert region.breaker.state is CircuitState.CLOSED
    QueuedInvalidation.objects.all().delete()
