"""explain(queryset): cached or not, why, its tags, what would invalidate it."""

from typing import Any

import pytest
from django.db import transaction
from django.db.models.query import MAX_GET_RESULTS
from django.test import TransactionTestCase

import cacheops
from cacheops.regions import regions
from cacheops.testing import CacheAssertions, assert_misses
from tests.testapp.models import Author, Book

pytestmark = pytest.mark.django_db(transaction=True)


def test_a_query_that_nobody_has_read_is_a_miss_and_then_a_hit() -> None:
    query = Author.objects.filter(name="Ada")
    before = cacheops.explain(query)
    assert (before.verdict, before.operation, before.is_cached) == ("miss", "fetch", True)
    with assert_misses(1):
        list(query)
    found = cacheops.explain(query)
    assert found.verdict == "hit"
    assert [found.key, *found.tags] == cacheops.keys_of(query)
    assert found.timeout > 0


def test_it_names_the_writes_that_invalidate() -> None:
    found = cacheops.explain(Book.objects.filter(author_id=3))
    assert found.invalidated_by == ("a write to a row of testapp_book with author_id=3",)
    assert cacheops.explain(Book.objects.all()).invalidated_by == ("any write to testapp_book",)


def test_what_a_write_has_changed_is_a_miss_with_its_tag() -> None:
    author = Author.objects.create(name="Ada")
    query = Author.objects.filter(pk=author.pk)
    list(query)
    author.name = "Grace"
    author.save()
    found = cacheops.explain(query)
    assert found.verdict == "miss"
    assert "is gone" in found.why


@pytest.mark.parametrize(
    ("query", "why"),
    [
        (lambda: Author.objects.order_by("?"), "can't be known"),
        (lambda: Author.objects.select_for_update(), "can't be known"),
        (lambda: Author.objects.extra(where=["1=1"]), "can't be known"),
    ],
)
def test_what_is_not_cached_says_why(query: Any, why: str) -> None:
    found = cacheops.explain(query())
    assert (found.verdict, found.is_cached) == ("bypass", False)
    assert why in found.why


def test_a_block_and_a_transaction_that_wrote_are_bypasses() -> None:
    with cacheops.bypassed():
        assert "bypassed()" in cacheops.explain(Author.objects.all()).why
    with transaction.atomic():
        Author.objects.create(name="Ada")
        assert cacheops.explain(Author.objects.all()).verdict == "bypass"


def test_a_get_is_told_from_a_fetch() -> None:
    assert cacheops.explain(Author.objects.filter(pk=1)[:MAX_GET_RESULTS]).operation == "get"


def test_printed_it_is_text() -> None:
    text = str(cacheops.explain(Author.objects.filter(name="read by no other test")))
    assert text.startswith("testapp.Author, fetch: miss. ")
    assert "ends with " in text


def test_a_region_that_does_not_answer_leaves_the_state_unknown(settings: Any) -> None:
    settings.CACHES = {"default": {"BACKEND": "cacheops.backends.RegionCache", "LOCATION": "redis://127.0.0.1:1/0"}}
    settings.CACHEOPS_REGIONS, settings.CACHEOPS_LOCAL_REGION = ("default",), "default"
    found = cacheops.explain(Author.objects.all())
    regions.reset()
    assert found.verdict == "unknown"
    assert found.is_cached


class NamedAsDjangosAre(CacheAssertions, TransactionTestCase):
    def test_hits_and_misses_are_counted(self) -> None:
        with self.assertNumCacheMisses(1):
            list(Author.objects.filter(name="Joan"))
        with self.assertNumCacheHits(1):
            list(Author.objects.filter(name="Joan"))
        with pytest.raises(AssertionError), self.assertNumCacheHits(1):
            list(Author.objects.filter(name="Nobody"))
