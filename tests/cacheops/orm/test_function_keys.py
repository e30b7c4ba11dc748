"""Calls of cached functions that differ have keys that differ, and equal calls have one."""

import dataclasses
import datetime as dt
import enum
import re
from typing import Any

import pytest
from django.contrib.auth.models import AnonymousUser
from django.db.models import Count, F, Prefetch, Q
from django.http import QueryDict
from django.test import RequestFactory
from django.utils.functional import SimpleLazyObject
from django.utils.safestring import mark_safe

from cacheops import cached
from cacheops.exceptions import InvalidKey
from tests.testapp.cached import statements
from tests.testapp.models import Author, Book, Country, Tag

pytestmark = pytest.mark.django_db(databases="__all__")


@cached(timeout=60)
def taken(value: Any) -> Any:
    return value


class Color(enum.Enum):
    RED = 1


class Size(enum.IntEnum):
    ONE = 1


@dataclasses.dataclass
class Point:
    x: int
    hidden: Any = dataclasses.field(repr=False, default=None)


class Named:
    def __init__(self, name: str) -> None:
        self.name = name

    def __repr__(self) -> str:
        return f"Named({self.name!r})"


# --- arguments --------------------------------------------------------------------------------------------------------

DIFFERENT: tuple[Any, ...] = (
    1,
    True,
    1.0,
    "1",
    b"1",
    None,
    2**80,
    2**80 + 1,
    Size.ONE,
    Color.RED,
    mark_safe("1"),
    "\udc80",
    [1],
    (1,),
    {1},
    [[1, 2]],
    {1: 2},
    {"a": 1, "b": 2},
    dt.date(2026, 1, 1),
    dt.datetime(2026, 1, 1),
    dt.datetime(2026, 1, 1, tzinfo=dt.UTC),
    QueryDict("a=1&a=2"),
    QueryDict("a=2"),
    re.compile("a" * 300),
    re.compile("a" * 301),
    Point(1),
    Point(1, 2),
    Named("a"),
    Named("b"),
    memoryview(b"ab"),
    memoryview(b"ac"),
    AnonymousUser(),
    Point,
    Named,
    len,
    sum,
    [].append,
    F("a"),
    Q(a=1),
    Q(a=2),
    ~Q(a=1),
    Count("a"),
    Count("a", distinct=True),
)


def test_values_that_differ_have_keys_of_their_own() -> None:
    keys = [taken.key(value) for value in DIFFERENT]
    shared = [
        (one, other) for i, one in enumerate(DIFFERENT) for j, other in enumerate(DIFFERENT[:i]) if keys[i] == keys[j]
    ]
    assert not shared
    assert keys == [taken.key(value) for value in DIFFERENT]


def test_what_is_lazy_is_known_by_what_it_is() -> None:
    for value in (AnonymousUser(), Named("a"), Country(code="de")):
        assert taken.key(SimpleLazyObject(lambda value=value: value)) == taken.key(value)


def test_instances_are_known_by_database_and_primary_key(library: str) -> None:
    other = {"default": "other", "other": "default"}[library]
    one, two = Author.objects.using(library).order_by("pk")[:2]
    copy = Author(pk=one.pk, name=one.name)
    copy._state.adding, copy._state.db = False, other
    assert len({taken.key(author) for author in (one, two, copy)}) == 3
    assert taken.key(one) == taken.key(Author.objects.using(library).get(pk=one.pk))


def test_unsaved_instances_are_known_by_their_values(library: str) -> None:
    keys = {taken.key(author) for author in (Author(name="a"), Author(name="b"), Author(name="a", born=dt.date.min))}
    assert len(keys) == 3
    assert taken.key(Country(code="zz", name="a")) != taken.key(Country(code="zz", name="b"))
    assert taken.key(Author(name="a")) == taken.key(Author(name="a"))
    one, two = Tag.objects.using(library).create(name="one"), Tag.objects.using(library).create(name="two")
    one.delete(), two.delete()
    assert taken.key(one) != taken.key(two)


def test_querysets_are_known_by_their_query(library: str) -> None:
    tags = Tag.objects.using(library)
    tags.bulk_create(Tag(name=f"tag-{number}") for number in range(25))
    books = Book.objects.using(library)
    authors = Author.objects.using(library)
    found: tuple[Any, ...] = (
        tags.order_by("name"),
        tags.order_by("name").exclude(name="tag-24"),  # as the other, up to the end of its repr
        tags.filter(name="a"),
        tags.filter(pk__in=[]),
        tags.values("name"),
        tags.values_list("name"),
        tags.values_list("name", flat=True),
        tags.prefetch_related("books"),
        tags.prefetch_related(Prefetch("books", books.filter(pk=1))),
        tags.prefetch_related(Prefetch("books", books.filter(pk=2))),
        books.filter(extra={"long": "x" * 2000, "end": 1}),
        books.filter(extra={"long": "x" * 2000, "end": 2}),
        books.filter(author=authors.order_by("pk")[0]),
        Tag.objects.raw("SELECT * FROM testapp_tag", using=library),
        Tag.objects.raw("SELECT * FROM testapp_tag WHERE id = %s", [1], using=library),
        Tag.objects.raw("SELECT * FROM testapp_tag WHERE id = %s", [2], using=library),
    )
    with statements(library) as ran:
        keys = [taken.key(value) for value in found]
        assert taken.key(tags.all()) == taken.key(tags)
    assert [sql for sql in ran if "testapp_tag" in sql] == []
    assert len(set(keys)) == len(keys)
    assert taken.key(Tag.objects.using("default").all()) != taken.key(Tag.objects.using("other").all())


class Service:
    @cached(timeout=60)
    def answer(self) -> int:
        return 1


NOTHING_TELLS = {
    "object": lambda: taken(object()),
    "within": lambda: taken([{"a": object()}]),
    "in a dataclass": lambda: taken(Point(1, object())),
    "generator": lambda: taken(one for one in ()),
    "method": lambda: Service().answer(),
    "itself": lambda: taken(_endless()),
}


def _endless() -> list[Any]:
    result: list[Any] = []
    result.append(result)
    return result


@pytest.mark.parametrize("name", NOTHING_TELLS)
def test_an_argument_that_nothing_tells_from_others_is_named(name: str) -> None:
    with pytest.raises(InvalidKey, match=r"has no key for its argument '(value|self)'"):
        NOTHING_TELLS[name]()


def test_what_can_be_no_extra_is_named_when_the_function_is_decorated() -> None:
    for extra in (object(), [object()], _endless()):
        with pytest.raises(InvalidKey, match="'extra'"):
            cached(timeout=60, extra=extra)(len)
    assert cached(timeout=60, extra=Book.objects.all())(len)


NOT_GIVEN = object()


def test_a_default_may_be_an_object_that_nothing_tells_from_others() -> None:
    @cached(timeout=60, key="a default")
    def found(name: str, default: object = NOT_GIVEN) -> object:
        return name if default is NOT_GIVEN else default

    assert found.key("a") == found.key("a", NOT_GIVEN) != found.key("a", None)
    with pytest.raises(InvalidKey, match="'default'"):
        found.key("a", object())


class Wrapped:
    """As Django REST framework's: another class, with the request's attributes."""

    def __init__(self, request: Any) -> None:
        self.request = request

    def __getattr__(self, name: str) -> Any:
        return getattr(self.request, name)


def test_requests_are_known_by_method_address_and_who_asks() -> None:
    ask = RequestFactory()
    told = ({"host": "other"}, {"cookie": "a=b"}, {"authorization": "b"}, {"hx-request": "true"})
    requests = (ask.get("/a"), ask.head("/a"), ask.get("/a?b=1"), ask.get("/a", REMOTE_USER="ann"))
    requests += tuple(ask.get("/a", headers=headers) for headers in told)
    for wrap in (lambda request: request, Wrapped):
        assert len({taken.key(wrap(request)) for request in requests}) == len(requests)
    assert taken.key(ask.get("/a")) == taken.key(ask.get("/a", headers={"user-agent": "a"}))
