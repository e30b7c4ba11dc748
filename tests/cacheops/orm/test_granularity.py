"""A write leaves an entry alone whose conditions its rows match neither before nor after."""

import datetime as dt
from collections.abc import Callable
from typing import Any

import pytest
from django.db import connections, transaction
from django.db.models import Q
from django.utils import timezone

from cacheops.orm.dependencies import MAX_TERMS
from cacheops.reading.options import bypassed
from tests.testapp.cached import is_hit
from tests.testapp.queries import Readers
from tests.testapp.world import NOON
from tests.testapp.writes import changed, run

pytestmark = pytest.mark.django_db(databases="__all__")

Step = Callable[[Readers], Any]


def lock(db: Readers, *keys: int) -> None:
    with transaction.atomic(using=db.alias):
        list(db.Book.filter(pk__in=keys).select_for_update())
        list(db.Book.filter(pk__in=keys).select_for_update(no_key=True))


# Book 2: author 1, shelf 2, status "out", 100 pages. (read, write, whether the write leaves the entry)
CASES: dict[str, tuple[Step, Step, bool]] = {
    "key_of_another": (lambda db: db.Book.get(pk=1), lambda db: changed(db.Book.get(pk=2), pages=5), True),
    "its_own_key": (lambda db: db.Book.get(pk=2), lambda db: changed(db.Book.get(pk=2), pages=5), False),
    "key_not_there": (lambda db: db.Book.filter(pk=500).first(), lambda db: db.Book.filter(pk=1).update(pages=1), True),
    "value_of_another": (
        lambda db: list(db.Book.filter(status="draft")),
        lambda db: db.Book.filter(pk=2).update(pages=5),
        True,
    ),
    "value_before": (
        lambda db: list(db.Book.filter(status="out")),
        lambda db: db.Book.filter(pk=2).update(status="gone"),
        False,
    ),
    "value_after": (
        lambda db: list(db.Book.filter(status="gone")),
        lambda db: db.Book.filter(pk=2).update(status="gone"),
        False,
    ),
    "value_neither": (
        lambda db: list(db.Book.filter(status="draft")),
        lambda db: db.Book.filter(pk=2).update(status="gone"),
        True,
    ),
    "rows_that_are_locked": (lambda db: db.Book.get(pk=2), lambda db: lock(db, 1, 2), True),
    "another_made_or_changed": (
        lambda db: db.Book.get(pk=2),
        lambda db: db.Book.update_or_create(pk=1, defaults={"pages": 5}),
        True,
    ),
    "number": (lambda db: list(db.Book.filter(pages=200)), lambda db: db.Book.filter(pk=2).update(pages=300), True),
    "two_conditions": (
        lambda db: list(db.Book.filter(status="out", author_id=3)),
        lambda db: db.Book.filter(pk=2).update(pages=5),
        True,
    ),
    "in": (lambda db: list(db.Book.filter(pk__in=[1, 3])), lambda db: changed(db.Book.get(pk=2), pages=5), True),
    "in_one_of": (
        lambda db: list(db.Book.filter(pk__in=[1, 2])),
        lambda db: changed(db.Book.get(pk=2), pages=5),
        False,
    ),
    "or": (
        lambda db: list(db.Book.filter(pk=1) | db.Book.filter(pages=200)),
        lambda db: db.Book.filter(pk=2).update(title="x"),
        True,
    ),
    "null": (lambda db: list(db.Book.filter(shelf=None)), lambda db: db.Book.filter(pk=2).update(title="x"), True),
    "to_null": (lambda db: list(db.Book.filter(shelf=None)), lambda db: db.Book.filter(pk=2).update(shelf=None), False),
    "range": (
        lambda db: list(db.Book.filter(published__gte=NOON, published__lt=NOON + dt.timedelta(hours=2))),
        lambda db: db.Book.create(title="later", author_id=1, published=NOON + dt.timedelta(days=9)),
        True,
    ),
    "in_the_range": (
        lambda db: list(db.Book.filter(published__gte=NOON, published__lt=NOON + dt.timedelta(hours=2))),
        lambda db: db.Book.create(title="then", author_id=1, published=NOON + dt.timedelta(hours=1)),
        False,
    ),
    "joined_by_its_own_condition": (
        lambda db: list(db.Book.filter(author__name="Ada", status="out")),
        lambda db: db.Author.filter(name="Bob").update(born=None),
        True,
    ),
    "joined_and_matching": (
        lambda db: list(db.Book.filter(author__name="Ada")),
        lambda db: db.Author.filter(name="Ada").update(name="Eve"),
        False,
    ),
    "joined_to_its_own_table": (
        lambda db: list(db.Author.filter(mentor__name="Ada", country="fr")),
        lambda db: db.Author.filter(name="Bob").update(born=None),
        False,
    ),
    "subquery_of_its_own_condition": (
        lambda db: list(db.Author.filter(pk__in=db.Book.filter(status="draft").values("author"))),
        lambda db: db.Book.filter(pk=2).update(pages=5),
        True,
    ),
    "created_elsewhere": (
        lambda db: list(db.Book.filter(author_id=2)),
        lambda db: db.Book.create(title="new", author_id=1),
        True,
    ),
    "bulk_created_elsewhere": (
        lambda db: list(db.Author.filter(country="de")),
        lambda db: db.Author.bulk_create([type(db.Author.first())(name=f"n{n}", country_id="fr") for n in range(3)]),
        True,
    ),
    "deleted_elsewhere": (
        lambda db: list(db.Book.filter(author_id=3)),
        lambda db: db.Book.filter(pk=2).delete(),
        True,
    ),
    "count": (lambda db: db.Book.filter(author_id=2).count(), lambda db: db.Book.filter(pk=2).update(pages=1), True),
    "parent_of_another_child": (
        lambda db: list(db.Library.filter(city="Ulm")),
        lambda db: db.Place.filter(city="Köln").update(name="x"),
        True,
    ),
    "another_table": (lambda db: list(db.Book.all()), lambda db: db.Note.create(text="x", about=db.Book.first()), True),
    "new_row_of_another_ignoring_conflicts": (
        lambda db: list(db.Book.filter(author_id=2)),
        lambda db: db.Book.bulk_create([db.Book.model(title="new", author_id=1)], ignore_conflicts=True),
        True,
    ),
    "new_row_of_its_own_ignoring_conflicts": (
        lambda db: list(db.Book.filter(author_id=2)),
        lambda db: db.Book.bulk_create([db.Book.model(title="new", author_id=2)], ignore_conflicts=True),
        False,
    ),
    "known_row_ignoring_conflicts": (
        lambda db: list(db.Book.filter(author_id=1)),
        lambda db: db.Book.bulk_create([db.Book.model(pk=1, title="new", author_id=1)], ignore_conflicts=True),
        True,
    ),
    "raw_sql_names_the_table": (
        lambda db: db.Book.get(pk=1),
        lambda db: run(db, "UPDATE testapp_book SET pages = 1 WHERE id = 2"),
        False,
    ),
}


@pytest.mark.parametrize("name", sorted(CASES))
def test_an_entry_outlives_the_writes_that_do_not_concern_it(name: str, library: str) -> None:
    read, write, stays = CASES[name]
    db = Readers(library)
    read(db)
    assert is_hit(library, lambda: read(db))
    write(db)
    assert is_hit(library, lambda: read(db)) == stays


def test_a_transaction_that_is_rolled_back_costs_a_reload_at_most(library: str) -> None:
    db = Readers(library)
    db.Book.get(pk=1)
    with transaction.atomic(using=library):
        db.Book.filter(pk=1).update(title="never")
        transaction.set_rollback(True, using=library)
    assert is_hit(library, lambda: db.Book.get(pk=1))
    assert not connections[library].in_atomic_block


def test_is_null_and_is_not_null_are_not_one_shape(library: str) -> None:
    """Found by the state machine: the dependencies of the first were those of the second."""
    db = Readers(library)
    list(db.Book.filter(pages__isnull=True))
    before = list(db.Book.filter(pages__isnull=False))
    db.Book.create(title="new", author_id=1, pages=100)
    assert len(db.Book.filter(pages__isnull=False)) == len(before) + 1


def test_an_empty_list_and_a_full_one_are_not_one_shape(library: str) -> None:
    """What is compiled away for the first must not be missing from the second's plan."""
    db = Readers(library)

    def days(keys: list[int]) -> list[Any]:
        matching = Q(pk__in=keys, published__hour__gte=12) | Q(pk=1)
        return list(db.Book.filter(matching).order_by("pk").values_list("pk", flat=True))

    days([])
    for zone in ("UTC", "Asia/Tokyo"):
        with timezone.override(zone), bypassed():
            expected = days([2, 3, 4])
        with timezone.override(zone):
            assert days([2, 3, 4]) == expected


@pytest.mark.parametrize(
    "condition", [~Q(status="draft"), ~(Q(status="draft") & Q(pages=1)), Q(~Q(status="draft"), pk__gt=0)]
)
def test_what_is_excluded_follows_writes_to_all_else(condition: Q, library: str) -> None:
    """A negated condition names the rows that do not count: the others are in no tag of it."""
    db = Readers(library)
    reads = {"filter": lambda: list(db.Book.filter(condition)), "count": lambda: db.Book.filter(condition).count()}
    for _ in range(2):
        for read in reads.values():
            read()
    db.Book.create(title="new", author_id=1, status="gone", pages=7)
    for name, read in reads.items():
        with bypassed():
            expected = read()
        assert read() == expected, name


@pytest.mark.parametrize(("terms", "stays"), [(MAX_TERMS, True), (MAX_TERMS + 1, False)])
def test_a_condition_of_too_many_alternatives_depends_on_the_table(terms: int, stays: bool, library: str) -> None:
    db = Readers(library)
    condition = Q(*[("title", f"title {number}") for number in range(terms)], _connector=Q.OR)
    list(db.Book.filter(condition))
    db.Book.create(title="another", author_id=1)
    assert is_hit(library, lambda: list(db.Book.filter(condition))) == stays
