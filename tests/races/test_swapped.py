"""Entries that lie under another's key, or whose rows don't fit, whatever brought them there: misses."""

from collections.abc import Callable
from typing import Any

import pytest
from django.db.models import Max, Min

from cacheops import stale_ok
from cacheops.encoding.rows import decode, encode
from cacheops.instrumentation.counters import counters
from cacheops.protocol.keys import ENTRY
from cacheops.queryset import keys_of
from cacheops.regions import regions
from cacheops.stores.base import EncodedEntry
from tests.testapp.cached import is_hit, keys_held
from tests.testapp.compare import plain
from tests.testapp.models import Book

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("books")]


def test_entries_with_equal_versions_are_not_taken_for_one_another() -> None:
    """Both depend on the same tag, so their versions agree."""
    queries = [Book.objects.filter(pages__gt=0).order_by(order).values_list("title") for order in ("pk", "-pk")]
    expected = [list(query.all()) for query in queries]
    assert expected[0] != expected[1]
    assert all(is_hit("default", lambda query=query: list(query.all())) for query in queries)
    store, keys = regions.local.store, [keys_of(query)[0] for query in queries]
    payloads = [payload for payload in store.read(keys) if payload is not None]
    swapped = zip(keys, reversed(payloads), strict=True)
    store.fill([EncodedEntry(key, payload, 60.0) for key, payload in swapped]).result()
    assert [list(query.all()) for query in queries] == expected


def drop_a_column(key: str) -> None:
    """Leave in a valid entry rows that lack their last column, as a process with another table would have them."""
    store = regions.local.store
    payload = store.read([key])[0]
    assert payload is not None
    entry = decode(payload, key)
    rows = [row[:-1] for row in entry.rows()]
    made = encode(rows, entry.versions, entry.made_at, entry.expires_at, entry.load_seconds, key)
    store.fill([EncodedEntry(key, made, 60.0)]).result()


# Reads by every way on which rows become results, and how many they are.
READS: dict[str, Callable[[], Any]] = {
    "instances": lambda: list(Book.objects.filter(pages__gt=0).order_by("pk")),
    "one": lambda: Book.objects.get(pk=1),
    "values": lambda: list(Book.objects.filter(pages__gt=3).values()),
    "values_of_many": lambda: list(Book.objects.exclude(pages=0).values("pk", "title")),
    "aggregates": lambda: Book.objects.filter(status="in").aggregate(Max("pages"), Min("pages")),
    "combined": lambda: list(Book.objects.filter(pk=1).union(Book.objects.filter(pk=2)).order_by("pk")),
    "parts": lambda: list(Book.objects.filter(pages__gt=1).iterator()),
    "outdated": lambda: list(Book.objects.filter(pages__gt=2).cache(level=stale_ok(60))),
}


@pytest.mark.parametrize("name", READS)
def test_an_entry_whose_rows_lack_a_column_is_a_counted_miss(name: str) -> None:
    read = READS[name]
    expected = read()
    assert is_hit("default", read)
    held = keys_held(regions.local.store, ENTRY)
    assert len(held) == 1
    drop_a_column(held[0])
    before = counters.total("corrupt")
    assert plain(read()) == plain(expected)
    assert counters.total("corrupt") > before
    assert is_hit("default", read)


@pytest.mark.parametrize("name", ["count", "count_filtered", "exists", "empty", "aggregate"])
def test_entries_of_one_column_or_none_are_hits(name: str) -> None:
    reads: dict[str, Callable[[], Any]] = {
        "count": Book.objects.all().count,
        "count_filtered": lambda: Book.objects.filter(status="in").count(),
        "exists": Book.objects.filter(pages__gt=0).exists,
        "empty": lambda: list(Book.objects.filter(pages=-1)),
        "aggregate": lambda: Book.objects.aggregate(Max("pages")),
    }
    for _ in range(2):
        reads[name]()
    assert is_hit("default", reads[name])
