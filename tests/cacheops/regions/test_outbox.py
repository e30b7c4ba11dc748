"""The outbox: when it is asked, what of it is applied, and when its rows go."""

from collections.abc import Iterator

import pytest
from django.db.transaction import atomic, set_rollback

from cacheops.databases import table_keys
from cacheops.models import QueuedInvalidation
from cacheops.regions import Region, outbox
from cacheops.stores.memory import MemoryStore
from cacheops.testing.store_contract import Reader, query

pytestmark = pytest.mark.django_db(databases=["default", "other"])
DATABASE, TABLE = "other", "testapp_book"


class Shared(MemoryStore):
    """A store in memory that is connected to anew, and has replicas, when a test says so."""

    remote = True
    epoch = 1
    replicas_hold_all = True

    def replicated(self) -> bool:
        return self.replicas_hold_all


@pytest.fixture
def store() -> Shared:
    return Shared()


@pytest.fixture
def region(_django_db_helper: None, cache: str, store: Shared, monkeypatch: pytest.MonkeyPatch) -> Iterator[Region]:
    monkeypatch.setattr(outbox, "CHECK_SECONDS", 1e12)  # longer than any machine has run
    rows = QueuedInvalidation.objects.using(DATABASE)
    rows.all().delete()
    yield Region("us-east-1", store)
    rows.all().delete()


@pytest.fixture
def reader(region: Region, store: Shared) -> Reader:
    """Return a reader whose entry is there."""
    found = Reader(store, query(table_keys(DATABASE, TABLE), "id=1"))
    found.fill()
    return found


def test_it_is_due_until_it_is_drained_and_after_each_new_connection(region: Region, store: Shared) -> None:
    box = region.outbox
    assert box.due([DATABASE])
    assert box.drain([DATABASE])
    assert not box.due([DATABASE])
    store.epoch += 1
    assert (box.due([DATABASE]), box.is_reconnected()) == (True, True)
    assert box.drain([DATABASE])
    assert not box.due([DATABASE])
    box.recheck()
    assert (box.due([DATABASE]), box.is_reconnected()) == (True, False)


def test_a_transaction_that_has_failed_counts_as_not_asked(region: Region) -> None:
    with atomic(using=DATABASE):
        set_rollback(True, using=DATABASE)
        assert not region.outbox.drain([DATABASE])
    assert region.outbox.is_reconnected()
    assert region.outbox.due([DATABASE])


def test_rows_go_once_the_replicas_hold_what_was_applied(region: Region, store: Shared, reader: Reader) -> None:
    box = region.outbox
    assert box.add(DATABASE, [TABLE, "testapp_tag"])
    assert Region("us-west-2", store).outbox.waiting([DATABASE]) == []
    assert box.waiting([DATABASE]) == [DATABASE]
    with atomic(using=DATABASE):
        assert box.drain([DATABASE])
    assert not reader.hits()
    assert QueuedInvalidation.objects.using(DATABASE).count() == 2
    store.replicas_hold_all = False
    reader.fill()
    assert box.drain([DATABASE])
    assert reader.hits(), "what was applied is not applied again"
    store.epoch += 1  # to another server, which may lack it
    assert box.drain([DATABASE])
    assert not reader.hits()
    assert box.waiting([DATABASE]) == [DATABASE]
    store.replicas_hold_all = True
    assert box.drain([DATABASE])
    assert box.waiting([DATABASE]) == []


def test_of_what_a_replica_lacks_one_row_a_table_stays(region: Region, store: Shared, reader: Reader) -> None:
    """While replicas are away, every process reads all of it once a second."""
    store.replicas_hold_all = False
    rows = QueuedInvalidation.objects.using(DATABASE)
    for tables in ([TABLE, "testapp_tag"], [TABLE], ["testapp_tag"], [TABLE]):
        region.outbox.add(DATABASE, tables)
    *others, tag, book = rows.order_by("pk").values_list("pk", "table")
    assert len(others) == 3
    assert region.outbox.drain([DATABASE])
    assert list(rows.order_by("pk").values_list("pk", "table")) == [tag, book]
    reader.fill()
    store.epoch += 1  # to another server, which may lack it
    assert region.outbox.drain([DATABASE])
    assert not reader.hits()
    store.replicas_hold_all = True
    assert region.outbox.drain([DATABASE])
    assert not rows.exists()


def test_a_database_without_an_outbox_says_so(region: Region, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outbox, "TABLE", "no_such_table")
    assert not region.outbox.add(DATABASE, [TABLE])
    assert not QueuedInvalidation.objects.using(DATABASE).exists()
    assert region.outbox.waiting([DATABASE]) == []
    assert region.outbox.drain([DATABASE])
