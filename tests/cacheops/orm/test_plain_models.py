"""Models with Django's own managers and the app cacheops.fastpath: plain Django's answers, and hits build no query."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.db.models import Count, Manager, Max, QuerySet
from django.db.models.sql import Query

from cacheops.queryset import CachedManager, CachedQuerySet
from cacheops.reading.options import bypassed
from tests.testapp.cached import statements
from tests.testapp.compare import plain
from tests.testapp.managers import (
    LivingCachedQuerySet,
    LivingQuerySet,
    MarkingCachedQuerySet,
    MarkingQuerySet,
    NarrowingCachedQuerySet,
    NarrowingQuerySet,
    OfGermany,
    Ordered,
    fastpath_app,
    manager,
)
from tests.testapp.models import Archive, Author, Biography, Book, Library, Loan, Place, Shelf, ShortBook
from tests.testapp.queries import attempt

pytestmark = pytest.mark.django_db(databases="__all__")


def authors(database: str) -> QuerySet[Author]:
    return Author.objects.using(database)


def found(database: str, made: Any) -> Any:
    """Return an instance as if it had been read."""
    made._state.db, made._state.adding = database, False
    return made


def shown(database: str, made: Manager[Any]) -> QuerySet[Any]:
    return manager(made, Author).db_manager(database).all()


async def collected(queryset: QuerySet[Any]) -> list[Any]:
    return [one async for one in queryset]


Read = Callable[[str], Any]
FAST: dict[str, Read] = {  # what a hit answers without building a query
    "get": lambda db: authors(db).get(pk=1),
    "get_by_name": lambda db: authors(db).get(name="Bob"),
    "get_inherited": lambda db: Library.objects.using(db).get(pk=2),
    "get_nothing": lambda db: attempt(lambda: authors(db).get(pk=999)),
    "aget": lambda db: async_to_sync(authors(db).aget)(pk=2),
    "get_ordered": lambda db: shown(db, Ordered()).get(pk=2),
    "foreign_key": lambda db: found(db, Loan(pk=1, reader_id=2, book_id=1)).reader,
    "one_to_one": lambda db: found(db, Biography(author_id=1)).author,
    "count": lambda db: Loan.objects.using(db).filter(reader_id=3).count(),
    "acount": lambda db: async_to_sync(Loan.objects.using(db).filter(reader_id=3).acount)(),
    "exists": lambda db: Loan.objects.using(db).filter(reader_id=3).exists(),
    "exists_not": lambda db: Loan.objects.using(db).filter(reader_id=99).exists(),
    "aggregate": lambda db: authors(db).filter(name="Ada").aggregate(Max("born"), n=Count("pk")),
    "list": lambda db: list(Loan.objects.using(db).filter(book_id=1)),
    "list_of_two": lambda db: list(Shelf.objects.using(db).filter(label="shelf 2", pk=2)),
    "list_of_none": lambda db: list(authors(db).filter(name="nobody")),
    "async_list": lambda db: async_to_sync(collected)(authors(db).filter(name="Cyd")),
    "values": lambda db: list(authors(db).filter(name="Bob").values("pk", "born", "mentor")),
    "values_list": lambda db: list(authors(db).filter(name="Bob").values_list("name", "country")),
    "flat": lambda db: list(authors(db).filter(name="Bob").values_list("born", flat=True)),
    "of_germany": lambda db: list(shown(db, OfGermany())),
    "count_of_germany": lambda db: shown(db, OfGermany()).count(),
    "proxy": lambda db: list(ShortBook._base_manager.using(db).filter(author_id=1, pk=2)),
}
LONG: dict[str, Read] = {  # what needs its query
    "get_of_germany": lambda db: attempt(lambda: shown(db, OfGermany()).get(pk=1)),
    "get_outside_germany": lambda db: attempt(lambda: shown(db, OfGermany()).get(pk=2)),
    "list_in_order": lambda db: list(shown(db, Ordered()).filter(mentor=1)),
    "narrowing": lambda db: list(NarrowingQuerySet(Author, using=db).filter(name="Ada")),
    "related": lambda db: list(authors(db).get(pk=1).students.filter(name="Bob")),
    "related_count": lambda db: authors(db).get(pk=1).books.filter(status="out").count(),
    "related_get": lambda db: attempt(lambda: authors(db).get(pk=1).students.get(name="Cyd")),
    "many_to_many": lambda db: [book.title for book in Archive.objects.using(db).get().books.order_by("pk")],
    "reverse_one": lambda db: authors(db).get(pk=1).biography,
    "mentors": lambda db: [one.mentor and one.mentor.name for one in authors(db).order_by("pk")],
    "null": lambda db: list(authors(db).filter(country=None)),
    "by_instance": lambda db: list(authors(db).filter(mentor=Author(pk=1)).order_by("pk")),
    "only": lambda db: [(one.get_deferred_fields(), one.born) for one in authors(db).only("name").filter(pk=1)],
    "only_get": lambda db: (lambda one: (one.get_deferred_fields(), one.born))(authors(db).only("name").get(pk=1)),
    "only_after": lambda db: [one.get_deferred_fields() for one in authors(db).filter(name="Ada").only("name")],
    "deferred": lambda db: [one.get_deferred_fields() for one in authors(db).filter(name="Ada").defer("born")],
    "select_related": lambda db: [one.mentor for one in authors(db).filter(name="Bob").select_related("mentor")],
    "prefetched": lambda db: list(authors(db).filter(name="Ada").prefetch_related("books", "students")),
    "iterator": lambda db: [one.pk for one in Loan.objects.using(db).filter(reader_id=3).iterator(chunk_size=1)],
    "inherited": lambda db: [list(model.objects.using(db).order_by("pk")) for model in (Place, Library, Archive)],
    "inherited_parent": lambda db: list(Library.objects.using(db).filter(name="Town")),
    "first": lambda db: authors(db).filter(name="Bob").first(),
    "latest": lambda db: authors(db).filter(mentor=1).latest("pk"),
    "in_bulk": lambda db: authors(db).in_bulk([1, 3]),
    "slice": lambda db: list(Loan.objects.using(db).filter(reader_id=3).order_by("pk")[1:2]),
    "sliced_exists": lambda db: Loan.objects.using(db).filter(reader_id=3).order_by("pk")[2:].exists(),
    "distinct_exists": lambda db: Book._base_manager.using(db).filter(tags__name="new").distinct().exists(),
    "none": lambda db: (list(authors(db).none()), authors(db).none().count(), authors(db).none().exists()),
    "named": lambda db: list(authors(db).filter(name="Bob").values_list("pk", "born", named=True)),
    "union": lambda db: authors(db).filter(pk=1).union(authors(db).filter(pk=2)).count(),
    "refreshed": lambda db: (lambda one: one.refresh_from_db() or one.name)(authors(db).get(pk=3)),
    "get_after_filter": lambda db: authors(db).filter(name="Cyd").get(),
}


@pytest.fixture
def app() -> Iterator[None]:
    with fastpath_app():
        yield


def from_django(read: Read, database: str) -> Any:
    """Return what plain Django answers: the fast path is off, and the cache."""
    with bypassed():
        assert type(Author.objects.all()) is QuerySet
        return plain(read(database))


def change(database: str) -> None:
    authors(database).filter(pk=1).update(born="1955-06-07", country="pl")
    authors(database).filter(pk=3).update(country="de", mentor=2)
    Loan.objects.using(database).filter(reader_id=3, book_id=1).delete()
    Shelf.objects.using(database).filter(pk=2).delete()
    Library.objects.using(database).filter(pk=2).update(seats=77)
    Book.objects.using(database).filter(author=1).update(title="changed")


def test_each_answer_is_plain_djangos(library: str) -> None:
    reads = {**FAST, **LONG}
    expected = {name: from_django(read, library) for name, read in reads.items()}
    with fastpath_app():
        for _ in range(3):  # built, learned, known
            for name, read in reads.items():
                assert plain(read(library)) == expected[name], name
    change(library)
    expected = {name: from_django(read, library) for name, read in reads.items()}
    with fastpath_app():
        for _ in range(2):
            for name, read in reads.items():
                assert plain(read(library)) == expected[name], name


def test_a_hit_builds_no_query(library: str, app: None, monkeypatch: Any) -> None:
    expected = {name: plain(read(library)) for name, read in FAST.items()}
    for _ in range(2):  # learned, known
        for read in FAST.values():
            read(library)

    def build(*args: Any, **kwargs: Any) -> None:
        raise AssertionError("A hit has built its query.")

    monkeypatch.setattr(Query, "build_filter", build)
    monkeypatch.setattr(Query, "get_compiler", build)
    with statements(library) as ran:
        for name, read in FAST.items():
            assert plain(read(library)) == expected[name], name
    assert ran == []


@pytest.mark.parametrize(
    ("own", "ours"),
    [
        (NarrowingQuerySet, NarrowingCachedQuerySet),
        (LivingQuerySet, LivingCachedQuerySet),
        (MarkingQuerySet, MarkingCachedQuerySet),
    ],
)
def test_a_queryset_class_that_reads_in_its_own_way_keeps_it(own: Any, ours: Any, library: str) -> None:
    reads: list[Callable[[Any], Any]] = [
        lambda found: attempt(lambda: found.get(pk=1)),
        lambda found: list(found.filter(name="Ada")),
        lambda found: list(found.filter(name="Bob")),
        lambda found: found.filter(name="Ada").count(),
        lambda found: list(found.filter(name="Ada").values("name")),
        lambda found: found.filter(name="Ada").exists(),
    ]
    for read in reads:
        with bypassed():
            expected = plain(read(own(Author, using=library)))
        for _ in range(3):
            read(CachedQuerySet(Author, using=library))  # what others have learned is not theirs
            assert plain(read(ours(Author, using=library))) == expected


def test_the_app_is_for_managers_that_name_no_queryset_class(app: None) -> None:
    assert type(Author.objects.all()) is type(Author._base_manager.all()) is CachedQuerySet
    assert type(Author(pk=1).students.all()) is CachedQuerySet
    assert type(manager(Manager.from_queryset(NarrowingQuerySet)(), Author).all()) is NarrowingQuerySet


def test_without_the_app_managers_are_djangos() -> None:
    assert type(Author.objects.all()) is QuerySet
    assert type(Book.objects) is CachedManager
