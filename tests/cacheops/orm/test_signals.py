"""Signals: rows_changed drives the invalidation, the others tell of it. The how-to's examples are run as they stand."""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from django.db import connections, transaction
from django.db.models import Max
from django.dispatch import Signal

from cacheops import cache_invalidated, cache_read, invalidate_obj, no_invalidation, rows_changed
from cacheops.exceptions import StoreUnavailable
from cacheops.regions import regions
from cacheops.signals import region_state_changed
from tests.testapp.models import Author, Biography, Book, Tag

pytestmark = pytest.mark.django_db(databases="__all__")
GUIDE = Path(__file__).parents[3] / "docs/how-to/signals.md"
Heard = list[dict[str, Any]]


@contextmanager
def heard_of(signal: Signal) -> Iterator[Heard]:
    found: Heard = []

    def hear(sender: Any, **kwargs: Any) -> None:
        found.append({"sender": sender, **kwargs})

    signal.connect(hear)
    try:
        yield found
    finally:
        signal.disconnect(hear)


def examples(**names: Any) -> dict[str, Any]:
    """Return the names that the guide's blocks of Python define."""
    found: dict[str, Any] = names
    for block in re.findall(r"```python\n(.*?)```", GUIDE.read_text(), re.DOTALL):
        exec(block, found)
    return found


def written_unseen(database: str, sql: str) -> None:
    """Write as another program would."""
    with no_invalidation(), connections[database].cursor() as cursor:
        cursor.execute(sql)


WRITES: dict[str, tuple[Callable[[str], Any], set[Any]]] = {
    "save": (lambda db: Book.objects.using(db).get(pk=1).save(), {Book}),
    "update": (lambda db: Book.objects.using(db).filter(pk=1).update(pages=3), {Book}),
    "bulk_create": (lambda db: Tag.objects.using(db).bulk_create([Tag(name="a"), Tag(name="b")]), {Tag}),
    "m2m": (lambda db: Book.objects.using(db).get(pk=1).tags.create(name="unheard-of"), {Tag, Book.tags.through}),
    "raw": (lambda db: written(db, "UPDATE testapp_tag SET name = name"), {Tag}),
    "cascade": (lambda db: Author.objects.using(db).get(pk=1).delete(), {Author, Book, Biography}),
}


def written(database: str, sql: str) -> None:
    with connections[database].cursor() as cursor:
        cursor.execute(sql)


@pytest.mark.parametrize("name", WRITES)
def test_whatever_writes_tells_before_the_commit(name: str, library: str) -> None:
    write, senders = WRITES[name]
    with heard_of(cache_invalidated) as after, heard_of(rows_changed) as before, transaction.atomic(using=library):
        write(library)
        assert senders <= {each["sender"] for each in before}
        assert not after
    assert {each["sender"] for each in after} == {each["sender"] for each in before}
    assert {each["database"] for each in before} == {library}


@pytest.mark.parametrize("database", ["other"])
def test_what_others_send_is_invalidated_row_by_row(library: str) -> None:
    books = Book.objects.using(library)
    kept = books.exclude(pk=1).values_list("pk", flat=True)[0]
    for _ in range(2):
        assert [books.get(pk=pk).pages for pk in (1, kept)] != [77, 77]
    written_unseen(library, "UPDATE testapp_book SET pages = 77")
    rows_changed.send(Book, rows=[{"id": "1"}], database=library)  # prepared as a condition's value would be
    assert books.get(pk=1).pages == 77
    assert books.get(pk=kept).pages != 77  # nobody has told of it
    with transaction.atomic(using=library):
        rows_changed.send(Book, rows=[{"pages": 77}], database=library)  # which one, is not known: the whole table
        transaction.set_rollback(True, using=library)
    assert books.get(pk=kept).pages != 77
    with transaction.atomic(using=library):
        rows_changed.send(Book, rows=[{"pages": 77}], database=library)
    assert books.get(pk=kept).pages == 77


@pytest.mark.parametrize("database", ["other"])
def test_what_others_send_obeys_a_block_and_may_name_columns_of_another_release(library: str) -> None:
    books = Book.objects.using(library)
    kept = books.exclude(pk=1).values_list("pk", flat=True)[0]
    assert 78 not in [books.get(pk=pk).pages for pk in (1, kept)]
    written_unseen(library, "UPDATE testapp_book SET pages = 78")
    with no_invalidation():
        rows_changed.send(Book, database=library)
    assert books.get(pk=1).pages != 78
    rows_changed.send(Book, table="testapp_book", rows=[{"id": 1, "gone": 2}], database=library)
    assert books.get(pk=1).pages == 78
    assert books.get(pk=kept).pages != 78


@pytest.mark.parametrize("database", ["other"])
def test_a_receiver_tells_what_follows_from_a_write(library: str) -> None:
    def also(sender: Any, database: str, **kwargs: Any) -> None:
        rows_changed.send(Author, database=database)

    author = Author.objects.using(library).get(pk=1)
    Author.objects.using(library).get(pk=1)
    written_unseen(library, "UPDATE testapp_author SET name = 'follows' WHERE id = 1")
    rows_changed.connect(also, sender=Tag)
    try:
        Tag.objects.using(library).create(name="cause")
    finally:
        rows_changed.disconnect(also, sender=Tag)
    assert Author.objects.using(library).get(pk=1).name == "follows" != author.name


def test_who_listens_is_told_keys_after_the_commit_and_may_query(library: str) -> None:
    seen: list[Any] = []

    def read(sender: Any, keys: list[Any], obj_dict: Any, **kwargs: Any) -> None:
        seen.append((sender, keys, obj_dict, sender.objects.using(library).filter(pk__in=keys).count()))

    cache_invalidated.connect(read, sender=Tag)
    try:
        with transaction.atomic(using=library):
            tag = Tag.objects.using(library).create(name="told")
            Book.objects.using(library).filter(pk=1).update(pages=1)
        tag.save()
        tag.delete()
    finally:
        cache_invalidated.disconnect(read, sender=Tag)
    key = tag.pk or seen[0][1][0]
    assert [(sender, keys, count) for sender, keys, _, count in seen] == [
        (Tag, [key], 1),
        (Tag, [key], 1),
        (Tag, [key], 0),
    ]
    assert all(obj_dict["id"] == key for _, _, obj_dict, _ in seen)


def test_nothing_is_told_of_what_was_rolled_back(library: str) -> None:
    tags = Tag.objects.using(library)
    tags.create(name="kept")
    with heard_of(cache_invalidated) as heard:
        with transaction.atomic(using=library):
            tags.create(name="gone")
            invalidate_obj(tags.get(name="kept"))
            transaction.set_rollback(True, using=library)
        assert heard == []
        invalidate_obj(tags.get(name="kept"))
    assert [(each["source"], each["keys"]) for each in heard] == [("manual", [tags.get(name="kept").pk])]


def test_what_has_written_one_row_is_told(library: str) -> None:
    tags = Tag.objects.using(library)
    with heard_of(cache_invalidated) as heard:
        tags.create(name="saved")
        tags.bulk_create([Tag(name="alone")])
        tags.bulk_create([Tag(name="first"), Tag(name="second")])
    assert [each["source"] for each in heard] == ["save", "bulk", "bulk"]


def test_reads_tell_whether_their_entry_has_answered(library: str) -> None:
    books = Book.objects.using(library)
    reads: dict[str, Callable[[], Any]] = {
        "get": lambda: books.get(pk=1),
        "fetch": lambda: list(books.filter(pages=1)),
        "count": lambda: books.count(),
        "exists": lambda: books.filter(rating__gte=1).exists(),
        "aggregate": lambda: books.aggregate(Max("pages")),
        "aggregate of a subquery": lambda: books.distinct().aggregate(Max("pages")),
        "count of a subquery": lambda: books.order_by("pk")[:3].count(),
    }
    for name, read in reads.items():
        op = name.partition(" ")[0]
        with heard_of(cache_read) as heard:
            first, second = read(), read()
        assert first == second
        told = [(each["sender"], each["func"], each["hit"], each["op"]) for each in heard]
        assert told == [(Book, None, False, op), (Book, None, True, op)], op
    with heard_of(cache_read) as heard:
        assert len(list(books.order_by("-pk").iterator())) == len(list(books.order_by("-pk").iterator()))
    assert [each["hit"] for each in heard] == [False, True]


@pytest.mark.parametrize("database", ["other"])
def test_a_region_tells_when_it_goes_and_comes(library: str, monkeypatch: pytest.MonkeyPatch) -> None:
    region = regions.local
    monkeypatch.setattr(region.breaker, "pause", 0.0)
    monkeypatch.setattr(region.breaker, "recovery_timeout", 0.0)
    with heard_of(region_state_changed) as heard:
        for _ in range(region.breaker.failure_threshold + 1):
            with pytest.raises(StoreUnavailable), region.guard():
                raise StoreUnavailable("of the test")
        with region.guard():
            pass
    assert [(each["region"], each["reachable"]) for each in heard] == [(region.name, False), (region.name, True)]


@pytest.mark.parametrize("database", ["default"])
@pytest.mark.servers
def test_the_guide_keeps_an_index_and_hears_of_foreign_writes(library: str) -> None:
    class Search(dict[Any, str]):
        put = dict.__setitem__
        remove = dict.pop

        def rebuild(self, books: Any) -> None:
            self.clear()
            self.update(books.values_list("pk", "title"))

    search = Search()
    guide = examples(Book=Book, search=search)
    try:
        Book.objects.update(status="out")  # the first one is told as a table, or by keys
        book = Book.objects.get(pk=1)
        book.title = "indexed"
        book.save()
        assert search[1] == "indexed"
        book.delete()
        assert 1 not in search
        other = Book.objects.get(pk=2)
        written_unseen("default", "UPDATE testapp_book SET title = 'foreign' WHERE id = 2")
        row = {"id": 2, "author_id": other.author_id}
        guide["on_message"]({"before": row, "after": row})
        assert Book.objects.get(pk=2).title == search[2] == "foreign"
        written("default", "CREATE OR REPLACE FUNCTION close_year(n int) RETURNS void LANGUAGE sql AS "
                "$$ UPDATE testapp_book SET pages = n $$")  # fmt: skip
        Book.objects.get(pk=2)
        guide["close_year"](1999)
        assert Book.objects.get(pk=2).pages == 1999
    finally:
        cache_invalidated.disconnect(guide["index"], sender=Book)
        written("default", "DROP FUNCTION IF EXISTS close_year")
