"""Which of two databases a request or a task reads: the rules of a position, on a real primary and its replica."""

from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from contextvars import copy_context
from itertools import pairwise

import pytest
from asgiref.sync import async_to_sync
from django.db import connections, transaction

import cacheops
from cacheops.regions.position import Position, shown_positions
from cacheops.regions.read_scope import ReadScope, alias_for_read, in_scope
from tests.replica import catch_up, execute, follow, resume, run
from tests.testapp import world
from tests.testapp.models import Book

pytestmark = [pytest.mark.servers, pytest.mark.django_db]


@pytest.fixture
def books(_django_db_helper, cache, far, settings):
    settings.CACHEOPS_MAX_LAG = 3600  # however long a test takes
    world.empty("default")
    world.fill("default")
    follow(far)
    yield
    world.empty("default")


def read() -> str:
    """Return the alias of the next read."""
    return alias_for_read("default", "replica")


def rename(title: str) -> None:
    Book.objects.filter(pk=1).update(title=title)


def test_the_order_of_positions_is_that_of_the_log():
    texts = ["0/FF", "0/100", "1/0", "A/FFFFFFFF", "10/0"]
    positions = [Position.of("7", 1, text) for text in texts]
    assert sorted(positions, key=str) == positions
    assert [Position.parse(str(each)) for each in positions] == positions
    assert all(one.is_reached(two) for one, two in pairwise(positions))
    assert not positions[1].is_reached(positions[0])
    for other in (Position.of("8", 1, "10/0"), Position.of("7", 2, "10/0")):
        assert not positions[0].is_reached(other)
    for text in ("", "7-1-2", f"{positions[0]} ", f"7-{1:08x}-{10:016x}", f"{2**70}-{1:08X}-{1:016X}"):
        with pytest.raises(ValueError, match="is no position"):
            Position.parse(text)


def test_tasks_read_the_primary_unless_they_ask_for_the_replica(books, far):
    assert read() == "default"
    with cacheops.after():
        assert read() == "replica"
    with cacheops.after(None):  # nobody knows how far it must be
        assert read() == "default"
    assert read() == "default"


def test_after_a_position_the_replica_is_read_once_it_is_there(books, lagging):
    rename("New")
    text = str(cacheops.position())
    with cacheops.after(text):
        assert read() == "default"
        resume(lagging)
        catch_up(lagging)
        assert read() == "default"  # never back
    with cacheops.after(text):
        assert read() == "replica"
        assert Position.parse(text) <= shown_positions.last("replica")


WRITES = {
    "the ORM": lambda: rename("New"),
    "save()": lambda: Book.objects.using("default").get(pk=1).save(update_fields=["title"]),
    "raw SQL": lambda: execute("default", "UPDATE testapp_book SET title = 'New' WHERE id = 1"),
    "a table that is not cached": lambda: execute("default", "CREATE TABLE IF NOT EXISTS plain (id int)"),
    "COPY": lambda: copy("COPY django_session (session_key, session_data, expire_date) FROM STDIN"),
}


def copy(sql: str) -> None:
    with connections["default"].cursor() as cursor, cursor.copy(sql):
        pass


@pytest.mark.parametrize("write", WRITES.values(), ids=WRITES)
def test_who_has_written_reads_the_primary_to_the_end(write, books, far):
    with in_scope(ReadScope()) as scope:
        assert read() == "replica"
        write()
        assert read() == "default"
        found = cacheops.position()
        assert scope.written == set()
        assert read() == "default"
    execute("default", "DROP TABLE IF EXISTS plain")
    assert found <= cacheops.position()


def test_a_transaction_reads_the_primary_and_has_no_position_yet(books, far):
    with in_scope(ReadScope()) as scope:
        with transaction.atomic():
            rename("New")
            assert scope.ask("default") is None
        assert scope.written == {"default"}
        assert scope.ask("default") is not None
    with in_scope(ReadScope()):
        assert read() == "replica"
        with transaction.atomic():
            assert read() == "default"
        assert read() == "default"


def test_what_is_rolled_back_nobody_has_written(books, far):
    with in_scope(ReadScope()) as scope:
        with suppress(RuntimeError), transaction.atomic():
            rename("New")
            raise RuntimeError
        with transaction.atomic():
            read()
        assert scope.written == set()


def test_a_thread_of_a_request_writes_for_it(books, far):
    with in_scope(ReadScope()) as scope, ThreadPoolExecutor(1) as threads:
        threads.submit(copy_context().run, lambda: (rename("New"), connections.close_all())).result()
        assert scope.written == {"default"}


def test_a_commit_that_is_not_flushed_has_its_position_too(books, far):
    with transaction.atomic():
        execute("default", "SET LOCAL synchronous_commit = off")
        rename("New")
    end = run("default", "SELECT pg_current_wal_insert_lsn()::text")
    found = cacheops.position()
    assert found >= Position.of(found.system, found.timeline, end)


def test_a_replica_that_can_not_tell_is_not_read(books, far):
    found = cacheops.position()
    catch_up(far)
    execute(far, "SET default_transaction_isolation = 'serializable'")  # which a standby refuses
    try:
        with cacheops.after(found):
            assert read() == "default"
    finally:
        connections[far].close()
    with cacheops.after(found):
        assert read() == "replica"


def test_behind_a_pooler_each_read_asks(books, far):
    found = cacheops.position()
    catch_up(far)
    connections[far].settings_dict["DISABLE_SERVER_SIDE_CURSORS"] = True
    with cacheops.after(found):
        assert read() == "replica"
        assert shown_positions.last(far) is None


def test_a_coroutine_which_can_ask_nothing_reads_the_primary(books, far):
    found = cacheops.position()
    catch_up(far)

    async def ask():
        with cacheops.after(found):
            return read()

    assert async_to_sync(ask)() == "default"


@pytest.mark.usefixtures("_django_db_helper")
def test_a_database_that_is_no_postgresql_has_no_position():
    assert cacheops.position("other") is None
