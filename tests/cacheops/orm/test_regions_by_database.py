"""CACHEOPS_REGIONS by database: a write is marked in the regions that cache its database, and others don't read it."""

from typing import Any

import pytest
from django.db import connections

from cacheops.orm.samples import RowsOf
from cacheops.patterns.aside import CacheAsideManager
from cacheops.patterns.write_through import WriteThroughCache
from cacheops.reading.policy import Bypass, decide
from cacheops.regions import regions
from tests.testapp.cached import is_hit, keys_held, statements
from tests.testapp.models import Book, Shelf

pytestmark = pytest.mark.django_db(databases=["default", "other"])
KINDS = ("t", "r", "e")
MEMORY = "cacheops.backends.MemoryCache"


@pytest.fixture
def two_regions(settings: Any, library: str) -> str:
    """Let `home` cache the library's database, and `far` another one; return the library's alias."""
    settings.CACHES = {
        **settings.CACHES,
        "home": {"BACKEND": MEMORY, "LOCATION": "home"},
        "far": {"BACKEND": MEMORY, "LOCATION": "far"},
    }
    another = {"default": "other", "other": "default"}[library]
    settings.CACHEOPS_REGIONS = {library: ("home",), another: ("far",)}
    settings.CACHEOPS_LOCAL_REGION = "home"
    return library


@pytest.fixture
def far_away(settings: Any, two_regions: str) -> None:
    """Let the far region have servers that nobody reaches."""
    lost = {"BACKEND": "cacheops.backends.RegionCache", "LOCATION": ["redis://127.0.0.1:1/0"]}
    options = {"CLIENT_CLASS": "cacheops.backends.PairClient"}
    settings.CACHES = {**settings.CACHES, "far": {**lost, "OPTIONS": options}}


def write_in_every_way(database: str) -> None:
    book = Book.objects.using(database).get(pk=1)
    book.title = "Optimistic"
    book.save()
    Book.objects.using(database).filter(pk=2).update(title="Transaction")
    Book.objects.using(database).filter(pk=3).update(title="Gone")
    with connections[database].cursor() as cursor:
        cursor.execute("UPDATE testapp_book SET title = 'Raw' WHERE id = 4")


def test_a_write_goes_to_the_regions_that_cache_its_database(two_regions: str) -> None:
    def titles() -> list[str]:
        return list(Book.objects.using(two_regions).order_by("pk").values_list("title", flat=True))

    titles()
    assert is_hit(two_regions, titles)
    write_in_every_way(two_regions)
    assert not is_hit(two_regions, titles)
    assert titles()[:4] == ["Optimistic", "Transaction", "Gone", "Raw"]
    assert keys_held(regions["home"].store, *KINDS)
    assert keys_held(regions["far"].store, *KINDS) == []


def test_a_region_reads_what_it_does_not_cache_from_the_database(settings: Any, two_regions: str) -> None:
    settings.CACHEOPS_LOCAL_REGION = "far"
    calls: list[str] = []
    aside = CacheAsideManager()

    def by_name() -> Any:
        depends_on = [RowsOf(Book, {"id": 1}, using=two_regions)]
        return aside.get_or_set("book:1", lambda: calls.append("call"), 60, depends_on=depends_on)

    def fast() -> int:
        return Book.objects.using(two_regions).get(pk=1).pk

    def compiled() -> int:
        return Book.objects.using(two_regions).exclude(pk=1).count()

    for read in (fast, compiled):
        read()
        assert not is_hit(two_regions, read)
    by_name()
    by_name()
    assert calls == ["call", "call"]
    connection: Any = connections[two_regions]
    assert decide(Book, "get", connection.cacheops) is Bypass.REGION
    assert keys_held(regions["far"].store, *KINDS) == []


def test_what_depends_on_no_database_is_kept_in_every_region(settings: Any, two_regions: str) -> None:
    settings.CACHEOPS_LOCAL_REGION = "far"
    aside = CacheAsideManager()
    assert aside.get_or_set("constant", lambda: 1, 60) == 1
    assert aside.get_or_set("constant", lambda: 2, 60) == 1


@pytest.mark.usefixtures("far_away")
def test_a_region_that_does_not_cache_a_database_refuses_none_of_its_writes(settings: Any, two_regions: str) -> None:
    settings.CACHEOPS_ON_UNREACHABLE = "strict"
    write_in_every_way(two_regions)
    assert Book.objects.using(two_regions).get(pk=4).title == "Raw"
    assert regions["far"].breaker.failures == 0  # it was not asked for its conditions either


@pytest.mark.usefixtures("far_away")
def test_a_save_takes_the_short_way_while_such_a_region_fails(two_regions: str) -> None:
    connection: Any = connections[two_regions]
    book = Book.objects.using(two_regions).get(pk=1)
    regions["far"].breaker.failed()
    with statements(two_regions) as ran:
        book.save()
    assert "clock_timestamp()" in ran[-1] or not connection.cacheops.commits_each()


def test_rows_are_written_through_to_the_regions_that_cache_them(two_regions: str) -> None:
    through = WriteThroughCache(Shelf, "shelf:{}".format, 60, using=two_regions)
    assert through.refresh([1, 2]) == 2
    assert keys_held(regions["home"].store, "e")
    assert keys_held(regions["far"].store, *KINDS) == []
