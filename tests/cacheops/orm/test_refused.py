"""Where Django refuses a query, a hit is refused as well: the same code would fail on the next miss. And no more."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.core.exceptions import FieldError, SynchronousOnlyOperation
from django.db import connections
from django.db.models import F
from django.test import SimpleTestCase
from django.test.testcases import DatabaseOperationForbidden

from cacheops import cached_as
from tests.testapp.cached import is_hit
from tests.testapp.models import Author, Book

pytestmark = pytest.mark.django_db


@cached_as(Author)
def count_authors() -> int:
    return Author.objects.count()


READS: dict[str, Callable[[], Any]] = {
    "get": lambda: Book.objects.filter(pk=1).first(),
    "list": lambda: list(Book.objects.filter(author_id=1)),
    "values": lambda: list(Book.objects.filter(author_id=1).values("title")),
    "count": lambda: Book.objects.filter(author_id=1).count(),
    "plain": lambda: list(Author.objects.all()),
    "function": count_authors,
}


@pytest.fixture(params=READS)
def hit(request: pytest.FixtureRequest) -> Callable[[], Any]:
    read = READS[request.param]
    read()
    read()
    assert is_hit("default", read)
    return read


async def run(read: Callable[[], Any]) -> Any:
    return read()


def test_in_a_coroutine(hit: Callable[[], Any]) -> None:
    with pytest.raises(SynchronousOnlyOperation):
        asyncio.run(run(hit))
    assert asyncio.run(sync_to_async(in_a_thread)(hit)) == hit()


def in_a_thread(read: Callable[[], Any]) -> Any:
    try:
        return read()
    finally:
        connections.close_all()  # the thread stays


def test_in_a_coroutine_where_the_project_allows_it(hit: Callable[[], Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "1")
    assert asyncio.run(run(hit)) == hit()


def test_in_a_test_case_without_database(hit: Callable[[], Any]) -> None:
    class Case(SimpleTestCase):
        databases: Any = set()

    Case._add_databases_failures()
    try:
        assert "cursor" in vars(connections["default"])
        with pytest.raises(DatabaseOperationForbidden):
            hit()
    finally:
        Case._remove_databases_failures()
    hit()


def test_what_django_answers_without_a_query_is_not_refused() -> None:
    assert asyncio.run(run(lambda: list(Book.objects.none().values("title")))) == []
    assert asyncio.run(run(lambda: list(Book.objects.filter(pk__in=[])))) == []
    assert asyncio.run(run(lambda: Book.objects.filter(pk__in=[]).count())) == 0
    with pytest.raises(FieldError, match="Cannot infer type"):
        asyncio.run(run(lambda: list(Book.objects.annotate(wrong=F("title") + F("published")))))
