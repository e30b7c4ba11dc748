"""Which reads go past the cache though no setting asks for it: counted by reason and function, and shown."""

import json
from io import StringIO
from typing import Any

import pytest
from django.core.management import call_command
from django.db import transaction
from django.db.models.functions import Now

from cacheops import bypassed, cached_as
from cacheops.monitoring import stats
from cacheops.monitoring.recorder import flusher
from cacheops.monitoring.stats import NotCached
from cacheops.reading import not_cached
from cacheops.reading.not_cached import places
from cacheops.reading.policy import Bypass
from tests.testapp.models import Author, Book

pytestmark = [
    pytest.mark.django_db(databases=["default", "other"], transaction=True),
    pytest.mark.parametrize("region", ["memory"], indirect=True),
]
HERE = __name__
BOOKS = Book.objects.using("other")


@pytest.fixture(autouse=True)
def no_places(region: str) -> None:
    places.known.clear()


def published() -> list[Book]:
    return list(BOOKS.filter(published__lt=Now()))


@cached_as(Author.objects.using("other"))
def answer() -> int:
    return 42


def counted(region: str) -> list[NotCached]:
    assert flusher.flush()
    return stats.usage(region).not_cached


def test_reads_are_counted_by_reason_and_function_most_often_first(region: str) -> None:
    def count_in_a_snapshot() -> None:
        with transaction.atomic("other"):
            assert (answer(), Author.objects.using("other").count()) == (42, 0)

    count_in_a_snapshot()
    for _ in range(3):
        published()

    inside = f"{HERE}.{count_in_a_snapshot.__qualname__}"
    found = counted(region)
    assert found == [
        NotCached("testapp.book", "fetch", "QUERY", f"{HERE}.published", 3),
        NotCached("testapp.author", "count", "SNAPSHOT", inside, 1),
        NotCached(f"{HERE}.answer", "call", "SNAPSHOT", inside, 1),
    ]
    assert found[0].why == Bypass.QUERY


def test_what_the_cache_answers_or_is_kept_from_it_on_purpose_is_not(region: str, settings: Any) -> None:
    for _ in range(2):
        list(BOOKS.all())
    list(BOOKS.nocache())
    with bypassed():
        published()
    settings.CACHEOPS = {**settings.CACHEOPS, "testapp.book": None}
    published()
    assert counted(region) == []


def test_operations_that_a_profile_leaves_out_are_counted_without_a_function(region: str, settings: Any) -> None:
    settings.CACHEOPS = {**settings.CACHEOPS, "testapp.book": {"ops": {"get"}, "timeout": 60}}
    for _ in range(2):
        BOOKS.count()
    assert counted(region) == [NotCached("testapp.book", "count", "OPERATION", "", 2)]


def test_functions_beyond_the_bound_have_no_name(region: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(not_cached, "MAX_PLACES", 1)
    for _ in range(2):
        published()
        list(BOOKS.order_by("?"))
    assert [(one.place, one.reads) for one in counted(region)] == [("", 2), (f"{HERE}.published", 2)]


def test_the_command_shows_them(region: str) -> None:
    published()
    text, values = StringIO(), StringIO()
    call_command("cache_stats", region=region, stdout=text)
    call_command("cache_stats", region=region, json=True, stdout=values)

    assert "testapp.book, fetch" in text.getvalue()
    assert "query: What this query depends on can't be known" in text.getvalue()
    shown = json.loads(values.getvalue())["regions"][0]["last_24_hours"]["not_cached"]
    place = f"{HERE}.published"
    assert shown == [{"model": "testapp.book", "operation": "fetch", "reason": "QUERY", "place": place, "reads": 1}]
