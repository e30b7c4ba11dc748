"""What warming fills is what readers look for: the next read makes no query, and a write is seen by the one after."""

from functools import partial

import pytest
from django.db.models import Count

from cacheops import bypassed
from cacheops.regions import regions
from cacheops.warming import Reads, Rows
from cacheops.warming.fanout import RegionFanout
from cacheops.warming.registry import model_warmer
from tests.testapp.cached import is_hit
from tests.testapp.models import Author, Book, Loan, ShortBook, Tag

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("books")]

ALL = ("us-east-1", "us-west-2", "us-east-2")


@pytest.mark.servers
def test_rows_are_found_by_primary_key_unique_field_and_foreign_key(make_fanout):
    with bypassed():
        isbn = Book.objects.get(pk=1).isbn
        loan = Loan.objects.filter(book_id=1).first() or Loan(book_id=1)
    fanout = make_fanout()
    Rows(Book, [1, 2], "default", by=("isbn",)).warm(fanout)
    fanout.close()
    assert fanout.outcomes["us-east-1"].warmed == 4
    assert is_hit("default", lambda: Book.objects.get(pk=1))
    assert is_hit("default", lambda: Book.objects.get(id=2))
    assert is_hit("default", lambda: Book.objects.get(isbn=isbn))
    assert is_hit("default", lambda: loan.book)
    Book.objects.filter(pk=1).update(title="new")
    assert Book.objects.get(pk=1).title == Book.objects.get(isbn=isbn).title == "new"


@pytest.mark.parametrize("model", [Author, Tag, ShortBook])
def test_a_warmed_instance_is_the_databases(model, make_fanout):
    with bypassed():
        rows = list(model.objects.all())
    fanout = make_fanout()
    for task in model_warmer(model).tasks([row.pk for row in rows]):
        task.warm(fanout)
    fanout.close()
    for expected in rows:
        assert is_hit("default", lambda pk=expected.pk: model.objects.get(pk=pk))
        found = model.objects.get(pk=expected.pk)
        assert vars(found) | {"_state": 0} == vars(expected) | {"_state": 0}
        assert type(found) is type(expected)


def test_what_is_gone_or_was_never_there_is_left_out(make_fanout):
    fanout = make_fanout()
    Rows(Book, [1, 999], "default").warm(fanout)
    fanout.close()
    outcome = fanout.outcomes["us-east-1"]
    assert (outcome.warmed, outcome.skipped) == (1, 1)
    with pytest.raises(Book.DoesNotExist):
        Book.objects.get(pk=999)


def test_what_is_warm_is_left_as_it_is(make_fanout):
    first, second = make_fanout(), make_fanout()
    for fanout in (first, second):
        Rows(Book, [1, 2], "default").warm(fanout)
        fanout.close()
    assert second.outcomes["us-east-1"].already_warm == 2
    assert second.outcomes["us-east-1"].warmed == 0


def page(shelf):
    """Read as a page does: what comes later depends on what came before."""
    books = list(Book.objects.filter(shelf_id=shelf).order_by("pk"))
    counts = list(Book.objects.values("status").annotate(number=Count("pk")).order_by("status"))
    authors = [book.author.name for book in books]
    return books, counts, authors, Book.objects.filter(shelf_id=shelf).count(), Tag.objects.filter(name="x").exists()


def test_whatever_a_call_reads_is_there_afterwards(make_fanout):
    fanout = make_fanout()
    Reads([partial(page, shelf) for shelf in (1, 2, 3)]).warm(fanout)
    fanout.close()
    assert fanout.outcomes["us-east-1"].warmed >= 9
    for shelf in (1, 2, 3):
        assert is_hit("default", lambda shelf=shelf: page(shelf))


def test_an_iterator_is_warmed_too(make_fanout):
    def read():
        return list(Book.objects.order_by("pk").iterator())

    fanout = make_fanout()
    Reads([read]).warm(fanout)
    fanout.close()
    assert is_hit("default", read)


@pytest.mark.servers
def test_all_regions_are_filled_by_one_load(make_fanout, settings, django_assert_max_num_queries):
    settings.CACHEOPS_REGIONS = ALL
    fanout = make_fanout(*ALL)
    with django_assert_max_num_queries(2):  # the rows, and the keys of unique fields
        Rows(Book, [1, 2], "default", by=("isbn",)).warm(fanout)
    fanout.close()
    assert {name: outcome.warmed for name, outcome in fanout.outcomes.items()} == dict.fromkeys(ALL, 4)
    for name in ALL:
        settings.CACHEOPS_LOCAL_REGION = name
        assert is_hit("default", lambda: Book.objects.get(pk=1))
        regions[name].store.close()


def test_a_write_while_the_other_regions_are_filled_from_a_second_load(make_fanout, settings):
    class Overtaken(RegionFanout):
        def fill(self, leased, results):
            if "us-west-2" in leased:
                Book.objects.filter(pk=1).update(title="new")
            super().fill(leased, results)

    settings.CACHEOPS_REGIONS = ALL
    fanout = make_fanout(*ALL, kind=Overtaken)
    Reads([lambda: Book.objects.get(pk=1)]).warm(fanout)
    fanout.close()
    assert [outcome.warmed for outcome in fanout.outcomes.values()] == [1, 1, 1]
    for name in ALL:
        settings.CACHEOPS_LOCAL_REGION = name
        assert Book.objects.get(pk=1).title == "new"
        regions[name].store.close()


@pytest.mark.servers
def test_calls_are_made_once_for_all_regions(make_fanout, settings):
    """Whatever they read is loaded twice at most: for the nearest region as they go, and for all others together."""
    made = []

    def read():
        made.append(Book.objects.get(pk=1).title)
        return page(1)

    settings.CACHEOPS_REGIONS = ALL
    fanout = make_fanout(*ALL)
    Reads([read]).warm(fanout)
    fanout.close()
    assert made == ["Title 0"]
    for name in ALL:
        settings.CACHEOPS_LOCAL_REGION = name
        assert is_hit("default", lambda: page(1))
        regions[name].store.close()


def test_a_dry_run_asks_no_server_to_change(make_fanout, settings):
    def keys():
        return sorted(key for batch in regions.local.store.scan(settings.CACHEOPS_PREFIX) for key in batch)

    Book.objects.get(pk=2)
    before = keys()
    fanout = make_fanout(dry_run=True)
    Rows(Book, [1, 2], "default").warm(fanout)
    Reads([partial(page, 1)]).warm(fanout)
    fanout.close()
    assert keys() == before
    assert fanout.outcomes["us-east-1"].already_warm == 1
    assert fanout.outcomes["us-east-1"].warmed >= 3
