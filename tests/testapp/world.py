"""The library's contents, the same in each test, and how to empty it again."""

import datetime as dt
import uuid
from decimal import Decimal

from django.apps import apps
from django.db import connections, transaction

from tests.testapp.models import (
    FIRST_SHELF,
    Archive,
    Author,
    Biography,
    Book,
    Country,
    EveryField,
    Library,
    Loan,
    Note,
    Shelf,
    Status,
    Tag,
)

NOON = dt.datetime(2026, 3, 1, 12, tzinfo=dt.UTC)


def tables_of(database: str) -> list[str]:
    """Return the application's tables, those of many-to-many fields included."""
    vendor = connections[database].vendor
    models = apps.get_app_config("testapp").get_models(include_auto_created=True)
    kinds = [model for model in models if model._meta.required_db_vendor in (None, vendor) and not model._meta.proxy]
    return [model._meta.db_table for model in kinds]


def empty(database: str) -> None:
    """Delete every row of the application."""
    tables = tables_of(database)
    with connections[database].cursor() as cursor:
        if connections[database].vendor == "postgresql":
            cursor.execute(f"TRUNCATE {', '.join(tables)} RESTART IDENTITY")
            return
        with connections[database].constraint_checks_disabled():
            for table in tables:
                cursor.execute(f"DELETE FROM {table}")
            cursor.execute("DELETE FROM sqlite_sequence")


def fill(database: str) -> None:
    """Put the library in: small, with nulls, ties, several of each kind."""
    with transaction.atomic(using=database):
        _fill(database)


def _fill(database: str) -> None:
    Country.objects.using(database).bulk_create([Country(code=code, name=code * 2) for code in ("de", "fr", "pl")])
    for pk in (FIRST_SHELF, 2, 3):
        Shelf.objects.using(database).create(pk=pk, label=f"shelf {pk}")
    ada = Author.objects.using(database).create(name="Ada", country_id="de", born=dt.date(1950, 1, 2))
    bob = Author.objects.using(database).create(name="Bob", country_id="fr", mentor=ada, born=dt.date(1960, 5, 5))
    cyd = Author.objects.using(database).create(name="Cyd", mentor=ada)
    Biography.objects.using(database).create(author=ada, text="first")
    tags = [Tag.objects.using(database).create(name=name) for name in ("new", "old", "rare")]
    books = [
        Book.objects.using(database).create(
            title=f"Title {number}",
            isbn=uuid.UUID(int=number + 1),
            author=(ada, ada, bob, cyd)[number % 4],
            shelf_id=(FIRST_SHELF, 2, None)[number % 3],
            status=(Status.DRAFT, Status.OUT)[number % 2],
            pages=(None, 100, 200, 200)[number % 4],
            rating=number / 4,
            price=Decimal(number) + Decimal("0.50"),
            published=NOON + dt.timedelta(days=20 * number) if number % 5 else None,
            extra={"number": number, "deep": {"odd": bool(number % 2)}},
        )
        for number in range(8)
    ]
    for number, book in enumerate(books):
        book.tags.set(tags[: number % 4])
    for reader, book in ((bob, books[0]), (cyd, books[0]), (cyd, books[1])):
        Loan.objects.using(database).create(reader=reader, book=book, since=dt.date(2026, 1, 1))
    Note.objects.using(database).create(text="good", about=books[0])
    Note.objects.using(database).create(text="bad", about=ada)
    Library.objects.using(database).create(name="Town", city="Ulm", seats=10)
    archive = Archive.objects.using(database).create(name="Deep", city="Köln", seats=2, climate="dry")
    archive.books.set(books[:2])
    EveryField.objects.using(database).create(char="empty")
