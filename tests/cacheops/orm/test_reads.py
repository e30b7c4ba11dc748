"""Every shape of query: the first time from the database, then from the cache, the same to the last type."""

from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import Any

import pytest
from django.db import connections
from django.test import override_settings

from cacheops.reading.options import bypassed
from tests.cacheops.orm.conftest import DATABASES
from tests.testapp import world
from tests.testapp.cached import from_database, statements
from tests.testapp.compare import plain
from tests.testapp.managers import fastpath_app
from tests.testapp.models import Author, Book, Shelf, Tag
from tests.testapp.queries import ON_POSTGRES, READS, reads_for
from tests.testapp.world import NOON

pytestmark = pytest.mark.django_db(databases="__all__")

# Django itself asks nothing, or remembers; or another read has asked the same before.
NO_SQL = {"none", "content_type", "reverse_fk", "iterator", "iterator_chunks"}
CASES = [pytest.param("default", name, marks=pytest.mark.servers) for name in READS | ON_POSTGRES]
CASES += [pytest.param("other", name) for name in READS]


@dataclass
class Seen:
    """What one read gave: the database's answer, the cache's, and the statements of each try."""

    expected: Any
    first: Any = None
    second: Any = None
    statements: list[list[str]] = field(default_factory=list)
    expected_after: Any = None
    after: Any = None


@pytest.fixture(scope="module", params=[nullcontext, fastpath_app])
def seen(request: Any, django_db_setup: None, django_db_blocker: Any) -> Iterator[dict[tuple[str, str], Seen]]:
    """Run every read three times in both databases, the third time after everything has changed."""
    found = {}
    with request.param(), django_db_blocker.unblock(), override_settings(CACHEOPS_PREFIX=f"t-{request.param.__name__}"):
        for alias in DATABASES:
            world.empty(alias)
            world.fill(alias)
            reads = reads_for(connections[alias].vendor)
            for name, read in reads.items():
                found[alias, name] = twice(alias, read)
            change_everything(alias)
            for name, read in reads.items():
                found[alias, name].after = plain(read(alias))
                with bypassed():
                    found[alias, name].expected_after = plain(read(alias))
            world.empty(alias)
        yield found


def twice(alias: str, read: Any) -> Seen:
    result = Seen(from_database(lambda: read(alias)))
    for name in ("first", "second"):
        with statements(alias) as ran:
            setattr(result, name, plain(read(alias)))
        result.statements.append(ran)
    return result


def change_everything(database: str) -> None:
    """Change each table that has rows in the results: values, keys of relations, rows."""
    books = Book.objects.using(database)
    books.filter(pk=1).update(title="Changed", author_id=3)
    book = books.get(pk=2)
    book.pages, book.status, book.published = 200, "draft", NOON
    book.save()
    books.create(title="One more", author_id=1, status="out", pages=100, extra={"number": 3})
    books.filter(pk=4).delete()
    Author.objects.using(database).filter(name="Ada").update(born="1955-06-07", country="pl")
    Shelf.objects.using(database).filter(pk=2).update(label="renamed")
    Tag.objects.using(database).get(name="new").delete()


@pytest.mark.parametrize(("alias", "name"), CASES)
def test_the_second_read_is_a_hit_with_an_equal_result(alias: str, name: str, seen: Any) -> None:
    result = seen[alias, name]
    assert result.first == result.expected
    assert result.second == result.expected
    first, second = result.statements
    assert first or name in NO_SQL
    assert second == []


@pytest.mark.parametrize(("alias", "name"), CASES)
def test_a_read_after_a_change_is_the_databases(alias: str, name: str, seen: Any) -> None:
    assert seen[alias, name].after == seen[alias, name].expected_after


def test_instances_of_a_hit_are_one_readers_own(library: str) -> None:
    books = Book.objects.using(library).order_by("pk")
    list(books.all())
    mine = list(books.all())
    mine[0].extra["changed"] = True
    assert all("changed" not in book.extra for book in books.all())


@pytest.mark.servers
@pytest.mark.parametrize("database", ["default"])
def test_the_order_of_a_combined_querys_part_is_a_dependency(library: str) -> None:
    """Django compiles such parts as copies: a join that only their order makes is in the SQL, not in the query."""
    authors = Author.objects.using(library)
    authors.filter(name="Cyd").update(mentor=authors.get(name="Bob"))

    def first() -> list[Any]:
        part = authors.filter(name__in=["Bob", "Cyd"]).order_by("mentor__name")[:1]
        return list(part.union(authors.filter(name="nobody"), all=True).values_list("name", flat=True))

    assert first() == first() == ["Bob"]
    authors.filter(name="Ada").update(name="Zed")
    assert first() == ["Cyd"]
