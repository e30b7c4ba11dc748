"""Queries, writes and transactions drawn at random; each cached answer is compared with the database's."""

import contextlib
import datetime as dt
import itertools
import uuid
from typing import Any

from django.core.exceptions import FieldError, ObjectDoesNotExist
from django.db import DatabaseError, IntegrityError, connections, transaction
from django.db.models import Count, Exists, F, Max, OuterRef, Q, Subquery, Sum, Window
from django.db.models.functions import RowNumber
from django.test import override_settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from cacheops.reading.options import bypassed
from tests.testapp import world
from tests.testapp.compare import plain
from tests.testapp.models import Author, Book, Loan, Status
from tests.testapp.queries import attempt, reads_for
from tests.testapp.world import NOON
from tests.testapp.writes import writes_for

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
    "title": st.sampled_from(["Title 1", "Title 2", "new"]),
}


def equal(column: str) -> st.SearchStrategy[Q]:
    values = COLUMNS[column]
    one = values.map(lambda value: Q(**{column: value}))
    known = values.filter(lambda value: value is not None)
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
RANGES = st.tuples(MOMENTS, MOMENTS).map(
    lambda ends: Q(published__gte=min(ends), published__lt=max(ends)) | Q(published__range=(min(ends), max(ends)))
)
SPANS = st.tuples(MOMENTS, MOMENTS).map(lambda ends: Q(published__gt=min(ends), published__lte=max(ends)))
# Alone they make narrow tags; a combination often depends on a whole table, and can hardly be stale.
SIMPLE: st.SearchStrategy[Q] = st.sampled_from(sorted(COLUMNS)).flatmap(equal)
BOTH = st.tuples(SIMPLE, SIMPLE).map(lambda pair: pair[0] & pair[1])
NESTED: st.SearchStrategy[Q] = st.recursive(
    SIMPLE | ACROSS | RANGES | SPANS,
    lambda inner: (
        st.tuples(inner, inner).map(lambda pair: pair[0] & pair[1])
        | st.tuples(inner, inner).map(lambda pair: pair[0] | pair[1])
        | inner.map(lambda one: ~one)
    ),
    max_leaves=4,
)
CONDITIONS = SIMPLE | BOTH | ACROSS | RANGES | SPANS | NESTED
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
Start = tuple[str, Q]  # and the condition
STARTED: st.SearchStrategy[Start] = st.tuples(st.sampled_from(PLAIN_STARTS), CONDITIONS) | st.tuples(
    st.sampled_from(["numbered", "shared", "lent"]), RANKED
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


def comparable(found: Any, ordered: bool) -> Any:
    if isinstance(found, int | dict):
        return found
    return plain(list(found)) if ordered else sorted(map(repr, plain(list(found))))


SHAPE_NAMES = st.sampled_from(sorted(SHAPES))


class OrmMachine(RuleBasedStateMachine):
    """Subclasses name a database, and a region for the cache."""

    database = "default"
    region = ""
    examples = 0

    @initialize(first=st.lists(st.tuples(STARTED, SHAPE_NAMES), min_size=4, max_size=8))
    def begin(self, first: list[tuple[Start, str]]) -> None:
        type(self).examples += 1
        self.settings = override_settings(
            CACHEOPS_PREFIX=f"m-{uuid.uuid4().hex[:12]}",
            CACHEOPS_REGIONS=(self.region,),
            CACHEOPS_LOCAL_REGION=self.region,
            CACHEOPS_WAIT_REPLICAS=0,
        )
        self.settings.enable()
        self.blocks: list[transaction.Atomic] = []
        self.asked: list[tuple[Start, str]] = []
        world.empty(self.database)
        world.fill(self.database)
        for start, shape in first:
            self.ask(start, shape)

    def ask(self, start: Start, shape: str) -> None:
        self.asked = [*self.asked[-11:], (start, shape)]
        self.compare(start, shape)

    def compare(self, start: Start, shape: str) -> None:
        name, condition = start

        def read() -> Any:
            guard = transaction.atomic(using=self.database) if self.blocks else contextlib.nullcontext()
            try:
                with guard:
                    return plain(SHAPES[shape](STARTS[name](Book.objects.using(self.database)).filter(condition)))
            except (DatabaseError, FieldError, NotImplementedError) as error:  # what Django or the database refuses
                return type(error).__name__

        cached = read()
        with bypassed():
            assert cached == read(), (start, shape)

    @rule(start=STARTED, shape=SHAPE_NAMES)
    def ask_new(self, start: Start, shape: str) -> None:
        self.ask(start, shape)

    @rule(condition=PLAIN, shape=st.sampled_from(sorted(SHORT_SHAPES)), other=PLAIN)
    def ask_plainly(self, condition: dict[str, Any], shape: str, other: dict[str, Any]) -> None:
        """Ask twice, as the second is answered by what the first one taught; and with other values of one kind."""
        others = {name: other.get(name, value) for name, value in condition.items()}
        for start, asked in itertools.product(PLAIN_STARTS, (condition, condition, others)):
            books = STARTS[start](Book.objects.using(self.database))
            ordered = start != "nothing" and shape != "aggregate"
            cached = comparable(SHORT_SHAPES[shape](books.filter(**asked)), ordered)
            with bypassed():
                found = comparable(SHORT_SHAPES[shape](books.filter(**asked)), ordered)
            assert cached == found, (start, asked, shape)
        self.asked = [*self.asked[-11:], (("nothing", Q(**condition)), "values")]

    @rule(name=st.sampled_from(sorted(reads_for("sqlite"))))
    def ask_by_name(self, name: str) -> None:
        read = reads_for("sqlite")[name]
        cached = plain(read(self.database))
        with bypassed():
            assert cached == plain(read(self.database)), name

    def write(self, run: Any) -> None:
        """Write, in a savepoint where a block is open; what the database refuses is undone. Then ask all again."""
        guard = transaction.atomic(using=self.database) if self.blocks else contextlib.nullcontext()
        with contextlib.suppress(DatabaseError, ObjectDoesNotExist), guard:
            run()
        self.compare_all()

    def compare_all(self) -> None:
        """Ask all again; in a block too, where what it has written is read past the cache."""
        for start, shape in self.asked:
            self.compare(start, shape)

    @rule(
        values=st.fixed_dictionaries({}, optional=COLUMNS).filter(bool),
        condition=CONDITIONS | st.lists(BOOKS, min_size=1, max_size=3).map(lambda keys: Q(pk__in=keys)),
    )
    def update(self, values: dict[str, Any], condition: Q) -> None:
        books = Book.objects.using(self.database).filter(condition)
        self.write(lambda: books.update(**values))

    @rule(pk=BOOKS, values=st.fixed_dictionaries({}, optional=COLUMNS), some=st.booleans())
    def save(self, pk: int, values: dict[str, Any], some: bool) -> None:
        def run() -> None:
            book = Book.objects.using(self.database).get(pk=pk)
            for name, value in values.items():
                setattr(book, name, value)
            book.save(update_fields=list(values) if some else None)

        self.write(run)

    @rule(values=st.fixed_dictionaries(COLUMNS), count=st.integers(1, 3))
    def insert(self, values: dict[str, Any], count: int) -> None:
        books = Book.objects.using(self.database)
        self.write(lambda: books.bulk_create([Book(**values) for _ in range(count)]))

    @rule(pk=BOOKS, condition=CONDITIONS)
    def delete(self, pk: int, condition: Q) -> None:
        """Delete one book at most: an empty library tells nothing."""
        self.write(lambda: Book.objects.using(self.database).filter(condition, pk=pk).delete())

    @rule(name=st.sampled_from(sorted(writes_for("sqlite"))))
    def write_by_name(self, name: str) -> None:
        self.write(lambda: writes_for("sqlite")[name](self.database))

    @precondition(lambda self: len(self.blocks) < 2)
    @rule()
    def open_block(self) -> None:
        block = transaction.atomic(using=self.database)
        block.__enter__()
        self.blocks.append(block)

    @precondition(lambda self: self.blocks)
    @rule(keep=st.booleans())
    def close_block(self, keep: bool) -> None:
        if not keep:
            transaction.set_rollback(True, using=self.database)
        while self.blocks:
            self.leave_block()
        self.compare_all()

    def leave_block(self) -> None:
        """A key without its row, which the database finds at the commit, rolls all back."""
        with contextlib.suppress(IntegrityError):
            self.blocks.pop().__exit__(None, None, None)

    def teardown(self) -> None:
        while self.blocks:
            self.leave_block()
        world.empty(self.database)
        self.settings.disable()
        assert not connections[self.database].in_atomic_block
