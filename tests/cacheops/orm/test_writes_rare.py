"""Writes that few projects make: by odd queries, of keys of two columns, from migrations, by the database itself."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.db import connections, models
from django.db.migrations.state import ModelState, StateApps
from django.db.models import Count, F

from cacheops.signals import cache_invalidated
from tests.testapp.cached import from_database, is_hit, statements
from tests.testapp.compare import plain
from tests.testapp.models import Author, Tag
from tests.testapp.rare import Grown, Seat

pytestmark = pytest.mark.django_db(databases="__all__")

Read = Callable[[], Any]


def assert_fresh(reads: dict[str, Read]) -> None:
    for name, read in reads.items():
        assert plain(read()) == from_database(read), name


def authors(alias: str) -> dict[str, Read]:
    rows = Author.objects.using(alias).order_by("pk").values_list("pk", "name", "country")
    return {code: lambda code=code: list(rows.filter(country=code)) for code in ("de", "fr", "pl")}


UPDATES: dict[str, Callable[[Any], int]] = {
    "distinct": lambda rows: rows.filter(name="Ada").distinct().update(country_id="pl"),
    "distinct_joined": lambda rows: rows.filter(books__status="out").distinct().update(country_id="pl"),
    "grouped": lambda rows: rows.annotate(n=Count("books")).filter(n__gt=1).update(country_id="fr"),
    "grouped_all": lambda rows: rows.annotate(n=Count("books")).update(country_id="fr"),
    "grouped_by_value": lambda rows: (
        rows.values("country").annotate(n=Count("books")).filter(n__gt=0).update(country_id="de")
    ),
}


@pytest.mark.parametrize("name", UPDATES)
def test_an_update_of_rows_that_are_found_by_groups_or_without_doubles(name: str, library: str) -> None:
    reads = authors(library)
    for read in reads.values():
        read()
    assert UPDATES[name](Author.objects.using(library)) > 0
    assert_fresh(reads)


def test_an_update_without_doubles_leaves_other_rows_entries(library: str) -> None:
    reads = authors(library)
    for read in reads.values():
        read()
    Author.objects.using(library).distinct().filter(name="Ada").update(country_id="pl")
    assert is_hit(library, reads["fr"])
    assert not is_hit(library, reads["de"])
    assert not is_hit(library, reads["pl"])


def test_more_new_rows_than_are_marked_are_not_asked_for_their_values(library: str, settings: Any) -> None:
    settings.CACHEOPS_MAX_MARKS = 3
    tags = Tag.objects.using(library)
    reads: dict[str, Read] = {"pk": lambda: list(tags.filter(pk=1)), "name": lambda: list(tags.filter(name="3"))}
    assert_fresh(reads)
    with statements(library) as ran:
        tags.bulk_create([Tag(name=str(number)) for number in range(4)])
    assert [sql.rpartition("RETURNING")[2] for sql in ran if "RETURNING" in sql] == [' "testapp_tag"."id"']
    assert_fresh(reads)
    heard = []

    def hear(sender: Any, keys: list[Any] | None, **kwargs: Any) -> None:
        heard.append(keys)

    cache_invalidated.connect(hear)
    try:
        made = tags.bulk_create([Tag(name=f"more-{number}") for number in range(4)])
    finally:
        cache_invalidated.disconnect(hear)
    assert heard == [[tag.pk for tag in made]]


def saved(alias: str, **values: Any) -> None:
    seat = Seat.objects.using(alias).get(pk=(1, 2))
    for name, value in values.items():
        setattr(seat, name, value)
    seat.save()


def bulk_updated(alias: str) -> None:
    seats = list(Seat.objects.using(alias).filter(row=1))
    for seat in seats:
        seat.status = "sold"
    Seat.objects.using(alias).bulk_update(seats, ["status"])


OF_SEATS: dict[str, Callable[[str], Any]] = {
    "create": lambda alias: Seat.objects.using(alias).create(row=3, number=1),
    "save": lambda alias: saved(alias, status="sold"),
    "save_same": lambda alias: saved(alias),
    "update": lambda alias: Seat.objects.using(alias).filter(row=1).update(status="sold"),
    "update_by_key": lambda alias: Seat.objects.using(alias).filter(pk=(1, 2)).update(status="sold"),
    "update_part_of_key": lambda alias: Seat.objects.using(alias).filter(pk=(1, 2)).update(row=5),
    "update_or_create": lambda alias: Seat.objects.using(alias).update_or_create(
        row=1, number=2, defaults={"status": "sold"}
    ),
    "bulk_update": bulk_updated,
    "delete": lambda alias: Seat.objects.using(alias).get(pk=(1, 2)).delete(),
    "queryset_delete": lambda alias: Seat.objects.using(alias).filter(pk__in=[(1, 2), (2, 1)]).delete(),
}


@pytest.mark.parametrize("name", OF_SEATS)
def test_a_key_of_two_columns(name: str, library: str) -> None:
    seats = Seat.objects.using(library)
    seats.bulk_create([Seat(row=1, number=1), Seat(row=1, number=2), Seat(row=2, number=1)])
    rows = seats.order_by("pk").values_list("pk", "status")
    reads: dict[str, Read] = {
        "free": lambda: list(rows.filter(status="free")),
        "sold": lambda: list(rows.filter(status="sold")),
        "row": lambda: list(rows.filter(row=1)),
        "one": lambda: list(rows.filter(pk=(1, 2))),
        "moved": lambda: rows.filter(row=5).count(),
    }
    for read in reads.values():
        read()
    OF_SEATS[name](library)
    assert_fresh(reads)


def test_a_key_of_two_columns_tells_rows_apart(library: str) -> None:
    seats = Seat.objects.using(library)
    seats.bulk_create([Seat(row=1, number=1), Seat(row=2, number=1, status="held")])
    free, held = (lambda status=status: list(seats.filter(status=status)) for status in ("free", "held"))
    free()
    held()
    seats.filter(row=1).update(status="sold")
    assert is_hit(library, held)
    assert not is_hit(library, free)


def test_saves_of_rows_with_a_key_of_two_columns_are_counted_as_saves(library: str) -> None:
    Seat.objects.using(library).create(row=1, number=2)
    for _ in range(2):
        Seat.objects.using(library).filter(status="free").count()
    heard = []

    def hear(sender: Any, source: str, **kwargs: Any) -> None:
        heard.append(source)

    cache_invalidated.connect(hear)
    try:
        saved(library, status="sold")
    finally:
        cache_invalidated.disconnect(hear)
    assert set(heard) == {"save"}


@pytest.fixture
def historical(library: str) -> Iterator[Any]:
    """Take a column off its table, whose condition is registered; return the model as a migration before it has it."""
    rows = Grown.objects.using(library)
    rows.create(name="old")
    for _ in range(2):
        list(rows.filter(added=0))
    rows.create(name="other")  # this process has met the condition

    fields = [("id", models.BigAutoField(primary_key=True)), ("name", models.CharField(max_length=20))]
    before = ModelState("testapp", "Grown", fields).render(StateApps([], {}))
    added = Grown._meta.get_field("added")
    with connections[library].schema_editor() as editor:
        editor.remove_field(Grown, added)
    yield before
    with connections[library].schema_editor() as editor:
        editor.add_field(Grown, added)


def resaved(rows: Any) -> None:
    row = rows.get(name="old")
    row.name = "new"
    row.save()


FROM_MIGRATIONS: dict[str, Callable[[Any], Any]] = {
    "create": lambda rows: rows.create(name="new"),
    "bulk_create": lambda rows: rows.bulk_create([rows.model(name="new")], ignore_conflicts=True),
    "save": resaved,
    "update": lambda rows: rows.filter(name="old").update(name="new"),
    "update_f": lambda rows: rows.update(name=F("name")),
    "delete": lambda rows: rows.get(name="old").delete(),
    "queryset_delete": lambda rows: rows.filter(name="old").delete(),
}


@pytest.mark.parametrize("name", FROM_MIGRATIONS)
def test_a_migrations_model_without_a_column_that_has_conditions(name: str, library: str, historical: Any) -> None:
    names = Grown.objects.using(library).order_by("pk").values_list("name", flat=True)
    reads: dict[str, Read] = {"all": lambda: list(names.all()), "new": lambda: list(names.filter(name="new"))}
    for read in reads.values():
        read()
    FROM_MIGRATIONS[name](historical._base_manager.using(library))
    assert_fresh(reads)
