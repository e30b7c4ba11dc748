"""Reads of every shape, by name. Each takes a database's alias and returns a result that can be compared."""

import datetime as dt
import uuid
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import django
from django.apps import apps
from django.contrib.contenttypes.models import ContentType
from django.core.exceptions import MultipleObjectsReturned, ObjectDoesNotExist
from django.db.models import (
    Avg,
    Case,
    CharField,
    Count,
    DecimalField,
    Exists,
    ExpressionWrapper,
    F,
    FilteredRelation,
    IntegerField,
    Max,
    Min,
    OuterRef,
    Prefetch,
    Q,
    StdDev,
    Subquery,
    Sum,
    Value,
    When,
    Window,
    prefetch_related_objects,
)
from django.db.models.functions import (
    Cast,
    Coalesce,
    Concat,
    ExtractYear,
    Greatest,
    Lag,
    Length,
    Lower,
    Rank,
    RowNumber,
    TruncMonth,
    Upper,
)

from tests.testapp.models import (
    Book,
    Loan,
    Status,
)
from tests.testapp.world import NOON


class Readers:
    """Querysets of the database that a read is for."""

    def __init__(self, alias: str) -> None:
        self.alias = alias

    def __getattr__(self, name: str) -> Any:
        model: Any = ContentType if name == "ContentType" else apps.get_model("testapp", name)
        return model.objects.using(self.alias)


def attempt(read: Callable[[], Any]) -> Any:
    """Return the result, or the name of what was raised."""
    try:
        return read()
    except (ObjectDoesNotExist, MultipleObjectsReturned, IndexError) as error:
        return type(error).__qualname__


def related_of(books: list[Any]) -> list[Any]:
    return [(book.title, book.author.name, book.author.country and book.author.country.name) for book in books]


def with_prefetched(instances: list[Any], *names: Any) -> list[Any]:
    prefetch_related_objects(instances, *names)
    return instances


OUTER = Loan.objects.filter(book=OuterRef("pk"))

# `db` has a queryset for each model.
READS: dict[str, Callable[[Readers], Any]] = {
    # --- one row
    "get_pk": lambda db: db.Book.get(pk=1),
    "get_unique": lambda db: db.Book.get(isbn=uuid.UUID(int=2)),
    "get_two_conditions": lambda db: db.Book.get(pk=2, status=Status.OUT),
    "get_none": lambda db: db.Book.get(pk=999),
    "get_many": lambda db: db.Book.get(status=Status.OUT),
    "get_across": lambda db: db.Author.get(biography__text="first"),
    "get_text_key": lambda db: db.Country.get(pk="de"),
    "get_every_field": lambda db: db.EveryField.get(char="empty"),
    "fk_access": lambda db: db.Book.get(pk=1).author,
    "fk_access_null": lambda db: db.Book.get(pk=3).shelf,
    "fk_to_self": lambda db: db.Author.get(name="Bob").mentor.name,
    "one_to_one": lambda db: db.Biography.get(author__name="Ada").author,
    "one_to_one_reverse": lambda db: db.Author.get(name="Ada").biography,
    "one_to_one_missing": lambda db: db.Author.get(name="Bob").biography,
    "generic_fk": lambda db: db.Note.get(text="good").about,
    # --- lists
    "all": lambda db: list(db.Book.order_by("pk")),
    "filter": lambda db: list(db.Book.filter(status=Status.OUT).order_by("pk")),
    "filter_fk": lambda db: list(db.Book.filter(author_id=1).order_by("pk")),
    "filter_two": lambda db: list(db.Book.filter(author_id=1, status=Status.DRAFT).order_by("pk")),
    "filter_in": lambda db: list(db.Book.filter(pk__in=[1, 2, 77]).order_by("-pk")),
    "filter_in_text": lambda db: list(db.Book.filter(status__in=[Status.GONE, Status.OUT]).order_by("pk")),
    "filter_null": lambda db: list(db.Book.filter(shelf=None).order_by("pk")),
    "filter_not_null": lambda db: list(db.Book.filter(shelf__isnull=False).order_by("pk")),
    "filter_or": lambda db: list(db.Book.filter(Q(pages=100) | Q(author_id=3)).order_by("pk")),
    "filter_and_or": lambda db: list(
        db.Book.filter(Q(pages=100) | Q(pages=200), Q(author_id=1) | Q(status="out")).order_by("pk")
    ),
    "exclude": lambda db: list(db.Book.exclude(status=Status.OUT).order_by("pk")),
    "exclude_many": lambda db: list(db.Book.exclude(tags__name="old").order_by("pk")),
    "exclude_fk_null": lambda db: list(db.Author.exclude(country__name="dede").order_by("pk")),
    "filter_xor": lambda db: list(db.Book.filter(Q(pages=100) ^ Q(status="out")).order_by("pk")),
    "filter_range": lambda db: list(db.Book.filter(pages__range=(50, 150)).order_by("pk")),
    "filter_moments": lambda db: list(
        db.Book.filter(published__gte=NOON, published__lt=NOON + dt.timedelta(days=50)).order_by("pk")
    ),
    "filter_between": lambda db: list(
        db.Book.filter(published__range=(NOON, NOON + dt.timedelta(days=61))).order_by("pk")
    ),
    "filter_day": lambda db: list(db.Book.filter(published__date=dt.date(2026, 3, 21)).order_by("pk")),
    "filter_year": lambda db: list(db.Author.filter(born__year=1950)),
    "filter_days": lambda db: list(db.Author.filter(born__gt="1955-01-01", born__lte="1970-01-01")),
    "filter_text": lambda db: list(db.Book.filter(title__icontains="TLE 3")),
    "filter_iexact": lambda db: list(db.Author.filter(name__iexact="ADA")),
    "filter_decimal": lambda db: list(db.Book.filter(price=Decimal("2.5"))),
    "filter_float": lambda db: list(db.Book.filter(rating=0.25)),
    "filter_uuids": lambda db: list(db.Book.filter(isbn__in=[uuid.UUID(int=1), uuid.UUID(int=3)]).order_by("pk")),
    "filter_f": lambda db: list(db.Book.filter(pages__gt=F("rating") * 100).order_by("pk")),
    "filter_f_equal": lambda db: list(db.Book.filter(author_id=F("shelf_id")).order_by("pk")),
    "filter_json": lambda db: list(db.Book.filter(extra__deep__odd=True).order_by("pk")),
    "filter_json_number": lambda db: list(db.Book.filter(extra__number=3)),
    "filter_join": lambda db: list(db.Book.filter(author__name="Ada").order_by("pk")),
    "filter_join_own": lambda db: list(db.Book.filter(author__name="Ada", status="out").order_by("pk")),
    "filter_join_twice": lambda db: list(db.Book.filter(author__country__code="de").order_by("pk")),
    "filter_join_null": lambda db: list(db.Author.filter(biography=None).order_by("pk")),
    "filter_join_or": lambda db: list(db.Book.filter(Q(shelf__label="shelf 2") | Q(pages=None)).order_by("pk")),
    "filter_self": lambda db: list(db.Author.filter(mentor__name="Ada").order_by("pk")),
    "filter_many": lambda db: list(db.Book.filter(tags__name="new").order_by("pk")),
    "filter_many_twice": lambda db: list(
        db.Book.filter(tags__name="new").filter(tags__name="old").order_by("pk").distinct()
    ),
    "filter_through": lambda db: list(db.Book.filter(loans__reader__name="Cyd").order_by("pk")),
    "filter_generic": lambda db: list(db.Book.filter(notes__text="good")),
    "filter_boolean": lambda db: list(db.Loan.filter(returned=False).order_by("pk")),
    "filter_annotation": lambda db: list(
        db.Author.annotate(n=Count("books")).filter(n__gt=1).order_by("pk").values_list("name", "n")
    ),
    "slice": lambda db: list(db.Book.order_by("pk")[2:5]),
    "slice_filtered": lambda db: list(db.Book.filter(author_id=1).order_by("-rating")[:2]),
    "index": lambda db: db.Book.order_by("-pk")[1],
    "order_related": lambda db: list(db.Book.order_by("author__name", "-pk")),
    "order_nulls": lambda db: list(db.Book.order_by(F("pages").desc(nulls_last=True), "pk")),
    "order_expression": lambda db: list(db.Book.order_by(Length("title"), Lower("title").desc())),
    "order_meta": lambda db: list(db.Country.all()),
    "order_reverse": lambda db: list(db.Country.reverse()),
    "first": lambda db: db.Book.first(),
    "first_filtered": lambda db: db.Book.filter(status="out").order_by("-pk").first(),
    "first_none": lambda db: db.Book.filter(status="gone").first(),
    "last": lambda db: db.Book.last(),
    "earliest": lambda db: db.Book.filter(published__isnull=False).earliest("published"),
    "latest": lambda db: db.Book.filter(published__isnull=False).latest("published"),
    "in_bulk": lambda db: db.Book.in_bulk([1, 3, 55]),
    "in_bulk_field": lambda db: db.Author.in_bulk(["Ada", "Zoe"], field_name="name"),
    "iterator": lambda db: list(db.Book.order_by("pk").iterator()),
    "iterator_chunks": lambda db: list(db.Book.order_by("pk").iterator(chunk_size=3)),
    "iterator_values": lambda db: list(db.Book.order_by("pk").values_list("title", flat=True).iterator()),
    "iterator_prefetch": lambda db: list(db.Book.prefetch_related("tags").order_by("pk").iterator(chunk_size=3)),
    "contains": lambda db: db.Book.filter(status="out").contains(Book(pk=2)),
    "none": lambda db: list(db.Book.none()),
    # --- columns
    "values": lambda db: list(db.Book.order_by("pk").values("title", "price", "published")),
    "values_related": lambda db: list(db.Book.order_by("pk").values("author__name", "shelf__label")),
    "values_json": lambda db: list(db.Book.order_by("pk").values("extra__deep", "extra__number")),
    "values_list": lambda db: list(db.Book.order_by("pk").values_list("title", "isbn")),
    "values_flat": lambda db: list(db.Book.order_by("pk").values_list("pk", flat=True)),
    "values_named": lambda db: list(db.Book.order_by("pk").values_list("title", "pages", named=True)),
    "values_grouped": lambda db: list(db.Book.values("status").annotate(n=Count("pk")).order_by("status")),
    "values_group_join": lambda db: list(
        db.Book.values("author__name").annotate(top=Max("price"), n=Count("tags")).order_by("author__name")
    ),
    "only": lambda db: list(db.Book.only("title").order_by("pk")),
    "only_then_load": lambda db: [book.price for book in db.Book.only("title").order_by("pk")[:2]],
    "defer": lambda db: list(db.Book.defer("extra", "title").order_by("pk")),
    "only_related": lambda db: list(db.Book.select_related("author").only("title", "author__name").order_by("pk")),
    "distinct": lambda db: list(db.Book.values_list("status", flat=True).distinct().order_by("status")),
    "dates": lambda db: list(db.Author.dates("born", "year")),
    "datetimes": lambda db: list(db.Book.datetimes("published", "month")),
    # --- annotations
    "annotate": lambda db: list(db.Author.annotate(n=Count("books")).order_by("pk")),
    "annotate_alias": lambda db: list(db.Author.alias(n=Count("books")).filter(n=1).order_by("pk")),
    "annotate_filtered": lambda db: list(
        db.Author.annotate(n=Count("books", filter=Q(books__status="out"))).order_by("pk").values_list("pk", "n")
    ),
    "annotate_case": lambda db: list(
        db.Book.annotate(
            size=Case(When(pages__gte=200, then=Value("big")), When(pages=None, then=None), default=Value("small"))
        )
        .order_by("pk")
        .values_list("title", "size")
    ),
    "annotate_functions": lambda db: list(
        db.Book.annotate(
            shout=Concat(Upper("title"), Value("!"), output_field=CharField()),
            best=Greatest("rating", Value(1.0)),
            known=Coalesce("pages", 0),
            text=Cast("pages", CharField()),
            twice=ExpressionWrapper(F("price") * 2, DecimalField(max_digits=9, decimal_places=2)),
        ).order_by("pk")
    ),
    "annotate_time": lambda db: list(
        db.Book.annotate(month=TruncMonth("published"), year=ExtractYear("published"))
        .order_by("pk")
        .values_list("month", "year")
    ),
    "annotate_span": lambda db: list(
        db.Book.annotate(later=F("published") + dt.timedelta(days=1)).order_by("pk").values_list("later", flat=True)
    ),
    "annotate_subquery": lambda db: list(
        db.Author.annotate(
            newest=Subquery(db.Book.filter(author=OuterRef("pk")).order_by("-published").values("title")[:1])
        ).order_by("pk")
    ),
    "annotate_subquery_ordered_by_join": lambda db: list(
        db.Shelf.annotate(
            name=Subquery(db.Book.filter(shelf=OuterRef("pk")).order_by("author__name", "pk").values("title")[:1])
        ).order_by("pk")
    ),
    "annotate_exists": lambda db: list(db.Book.annotate(lent=Exists(OUTER.using(db.alias))).order_by("pk")),
    "annotate_sum_subquery": lambda db: list(
        db.Author.annotate(
            total=Subquery(
                db.Book.filter(author=OuterRef("pk")).values("author").annotate(s=Sum("pages")).values("s"),
                output_field=IntegerField(),
            )
        )
        .order_by("pk")
        .values_list("name", "total")
    ),
    "annotate_related_filter": lambda db: list(
        db.Author.annotate(out=FilteredRelation("books", condition=Q(books__status="out")))
        .filter(out__isnull=False)
        .order_by("pk", "out__pk")
        .values_list("name", "out__title")
    ),
    "window_rank": lambda db: list(
        db.Book.annotate(
            place=Window(Rank(), partition_by=["author"], order_by=F("rating").desc()),
            row=Window(RowNumber(), order_by=F("pk").asc()),
        )
        .order_by("pk")
        .values_list("title", "place", "row")
    ),
    "window_lag": lambda db: list(
        db.Book.filter(status="out")
        .annotate(before=Window(Lag("title"), order_by=F("pk").asc()))
        .order_by("pk")
        .values_list("before", flat=True)
    ),
    "window_filtered": lambda db: list(
        db.Book.annotate(row=Window(RowNumber(), partition_by="author", order_by=F("pk").asc()))
        .filter(row=1)
        .order_by("pk")
        .values_list("pk", flat=True)
    ),
    # --- subqueries and sets
    "subquery_in": lambda db: list(db.Author.filter(books__in=db.Book.filter(status="out")).distinct().order_by("pk")),
    "subquery_in_values": lambda db: list(
        db.Book.filter(author__in=db.Author.filter(country="fr").values("pk")).order_by("pk")
    ),
    "subquery_sliced": lambda db: list(
        db.Book.filter(pk__in=db.Book.order_by("-rating").values("pk")[:2]).order_by("pk")
    ),
    "subquery_compare": lambda db: list(
        db.Book.filter(
            rating__gte=Subquery(db.Book.values("status").annotate(r=Avg("rating")).values("r")[:1])
        ).order_by("pk")
    ),
    "exists_filter": lambda db: list(db.Book.filter(Exists(OUTER.using(db.alias))).order_by("pk")),
    "not_exists_filter": lambda db: list(
        db.Book.filter(~Exists(OUTER.using(db.alias).filter(reader__name="Cyd"))).order_by("pk")
    ),
    "union": lambda db: list(db.Book.filter(pages=100).union(db.Book.filter(author_id=3)).order_by("pk")),
    "union_all": lambda db: list(db.Book.filter(pages=100).union(db.Book.filter(pages=100), all=True).order_by("pk")),
    "union_values": lambda db: list(
        db.Book.filter(pages=100)
        .values_list("title")
        .union(db.Author.filter(country="de").values_list("name"))
        .order_by("title")
    ),
    "intersection": lambda db: list(
        db.Book.filter(pages=200).intersection(db.Book.filter(status="out")).order_by("pk")
    ),
    "difference": lambda db: list(db.Book.filter(pages=200).difference(db.Book.filter(status="out")).order_by("pk")),
    "union_count": lambda db: db.Book.filter(pages=100).union(db.Book.filter(author_id=3)).count(),
    # --- numbers
    "count": lambda db: db.Book.count(),
    "count_filtered": lambda db: db.Book.filter(author_id=1).count(),
    "count_distinct": lambda db: db.Book.filter(tags__isnull=False).distinct().count(),
    "count_sliced": lambda db: db.Book.order_by("pk")[:3].count(),
    "count_join": lambda db: db.Book.filter(author__country__name="dede").count(),
    "exists": lambda db: db.Book.filter(pages=100).exists(),
    "exists_not": lambda db: db.Book.filter(status=Status.GONE).exists(),
    "aggregate": lambda db: db.Book.aggregate(n=Count("pk"), low=Min("price"), mean=Avg("rating"), total=Sum("pages")),
    "aggregate_filtered": lambda db: db.Book.filter(author_id=1).aggregate(Max("published"), Sum("price")),
    "aggregate_empty": lambda db: db.Book.filter(status="gone").aggregate(Sum("pages"), n=Sum("pages", default=7)),
    "aggregate_over_annotation": lambda db: db.Author.annotate(n=Count("books")).aggregate(Max("n"), Avg("n")),
    "aggregate_over_slice": lambda db: db.Book.order_by("-rating")[:3].aggregate(Sum("pages")),
    "aggregate_deviation": lambda db: db.Book.aggregate(StdDev("rating")),
    # --- related objects
    "select_related": lambda db: list(db.Book.select_related("author__country", "shelf").order_by("pk")),
    "select_related_used": lambda db: related_of(list(db.Book.select_related("author__country").order_by("pk"))),
    "select_related_reverse": lambda db: list(db.Author.select_related("biography").order_by("pk")),
    "prefetch": lambda db: list(db.Author.prefetch_related("books__tags").order_by("pk")),
    "prefetch_object": lambda db: list(
        db.Author.prefetch_related(Prefetch("books", db.Book.filter(status="out"), to_attr="out")).order_by("pk")
    ),
    "prefetch_sliced": lambda db: list(
        db.Author.prefetch_related(Prefetch("books", db.Book.order_by("-pk")[:1], to_attr="newest")).order_by("pk")
    ),
    "prefetch_generic": lambda db: list(db.Note.prefetch_related("about").order_by("pk")),
    "prefetch_notes": lambda db: list(db.Book.prefetch_related("notes").order_by("pk")),
    "prefetch_after": lambda db: with_prefetched(list(db.Book.order_by("pk")), "author", "tags"),
    "reverse_fk": lambda db: list(db.Author.get(name="Ada").books.order_by("pk")),
    "many_to_many": lambda db: list(db.Book.get(pk=4).tags.order_by("name")),
    "many_to_many_reverse": lambda db: list(db.Tag.get(name="new").books.order_by("pk")),
    "many_through": lambda db: list(db.Author.get(name="Cyd").borrowed.order_by("pk")),
    "many_filtered": lambda db: list(db.Book.get(pk=4).tags.filter(name="old")),
    "many_count": lambda db: db.Book.get(pk=4).tags.count(),
    "generic_relation": lambda db: list(db.Book.get(pk=1).notes.all()),
    "content_type": lambda db: db.ContentType.get(app_label="testapp", model="book").model,
    # --- inheritance
    "child": lambda db: list(db.Library.order_by("pk")),
    "child_get": lambda db: db.Archive.get(name="Deep"),
    "child_by_parent": lambda db: list(db.Archive.filter(city="Köln", seats=2)),
    "child_by_own": lambda db: list(db.Library.filter(open=True).order_by("pk")),
    "parent": lambda db: list(db.Place.order_by("pk")),
    "parent_to_child": lambda db: db.Place.get(name="Town").library,
    "parents_joined": lambda db: list(db.Place.select_related("library__archive").order_by("pk")),
    "child_count": lambda db: db.Library.filter(city="Ulm").count(),
    "child_many": lambda db: list(db.Archive.get(name="Deep").books.order_by("pk")),
    "proxy": lambda db: list(db.ShortBook.filter(pages=100).order_by("pk")),
    "proxy_get": lambda db: db.ShortBook.get(pk=2),
}

if django.VERSION < (6, 1):  # where it was deprecated
    READS["select_related_all"] = lambda db: list(db.Loan.select_related().order_by("pk"))

ON_POSTGRES = {"distinct_on": lambda db: list(db.Book.order_by("author", "-rating").distinct("author"))}


def reads_for(vendor: str) -> dict[str, Callable[[str], Any]]:
    """Return the reads that a kind of database answers, each of an alias; what is not found is a result too."""
    reads = READS | ON_POSTGRES if vendor == "postgresql" else READS
    return {name: lambda alias, read=read: attempt(lambda: read(Readers(alias))) for name, read in reads.items()}
