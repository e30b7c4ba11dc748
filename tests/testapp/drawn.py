"""What the machine of tests/testapp/machine.py draws: conditions, what comes before them, and what is asked."""

import datetime as dt
from typing import Any

from django.db.backends.postgresql.psycopg_any import NumericRange
from django.db.models import Count, Exists, F, Max, OuterRef, Q, Subquery, Sum, Window
from django.db.models.functions import RowNumber
from hypothesis import strategies as st

from tests.testapp.models import Author, Book, Loan, Status
from tests.testapp.queries import attempt
from tests.testapp.world import NOON

AUTHORS, BOOKS, SHELVES = st.sampled_from([1, 2, 3]), st.integers(1, 9), st.sampled_from([1, 2, 3, None])
STATUSES = st.sampled_from(list(Status))
PAGES = st.sampled_from([None, 100, 200])
MOMENTS = st.integers(-3, 6).map(lambda weeks: NOON + dt.timedelta(weeks=weeks, minutes=weeks))
COLUMNS: dict[str, st.SearchStrategy[Any]] = {
    "author_id": AUTHORS,
    "shelf_id": SHELVES,
    "status": STATUSES,
    "pages": PAGES,
    "published": st.none() | MOMENTS,
    "title": st.sampled_from(["Title 1", "title 1", "Title 1 ", " Title 1", "Title 2", "new", ""]),
    "extra": st.sampled_from(
        [{"number": 1, "deep": {"odd": True}}, {"number": 1.0}, {"number": "1"}, {"number": None}, {}, [1], "text", 1]
    ),
}


def equal(column: str) -> st.SearchStrategy[Q]:
    values = COLUMNS[column]
    one = values.map(lambda value: Q(**{column: value}))
    known = values.filter(lambda value: value is not None)
    if column == "extra":
        return one  # NULL is JSON's here, and in lists of such values no database looks alike
    several = st.lists(known, min_size=0, max_size=3).map(lambda found: Q(**{f"{column}__in": found}))
    null = st.booleans().map(lambda is_null: Q(**{f"{column}__isnull": is_null}))
    return one | several | null


ACROSS = st.sampled_from(
    [
        Q(author__name="Ada"),
        Q(author__country="de"),
        Q(author__country__name="frfr"),
        Q(author__mentor__name="Ada"),
        Q(author__mentor=None),
        Q(shelf__label="shelf 2"),
        Q(tags__name="new"),
        Q(tags=None),
        Q(loans__reader=3),
        Q(loans__returned=False),
        Q(notes__text="good"),
        Q(Exists(Loan.objects.filter(book=OuterRef("pk"), reader__name="Cyd"))),
        Q(pages__gt=F("author_id") * 60),
        Q(pk__in=[1, 2, 3]),
        Q(pk=4),
    ]
)
TEXTS = st.sampled_from(
    [
        Q(title__iexact="TITLE 1"),
        Q(title__iexact="title 1 "),
        Q(title__contains=" "),
        Q(title__icontains="TITLE"),
        Q(title__startswith=" "),
        Q(title__endswith=" "),
        Q(title__lt="title"),
    ]
)
DOCUMENTS = st.sampled_from(
    [
        Q(extra__number=1),
        Q(extra__number=1.0),
        Q(extra__number="1"),
        Q(extra__number=None),
        Q(extra__number__isnull=True),
        Q(extra__number__in=[1, "1"]),
        Q(extra__number__gt=0),
        Q(extra__deep__odd=True),
        Q(extra__deep={"odd": True}),
        Q(extra__has_key="number"),
        Q(extra__contains={"number": 1}),
        Q(extra__0=1),
    ]
)
RANGES = st.tuples(MOMENTS, MOMENTS).map(
    lambda ends: Q(published__gte=min(ends), published__lt=max(ends)) | Q(published__range=(min(ends), max(ends)))
)
SPANS = st.tuples(MOMENTS, MOMENTS).map(lambda ends: Q(published__gt=min(ends), published__lte=max(ends)))
# Alone they make narrow tags; a combination often depends on a whole table, and can hardly be stale.
SIMPLE: st.SearchStrategy[Q] = st.sampled_from(sorted(COLUMNS)).flatmap(equal)
BOTH = st.tuples(SIMPLE, SIMPLE).map(lambda pair: pair[0] & pair[1])
NESTED: st.SearchStrategy[Q] = st.recursive(
    SIMPLE | ACROSS | RANGES | SPANS | TEXTS | DOCUMENTS,
    lambda inner: (
        st.tuples(inner, inner).map(lambda pair: pair[0] & pair[1])
        | st.tuples(inner, inner).map(lambda pair: pair[0] | pair[1])
        | inner.map(lambda one: ~one)
    ),
    max_leaves=4,
)
CONDITIONS = SIMPLE | BOTH | ACROSS | RANGES | SPANS | TEXTS | DOCUMENTS | NESTED
# What is called before the filter. Some give each book a number, `r`, which conditions may name.
STARTS: dict[str, Any] = {
    "nothing": lambda books: books,
    "ordered": lambda books: books.order_by("-title", "pk"),
    "reversed": lambda books: books.order_by("title", "pk").reverse(),
    "numbered": lambda books: books.annotate(r=Window(RowNumber(), order_by=F("pk").asc())),
    "shared": lambda books: books.annotate(r=Window(Count("pk"), partition_by=F("author"))),
    "lent": lambda books: books.annotate(r=Count("loans")),
}
PLAIN_STARTS = ("nothing", "ordered", "reversed")
RANKS = st.integers(0, 4).map(lambda number: Q(r=number)) | st.integers(0, 3).map(lambda number: Q(r__gt=number))
RANKED: st.SearchStrategy[Q] = st.recursive(
    RANKS | SIMPLE,
    lambda inner: (
        st.tuples(inner, inner).map(lambda pair: pair[0] & pair[1])
        | st.tuples(inner, inner).map(lambda pair: pair[0] | pair[1])
    ),
    max_leaves=4,
)
Start = tuple[str, bool, Q]  # whether the condition is of filter(), not of exclude(); the condition
STARTED: st.SearchStrategy[Start] = st.tuples(st.sampled_from(PLAIN_STARTS), st.booleans(), CONDITIONS) | st.tuples(
    st.sampled_from(["numbered", "shared", "lent"]), st.booleans(), RANKED
)

SHAPES: dict[str, Any] = {
    "in_order": lambda books: list(books.values_list("title", "pk")) if books.ordered else None,
    "list": lambda books: list(books.order_by("pk").distinct()),
    "slice": lambda books: list(books.order_by("-status", "pk")[1:4]),
    "by_author": lambda books: list(books.order_by("author__name", "-pk").values_list("pk", flat=True)),
    "values": lambda books: list(books.order_by("pk").values("title", "author__name", "shelf__label")),
    "only": lambda books: list(books.order_by("pk").only("title")),
    "get": lambda books: attempt(lambda: books.get()),
    "first": lambda books: books.first(),
    "count": lambda books: books.count(),
    "count_distinct": lambda books: books.distinct().count(),
    "exists": lambda books: books.exists(),
    "aggregate": lambda books: books.aggregate(Max("pages"), Sum("price"), n=Count("pk", distinct=True)),
    "grouped": lambda books: list(books.values("status").annotate(n=Count("pk", distinct=True)).order_by("status")),
    "related": lambda books: list(books.select_related("author__country", "shelf").order_by("pk")),
    "prefetched": lambda books: list(books.prefetch_related("tags", "loans__reader").order_by("pk")),
    "iterator": lambda books: list(books.order_by("pk").iterator(chunk_size=2)),
    "union": lambda books: list(
        books.order_by().values_list("pk").union(Book.objects.filter(pages=100).values_list("pk")).order_by("id")
    ),
    "authors_of": lambda books: list(
        Author.objects.using(books.db).filter(books__in=books.values("pk")).order_by("pk").distinct()
    ),
    "newest_of_authors": lambda books: list(
        Author.objects.using(books.db)
        .annotate(newest=Subquery(books.filter(author=OuterRef("pk")).order_by("-pk").values("title")[:1]))
        .order_by("pk")
    ),
}

# Conditions that a queryset of ours does not build, and what it answers without.
PLAIN_COLUMNS: dict[str, st.SearchStrategy[Any]] = {
    "author_id": AUTHORS,
    "shelf": st.sampled_from([1, 2, 3]),
    "status": STATUSES | STATUSES.map(lambda status: status.value),
    "pages": st.sampled_from([100, 200]),
    "title": COLUMNS["title"],
    "pk": BOOKS,
}
# Of one column more often than not: of two, few find several books, and their order says nothing.
PLAIN = st.sampled_from(["author_id", "shelf", "status", "pages"]).flatmap(
    lambda name: PLAIN_COLUMNS[name].map(lambda value: {name: value})
) | st.fixed_dictionaries({}, optional=PLAIN_COLUMNS).filter(bool)
SHORT_SHAPES: dict[str, Any] = {
    "count": lambda books: books.count(),
    "values": lambda books: books.values("pk", "title", "extra"),
    "values_list": lambda books: books.values_list("status", "price"),
    "flat": lambda books: books.values_list("shelf_id", flat=True),
    "aggregate": lambda books: books.aggregate(Max("pages"), Sum("price"), Count("status", distinct=True)),
    "list": lambda books: list(books),
    "values_counted": lambda books: books.values("shelf").count(),
    "filtered": lambda books: list(books.filter(title__startswith="T").order_by("pk")),
}

# Of PostgreSQL's own types.
LISTS = st.none() | st.lists(st.sampled_from([1, 2, None]), max_size=3)
WHOLE = st.sampled_from([None, NumericRange(1, 3), NumericRange(1, 3, "[]"), NumericRange(None, 2), NumericRange(2, 2)])
ARRAY_ROWS = st.fixed_dictionaries({"numbers": LISTS, "whole": WHOLE})
KNOWN_LISTS = st.lists(st.sampled_from([1, 2]), max_size=2)
ARRAYS: st.SearchStrategy[Q] = st.recursive(
    LISTS.map(lambda value: Q(numbers=value))
    | WHOLE.map(lambda value: Q(whole=value))
    | st.tuples(st.sampled_from(["contains", "contained_by", "overlap"]), KNOWN_LISTS).map(
        lambda pair: Q((f"numbers__{pair[0]}", pair[1]))
    )
    | st.sampled_from([Q(numbers__len=2), Q(numbers__0=1), Q(whole__contains=2), Q(whole__isempty=True)])
    | st.lists(LISTS.filter(lambda value: value is not None), max_size=2).map(lambda found: Q(numbers__in=found)),
    lambda inner: st.tuples(inner, inner).map(lambda pair: pair[0] | pair[1]) | inner.map(lambda one: ~one),
    max_leaves=3,
)
