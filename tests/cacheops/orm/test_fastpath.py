"""Querysets that a hit does not build: their answers are the database's, and so are their errors."""

import copy
import itertools
import pickle
import uuid
from collections.abc import Callable
from typing import Any

import pytest
from django.core.exceptions import FieldError
from django.db.models import Avg, Count, F, Max, Min, Q, Sum
from django.db.transaction import atomic

from cacheops import invalidate_all
from cacheops.orm.fastpath.plans import fast_plans
from cacheops.queryset import CachedQuerySet
from cacheops.reading.options import bypassed
from tests.testapp import world
from tests.testapp.cached import from_database, is_hit, statements
from tests.testapp.compare import plain
from tests.testapp.models import Book, Status, Tag

pytestmark = pytest.mark.django_db(databases="__all__")

READS: dict[str, Callable[[Any], Any]] = {
    "count": lambda books: books.count(),
    "values": lambda books: list(books.values("pk", "title", "extra", "price", "published")),
    "values_related": lambda books: list(books.values("pk", "author__name")),
    "values_all": lambda books: list(books.values()),
    "values_list": lambda books: list(books.values_list("pk", "isbn")),
    "values_flat": lambda books: list(books.values_list("title", flat=True)),
    "values_named": lambda books: list(books.values_list("pk", "title", named=True)),
    "values_expression": lambda books: list(books.values("pk", double=F("pages") * 2)),
    "values_counted": lambda books: books.values("shelf").count(),
    "values_twice": lambda books: list(books.values("pk", "title").values("title")),
    "aggregate": lambda books: books.aggregate(Max("pages"), Min("published"), total=Sum("price"), mean=Avg("rating")),
    "aggregate_distinct": lambda books: books.aggregate(Count("shelf", distinct=True)),
    "aggregate_filtered": lambda books: books.aggregate(n=Count("pk", filter=Q(pages=100))),
    "aggregate_default": lambda books: books.aggregate(n=Sum("pages", default=7)),
    "aggregate_across": lambda books: books.aggregate(Max("author__name")),
    "aggregate_values": lambda books: books.values("title").aggregate(Max("pages")),
    "list": lambda books: list(books),
    "narrowed": lambda books: list(books.filter(pages=100).exclude(title="x")),
    "sliced": lambda books: list(books.order_by("pk").values("pk")[:1]),
    "union": lambda books: list(
        books.values("pk").union(Book.objects.using(books.db).filter(pk=9).values("pk")).order_by("pk")
    ),
    "in_subquery": lambda books: list(Book.objects.using(books.db).filter(pk__in=books.values("pk")).order_by("pk")),
    "copied": lambda books: list(copy.deepcopy(books.values("pk"))),
    "pickled": lambda books: list(pickle.loads(pickle.dumps(books.values("pk")))),
}
CONDITIONS: tuple[dict[str, Any], ...] = (
    {"author_id": 1, "shelf_id": 2},
    {"author_id": 1, "shelf_id": 1},
    {"shelf_id": 2, "author_id": 1},
    {"author_id": 2, "shelf_id": 1},
    {"author": 1, "status": "out"},
    {"author": 1, "status": Status.DRAFT},
    {"status": Status.OUT},
    {"pk": 3},
    {"pk": 999},
)


def key(found: Any) -> Any:
    return found if isinstance(found, int | dict) else sorted(map(repr, found))


@pytest.mark.parametrize("name", sorted(READS))
def test_each_answer_is_the_databases(name: str, library: str) -> None:
    read = READS[name]
    fast_plans.clear()
    for _ in range(3):  # built, learned, known
        for condition in CONDITIONS:
            books = Book.objects.using(library).order_by().filter(**condition)
            with bypassed():
                expected = key(read(Book.objects.using(library).filter(**condition)))
            assert key(read(Book.objects.using(library).filter(**condition))) == expected, condition
            assert key(read(books)) == expected, condition


# What is called before filter(): it must stay in the answer.
STARTS: dict[str, Callable[[Any], Any]] = {
    "nothing": lambda books: books,
    "ordered": lambda books: books.order_by("title"),
    "the other way": lambda books: books.order_by("-title"),
    "reversed": lambda books: books.order_by("title").reverse(),
    "random": lambda books: books.order_by("?").order_by("-pk"),
    "by a table more": lambda books: books.extra(tables=["testapp_tag"]).order_by("pk"),
    "by extra": lambda books: books.extra(order_by=["-testapp_book.title"]),
    "distinct": lambda books: books.distinct().order_by("pages"),
    "related": lambda books: books.select_related("author").order_by("author__name", "pk"),
    "counted": lambda books: books.annotate(n=Count("loans")).order_by("-n", "pk"),
}
FOLLOWING = ("count", "values", "values_list", "values_flat", "list", "aggregate")


@pytest.mark.parametrize("name", FOLLOWING)
def test_what_came_before_the_filter_counts(name: str, library: str) -> None:
    fast_plans.clear()
    for _ in range(3):
        for start in STARTS.values():

            def read(start: Callable[[Any], Any] = start) -> Any:
                return READS[name](start(Book.objects.using(library)).filter(author_id=1))

            with bypassed():
                expected = read()
            ordered = name != "count" and start is not STARTS["nothing"]
            assert (read() == expected) if ordered else key(read()) == key(expected)


def test_a_query_that_was_asked_for_is_nobodys_else(library: str) -> None:
    for _ in range(3):
        books = Book.objects.using(library).all()
        query = books.query
        found = books.filter(author_id=1)
        query.set_limits(high=1)
        assert len(found) == found.count() == 4
        assert len(books) == 1


class Anywhere:
    """A router that names another database each time, as Django's documentation shows for replicas."""

    def __init__(self) -> None:
        self.turns = itertools.cycle(["default", "other", "other"])

    def db_for_read(self, model: Any, **hints: Any) -> str:
        return next(self.turns)


def test_one_answer_comes_from_one_database(settings: Any, library: str) -> None:
    world.empty("default"), world.empty("other")
    world.fill("default"), world.fill("other")
    Book.objects.using("other").filter(pk=1).update(author_id=2, title="Another")
    expected = {
        read: {repr(plain(READS[read](Book.objects.using(each).filter(author_id=1)))) for each in ("default", "other")}
        for read in ("count", "values_flat", "aggregate")
    }
    settings.DATABASE_ROUTERS = [Anywhere()]
    try:
        for turn in range(12):
            for read, answers in expected.items():
                assert repr(plain(READS[read](Book.objects.filter(author_id=1)))) in answers
            assert Book.objects.get(pk=1).title in ("Title 0", "Another")
            assert Book.objects.get(pk=1)._state.db in ("default", "other"), turn
    finally:
        del settings.DATABASE_ROUTERS
        world.empty("other" if library == "default" else "default")


@pytest.mark.parametrize("name", ["count", "values", "values_flat", "aggregate"])
def test_a_hit_builds_no_query(name: str, library: str) -> None:
    for _ in range(3):
        READS[name](Book.objects.using(library).filter(author_id=1, status="out"))
    books = Book.objects.using(library).filter(author_id=1, status="out")
    assert is_hit(library, lambda: READS[name](books))
    assert books._waits()
    assert not books._query.where.children


def test_two_equal_values_teach_no_order(library: str) -> None:
    """Which of them is which parameter shows only with different ones."""
    fast_plans.clear()
    for author, shelf in [(1, 1), (1, 1), (1, 2), (2, 1), (1, 2), (2, 1)]:

        def read(author: int = author, shelf: int = shelf) -> Any:
            return Book.objects.using(library).filter(shelf_id=shelf, author_id=author).count()

        assert plain(read()) == from_database(read)


def test_errors_come_where_django_raises_them(library: str) -> None:
    books = Book.objects.using(library)
    for _ in range(2):
        with pytest.raises(FieldError):
            books.filter(nothing=1)
        with pytest.raises(FieldError):
            books.filter(author_id=1).values("nothing")
        with pytest.raises(ValueError, match="id"):
            books.filter(author_id="x")
        with pytest.raises(FieldError):
            books.filter(author_id=1).aggregate(Max("nothing"))


def test_a_write_is_seen_at_once(library: str) -> None:
    books = Book.objects.using(library)

    def read() -> Any:
        mine = books.filter(author_id=1)
        return mine.count(), sorted(mine.values_list("title", flat=True)), mine.aggregate(Max("pages"))

    for _ in range(3):
        read()
    assert is_hit(library, read)
    books.filter(pk=1).update(title="new", pages=999)
    assert plain(read()) == from_database(read)
    with atomic(using=library):
        books.filter(pk=2).delete()
        assert plain(read()) == from_database(read)
    assert plain(read()) == from_database(read)


def test_a_queryset_may_be_used_after_its_answer(library: str) -> None:
    for _ in range(3):
        books = Book.objects.using(library).filter(author_id=1)
        found = books.values("pk")
        assert len(found) == books.count() == len(list(books))
        assert list(found.order_by("pk")) == sorted(found, key=lambda row: row["pk"])
        assert list(found.filter(pk=1)) == [{"pk": 1}]
        assert "WHERE" in str(found.query)


def test_nocache_and_operations_count(library: str) -> None:
    for _ in range(3):
        Book.objects.using(library).filter(author_id=1).count()
    assert not is_hit(library, lambda: Book.objects.using(library).nocache().filter(author_id=1).count())
    assert not is_hit(library, lambda: Book.objects.using(library).filter(author_id=1).nocache().count())
    cached = Book.objects.using(library).cache(ops="fetch")
    for _ in range(3):
        cached.filter(author_id=1).count()
    assert not is_hit(library, lambda: cached.filter(author_id=1).count())


def test_querysets_made_from_each_other_stay_apart(library: str) -> None:
    books = Book.objects.using(library).order_by()
    for _ in range(3):
        every = Book.objects.using(library).all()
        out, first = every.filter(status="out"), every.filter(author_id=1)
        titles = out.values("title")
        out.query.set_limits(high=1)
        every.query.clear_where()
        titles.query.add_ordering("-title")
        assert len(out) == 1
        assert len(first) == len(books.filter(author_id=1))
        assert len(titles) == len(books.filter(status="out"))
        assert [row["title"] for row in titles] == sorted((row["title"] for row in titles), reverse=True)
        assert len(every) == len(books)


class OwnCopies(CachedQuerySet[Any]):
    """Carries something along, as projects' querysets do."""

    noted = 0

    def _clone(self) -> Any:
        clone = super()._clone()  # type: ignore[misc]
        clone.noted = self.noted + 1
        return clone


def test_a_queryset_that_copies_itself_in_its_own_way_is_asked_to(library: str) -> None:
    for _ in range(3):
        books = OwnCopies(Book, using=library).filter(author_id=1)
        assert books.noted == 1
        assert books.values("pk").noted == 2
        assert len(books.values("pk")) == books.count()


GETS: dict[str, tuple[Any, dict[str, Any]]] = {
    "key": (Book, {"pk": 3}),
    "key_by_name": (Book, {"id": 3}),
    "no_key": (Book, {"pk": 999}),
    "far_too_large": (Book, {"pk": 2**70}),
    "too_large": (Book, {"pk": 2**40}),
    "negative": (Book, {"pk": -(2**63)}),
    "bool": (Book, {"pk": True}),
    "text": (Tag, {"name": "new"}),
    "other_text": (Tag, {"name": "it's %s \\ new"}),
    "uuid": (Book, {"isbn": uuid.UUID(int=1)}),
    "text_for_uuid": (Book, {"isbn": str(uuid.UUID(int=1))}),
}


def got(model: Any, database: str, condition: dict[str, Any]) -> tuple[Any, list[str]]:
    """Return what a get answers, or raises, and its statements."""
    with statements(database) as ran:
        try:
            found = plain(model.objects.using(database).get(**condition))
        except model.DoesNotExist as error:
            found = str(error)
    return found, ran


@pytest.mark.parametrize("name", GETS)
def test_a_miss_runs_the_statement_that_django_would(name: str, library: str) -> None:
    model, condition = GETS[name]
    with bypassed():
        expected = got(model, library, condition)
    for _ in range(2):  # learned, known
        assert got(model, library, condition) == expected
        assert got(model, library, condition)[0] == expected[0]
        invalidate_all()
