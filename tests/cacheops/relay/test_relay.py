"""Writers that mark nothing: what they commit is no hit once the relay has told the region of it."""

from collections.abc import Callable
from typing import Any

import pytest
from django.db.transaction import atomic

from cacheops.relay.values import full_xids
from devices.models import Reading
from tests.cacheops.relay.conftest import Run, relay
from tests.testapp.cached import from_database, is_hit
from tests.testapp.compare import plain
from tests.testapp.models import Book, EveryField, Tag

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("installed")]

Read = Callable[[], Any]


def title(key: int) -> Read:
    return lambda: Book.objects.filter(pk=key).values_list("title", flat=True).first()


def on_shelf(key: int | None) -> Read:
    return lambda: Book.objects.filter(shelf=key).count()


def assert_fresh(*reads: Read) -> None:
    assert [plain(read()) for read in reads] == [from_database(read) for read in reads]


def assert_told(write: Callable[[], Any], *changed: Read, untouched: Read | None = None) -> None:
    """Have entries be hits until the relay tells the region of a write, which spares the untouched one."""
    reads = [*changed, *([untouched] if untouched else [])]
    for read in reads:
        read()
    write()
    assert [is_hit("default", read) for read in reads] == [True] * len(reads)
    relay("--once")
    if untouched:
        assert is_hit("default", untouched)
    assert [from_database(read) for read in changed] == [plain(read()) for read in changed]


def test_a_row_that_was_written_outside(outside: Run) -> None:
    assert_told(lambda: outside("UPDATE testapp_book SET title = 'O' WHERE id = 1"), title(1), untouched=title(2))
    assert title(1)() == "O"


def test_a_row_is_told_as_it_was_and_as_it_is(outside: Run) -> None:
    assert Book.objects.get(pk=1).shelf_id == 1
    move = lambda: outside("UPDATE testapp_book SET shelf_id = 2 WHERE id = 1")  # noqa: E731
    assert_told(move, on_shelf(1), on_shelf(2), untouched=on_shelf(3))
    assert_told(lambda: outside("DELETE FROM testapp_note"), lambda: Book.objects.get(pk=1).notes.count())


def test_values_of_every_exact_type(outside: Run) -> None:
    values = {
        "status": "gone",
        "pages": 7,
        "isbn": "0b6ee2a4-30d6-4b0f-9a6c-2b0f3e5a8a11",
        "published": "2001-02-03T23:59:59.9Z",
        "shelf_id": None,
        "title": "é, a 'title' & more",
    }
    none = Book.objects.filter(shelf=None, pk=1).count
    found = [Book.objects.filter(**{name: value}).count for name, value in values.items() if value is not None]
    day = Book.objects.filter(published__gte="2001-02-03T00:00Z", published__lt="2001-02-04T00:00Z").count
    sets = ", ".join(f"{name} = %s" for name in values)
    write = lambda: outside(f"UPDATE testapp_book SET {sets} WHERE id = 1", [*values.values()])  # noqa: E731
    assert_told(write, none, *found, day, untouched=title(2))
    assert [none(), *[read() for read in found], day()] == [1] * 7


def test_a_value_stored_outside_of_its_row_counts_although_it_did_not_change(outside: Run) -> None:
    outside("""
        INSERT INTO testapp_everyfield (id, email, url, slug, made, changed, char, text)
        SELECT 9, '', '', '', now(), now(), 'a', string_agg(md5(i::text), '') FROM generate_series(1, 400) i
    """)
    big = from_database(lambda: EveryField.objects.get(pk=9).text)
    found = EveryField.objects.filter(text=big).values_list("char")
    other = EveryField.objects.filter(text="other").values_list("char")
    assert_told(
        lambda: outside("UPDATE testapp_everyfield SET char = 'b' WHERE id = 9"),
        lambda: list(found.all()),
        untouched=lambda: list(other.all()),
    )


def test_whole_tables(outside: Run) -> None:
    def notes() -> int:
        return sum(book.notes.count() for book in Book.objects.order_by("pk")[:2])

    for write in (
        "TRUNCATE testapp_note",
        "INSERT INTO testapp_tag (name) SELECT 'bulk-' || i FROM generate_series(1, 3000) i",
        "BEGIN; INSERT INTO testapp_tag (name) VALUES ('a1'); SAVEPOINT s; DELETE FROM testapp_book_tags; COMMIT",
    ):
        notes()
        outside(write)
        relay("--once")
        assert_fresh(
            notes, Tag.objects.count, Tag.objects.filter(name="bulk-3000").count, Book.tags.through.objects.count
        )


def test_a_partition_stands_for_its_table(outside: Run) -> None:
    outside("SET session_replication_role = replica")  # rows that refer to none
    row = "INSERT INTO devices_reading (device_id, metric, value, unit, taken_at) VALUES (7, 'm', 1, 'u', '2026-05-05')"
    for write in (row, "UPDATE devices_reading SET device_id = 8", "TRUNCATE devices_reading_default"):
        reads = [Reading.objects.filter(device=device).count for device in (7, 8)]
        for read in reads:
            read()
        title(1)()
        outside(write)
        relay("--once")
        assert_fresh(*reads)
        assert is_hit("default", title(1))  # it is known which table was changed


def test_a_table_without_full_identity_is_told_as_a_whole(outside: Run) -> None:
    outside("ALTER TABLE testapp_book REPLICA IDENTITY DEFAULT")
    assert_told(lambda: outside("UPDATE testapp_book SET shelf_id = 2 WHERE id = 1"), on_shelf(1), on_shelf(2))
    outside("ALTER TABLE testapp_book REPLICA IDENTITY FULL")


def test_a_type_that_the_log_does_not_tell_is_told_as_a_whole(outside: Run) -> None:
    outside("CREATE DOMAIN sheets AS integer; ALTER TABLE testapp_book ALTER pages TYPE sheets")
    try:
        assert_told(
            lambda: outside("UPDATE testapp_book SET pages = 7 WHERE id = 1"), Book.objects.filter(pages=7).count
        )
    finally:
        outside("ALTER TABLE testapp_book ALTER pages TYPE integer; DROP DOMAIN sheets")


def test_what_its_writer_has_marked_is_not_told_again(outside: Run) -> None:
    book = Book.objects.get(pk=1)
    book.title = "Optimistic"
    book.save()
    title(1)()
    relay("--once")
    assert is_hit("default", title(1))
    with atomic():
        Book.objects.filter(pk=1).update(title="In a transaction")
        Tag.objects.create(name="of-ours")
    title(1)()
    relay("--once")
    assert is_hit("default", title(1))
    assert title(1)() == "In a transaction"


def test_what_a_trigger_changes_beside_what_its_writer_has_marked(outside: Run) -> None:
    outside("""
        CREATE FUNCTION also() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN UPDATE testapp_book SET title = 'Also' WHERE id = 2; RETURN NULL; END $$;
        CREATE TRIGGER also AFTER UPDATE ON testapp_book FOR EACH ROW WHEN (new.id = 1) EXECUTE FUNCTION also()
    """)
    try:
        book = Book.objects.get(pk=1)
        book.title = "Ours"
        assert_told(book.save, title(2), untouched=title(3))
    finally:
        outside("DROP FUNCTION also CASCADE")


def test_a_note_of_another_prefix_excuses_nothing(outside: Run, settings: Any) -> None:
    settings.CACHEOPS_PREFIX, ours = "another", settings.CACHEOPS_PREFIX
    book = Book.objects.get(pk=1)
    settings.CACHEOPS_PREFIX = ours
    title(1)()
    settings.CACHEOPS_PREFIX = "another"
    book.title = "By another project"
    book.save()
    settings.CACHEOPS_PREFIX = ours
    relay("--once")
    assert title(1)() == "By another project"


@pytest.mark.parametrize(
    ("newest", "lower", "full"),
    [(10, 9, 9), (10, 11, 11), (2**32 + 1, 2**32 - 1, 2**32 - 1), (2**33 - 1, 1, 2**33 + 1), (2**32, 0, 2**32)],
)
def test_transactions_by_their_lower_bits(newest: int, lower: int, full: int) -> None:
    assert full_xids([lower % 2**32], newest) == [full]
