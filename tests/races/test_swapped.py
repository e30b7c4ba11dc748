"""Entries that lie under another's key, whatever brought them there: misses."""

import pytest

from cacheops.queryset import keys_of
from cacheops.regions import regions
from cacheops.stores.base import EncodedEntry
from tests.testapp.cached import is_hit
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
