"""Writes of every kind, by name. Each takes a database's alias and changes the library."""

import datetime as dt
import uuid
from collections.abc import Callable
from typing import Any

from django.db import connections
from django.db.models import Case, F, Q, Subquery, Value, When

from tests.testapp.models import Book, Tag
from tests.testapp.queries import Readers
from tests.testapp.world import NOON


def book(db: Readers, pk: int = 2) -> Any:
    return db.Book.get(pk=pk)


def changed(instance: Any, *fields: str, **values: Any) -> None:
    """Save an instance with other values; with `fields` only these."""
    for name, value in values.items():
        setattr(instance, name, value)
    instance.save(update_fields=fields or None)


def stale_instance(db: Readers) -> None:
    """Save an instance whose row has changed since it was loaded: its own values before are not the row's."""
    held = book(db)
    db.Book.filter(pk=2).update(status="draft", author_id=3)
    changed(held, author_id=1, title="from long ago")


def run(db: Readers, sql: str, *parameters: Any) -> None:
    with connections[db.alias].cursor() as cursor:
        cursor.execute(sql, parameters)


def run_many(db: Readers) -> None:
    with connections[db.alias].cursor() as cursor:
        cursor.executemany("UPDATE testapp_book SET pages = %s WHERE id = %s", [(7, 1), (8, 2)])


def copy_rows(db: Readers) -> None:
    with connections[db.alias].cursor() as cursor, cursor.copy("COPY testapp_tag (name) FROM STDIN") as copy:
        copy.write_row(["copied"])


def new_books(count: int = 2, **values: Any) -> list[Book]:
    return [
        Book(**{"title": f"bulk {n}", "author_id": 1, "status": "out", "pages": 100, "shelf_id": None} | values)
        for n in range(count)
    ]


def conflicting(db: Readers, **options: Any) -> None:
    """Insert a book that is there already, and one that is not."""
    rows = [
        Book(title="again", isbn=uuid.UUID(int=2), author_id=3, status="gone", pages=5),
        Book(title="new", isbn=uuid.UUID(int=99), author_id=3, status="out", pages=100),
    ]
    db.Book.bulk_create(rows, **options)


def bulk_updated(db: Readers) -> None:
    books = list(db.Book.filter(pk__in=[1, 2, 3]))
    for number, each in enumerate(books):
        each.pages, each.author_id, each.status = 100 + number, 3, "gone"
    db.Book.bulk_update(books, ["pages", "author", "status"])


WRITES: dict[str, Callable[[Readers], Any]] = {
    "save_new": lambda db: Book(title="n", author_id=1, status="out", pages=100).save(using=db.alias),
    "save_all": lambda db: changed(book(db), title="saved", status="draft", author_id=3, pages=None),
    "save_some": lambda db: changed(book(db), "status", status="gone", title="not saved"),
    "save_key": lambda db: changed(book(db), "author", author_id=2),
    "save_to_null": lambda db: changed(book(db), "shelf", shelf=None),
    "save_from_null": lambda db: changed(book(db, 3), shelf_id=2),
    "save_moment": lambda db: changed(book(db, 3), published=NOON + dt.timedelta(days=3)),
    "save_text_values": lambda db: changed(book(db), author_id="3", pages="100", published="2026-03-05T00:00:00Z"),
    "save_expression": lambda db: changed(book(db), "pages", pages=F("pages") + 100),
    "save_stale_instance": stale_instance,
    "save_with_key": lambda db: Book(pk=700, title="k", author_id=1, status="out").save(using=db.alias),
    "save_forced": lambda db: Tag(pk=2, name="other").save(using=db.alias, force_update=True),
    "save_other_key": lambda db: changed(db.Country.get(pk="de"), code="at"),
    "delete": lambda db: book(db).delete(),
    "delete_cascade": lambda db: db.Author.get(name="Bob").delete(),
    "delete_set_null": lambda db: db.Author.get(name="Ada").delete(),
    "delete_set_null_country": lambda db: db.Country.get(pk="de").delete(),
    "delete_set_default": lambda db: db.Shelf.get(pk=2).delete(),
    "delete_generic": lambda db: book(db, 1).delete(),
    "delete_one_to_one": lambda db: db.Biography.get(pk=1).delete(),
    "create": lambda db: db.Book.create(title="c", author_id=2, status="out", pages=200, shelf_id=2),
    "create_related": lambda db: db.Author.get(name="Bob").books.create(title="r", status="out", pages=100),
    "create_missing": lambda db: db.Biography.create(author=db.Author.get(name="Bob"), text="first"),
    "get_or_create_new": lambda db: db.Book.get_or_create(title="g", defaults={"author_id": 1, "status": "out"}),
    "get_or_create_old": lambda db: db.Book.get_or_create(pk=1, defaults={"author_id": 1}),
    "update_or_create_new": lambda db: db.Book.update_or_create(title="u", defaults={"author_id": 1, "pages": 100}),
    "update_or_create_old": lambda db: db.Book.update_or_create(pk=1, defaults={"author_id": 3, "pages": 100}),
    "bulk_create": lambda db: db.Book.bulk_create(new_books()),
    "bulk_create_many": lambda db: db.Tag.bulk_create([Tag(name=f"t{n}") for n in range(700)]),
    "bulk_create_batches": lambda db: db.Book.bulk_create(new_books(5, published=NOON), batch_size=2),
    "bulk_create_ignoring": lambda db: conflicting(db, ignore_conflicts=True),
    "bulk_create_updating": lambda db: conflicting(
        db, update_conflicts=True, unique_fields=["isbn"], update_fields=["author", "status", "pages"]
    ),
    "bulk_update": bulk_updated,
    "update": lambda db: db.Book.filter(status="out").update(status="gone"),
    "update_key": lambda db: db.Book.filter(author_id=1).update(author_id=3),
    "update_all": lambda db: db.Book.update(pages=100),
    "update_none": lambda db: db.Book.filter(pk=999).update(pages=1),
    "update_empty_list": lambda db: db.Book.filter(pk__in=[]).update(author_id=1),
    "update_empty_beside": lambda db: db.Book.filter(Q(pk__in=[]) | Q(pk=2)).update(author_id=3),
    "raw_delete_empty_list": lambda db: db.Note.filter(pk__in=[])._raw_delete(db.alias),
    "child_update_empty_list": lambda db: db.Library.filter(pk__in=[]).update(city="x", seats=1),
    "update_f": lambda db: db.Book.filter(pages=100).update(pages=F("pages") * 2),
    "update_case": lambda db: db.Book.update(status=Case(When(pages=100, then=Value("gone")), default=F("status"))),
    "update_joined": lambda db: db.Book.filter(author__country__code="de").update(status="gone", shelf_id=3),
    "update_subquery": lambda db: db.Author.filter(pk__in=db.Book.filter(pages=100).values("author")).update(born=None),
    "update_from_subquery": lambda db: db.Book.filter(pk=3).update(
        author_id=Subquery(db.Author.filter(name="Cyd").values("pk")[:1])
    ),
    "update_or": lambda db: db.Book.filter(Q(pages=None) | Q(tags__name="old")).update(pages=100),
    "update_its_condition": lambda db: db.Book.filter(status="out", pages=100).update(status="draft", pages=None),
    "update_key_itself": lambda db: db.Note.filter(text="good").update(id=800),
    "update_unique_key": lambda db: db.Tag.filter(name="new").update(name="newer"),
    "queryset_delete": lambda db: db.Book.filter(status="out").delete(),
    "queryset_delete_all": lambda db: db.Note.all().delete(),
    "queryset_delete_joined": lambda db: db.Loan.filter(reader__name="Cyd").delete(),
    "queryset_raw_delete": lambda db: db.Note.filter(text="good")._raw_delete(db.alias),
    "queryset_delete_keys": lambda db: db.Book.filter(pk__in=list(db.Book.values_list("pk", flat=True)[:2])).delete(),
    "many_add": lambda db: book(db, 1).tags.add(1, 3),
    "many_add_again": lambda db: book(db, 4).tags.add(1),
    "many_remove": lambda db: book(db, 4).tags.remove(1),
    "many_set": lambda db: book(db, 4).tags.set([3]),
    "many_clear": lambda db: book(db, 4).tags.clear(),
    "many_reverse_add": lambda db: db.Tag.get(name="new").books.add(1),
    "many_reverse_clear": lambda db: db.Tag.get(name="new").books.clear(),
    "many_create": lambda db: book(db, 1).tags.create(name="made"),
    "through_add": lambda db: book(db, 3).readers.add(1, through_defaults={"since": "2026-02-02"}),
    "through_create": lambda db: db.Loan.create(book_id=5, reader_id=3, since="2026-02-02"),
    "through_delete": lambda db: db.Loan.get(book_id=1, reader_id=3).delete(),
    "reverse_add": lambda db: db.Author.get(name="Cyd").books.add(book(db, 1)),
    "reverse_set": lambda db: db.Shelf.get(pk=2).books.set(list(db.Book.filter(pk__in=[3, 4]))),
    "reverse_clear": lambda db: db.Shelf.get(pk=2).books.clear(),
    "generic_create": lambda db: book(db, 2).notes.create(text="good"),
    "generic_move": lambda db: changed(db.Note.get(text="good"), about=book(db, 3)),
    "child_save": lambda db: changed(db.Archive.get(name="Deep"), city="Ulm", seats=5, climate="wet"),
    "child_create": lambda db: db.Library.create(name="New", city="Köln", seats=2),
    "child_update_parent": lambda db: db.Library.filter(name="Town").update(city="Köln"),
    "child_update_both": lambda db: db.Archive.filter(city="Köln").update(city="Bonn", seats=3, climate="wet"),
    "child_delete": lambda db: db.Archive.get(name="Deep").delete(),
    "parent_save": lambda db: changed(db.Place.get(name="Deep"), city="Ulm"),
    "parent_update": lambda db: db.Place.update(city="Bonn"),
    "parent_delete": lambda db: db.Place.get(name="Town").delete(),
    "proxy_save": lambda db: changed(db.ShortBook.get(pk=2), pages=200, title="by proxy"),
    "proxy_update": lambda db: db.ShortBook.filter(pages=100).update(pages=200),
    "raw_update": lambda db: run(db, "UPDATE testapp_book SET pages = 100 WHERE pages = %s", 200),
    "raw_capitals": lambda db: run(db, "UPDATE TESTAPP_BOOK SET STATUS = 'out'"),
    "raw_quoted": lambda db: run(db, 'UPDATE "testapp_author" SET "name" = \'Zed\' WHERE "name" = \'Bob\''),
    "raw_insert": lambda db: run(db, "INSERT INTO testapp_tag (name) VALUES (%s)", "raw"),
    "raw_insert_select": lambda db: run(
        db, "INSERT INTO testapp_book_tags (book_id, tag_id) SELECT id, 3 FROM testapp_book WHERE pages IS NULL"
    ),
    "raw_delete": lambda db: run(db, "DELETE FROM testapp_loan"),
    "raw_comment": lambda db: run(db, "-- a note\n/* another */ update testapp_shelf set label = 'shelf 2'"),
    "raw_many": run_many,
    "raw_with": lambda db: run(
        db, "WITH few AS (SELECT id FROM testapp_book WHERE pages = 100) DELETE FROM testapp_note WHERE object_id IN "
        "(SELECT id FROM few)"
    ),
}  # fmt: skip

ON_POSTGRES: dict[str, Callable[[Readers], Any]] = {
    "truncate": lambda db: run(db, "TRUNCATE testapp_note"),
    "truncate_cascade": lambda db: run(db, "TRUNCATE testapp_shelf CASCADE"),
    "copy": copy_rows,
    "raw_returning": lambda db: run(
        db, "WITH gone AS (DELETE FROM testapp_loan RETURNING book_id) SELECT count(*) FROM gone"
    ),
    "raw_merge": lambda db: run(
        db,
        "MERGE INTO testapp_tag USING (VALUES ('new'), ('merged')) AS v(n) ON name = n "
        "WHEN MATCHED THEN UPDATE SET name = 'was new' WHEN NOT MATCHED THEN INSERT (name) VALUES (n)",
    ),
}


def writes_for(vendor: str) -> dict[str, Callable[[str], Any]]:
    """Return the writes that a kind of database takes, each of an alias."""
    writes = WRITES | ON_POSTGRES if vendor == "postgresql" else WRITES
    return {name: lambda alias, write=write: write(Readers(alias)) for name, write in writes.items()}
