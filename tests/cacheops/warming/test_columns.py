"""What is leased and filled by columns is what a reader asks for, one by one."""

import pytest

from cacheops.encoding import rows as codec
from cacheops.orm.connection import cacheops_of
from cacheops.orm.fastpath.get import get_plan
from cacheops.orm.read_compiler import request_for
from cacheops.patterns import CacheAsideManager
from cacheops.profiles import profile_of
from cacheops.protocol.keys import ENTRY
from cacheops.protocol.tags import new_version
from cacheops.queryset import CachedQuerySet
from cacheops.regions import regions
from cacheops.stores.base import MarkedTable
from cacheops.warming import Reads, Rows
from cacheops.warming.columnar import columns_of
from tests.testapp.cached import is_hit, keys_held
from tests.testapp.models import Book, Tag

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("books")]


@pytest.mark.parametrize(
    ("model", "lookup", "values"), [(Book, "pk", [1, 2, 999, 2**40]), (Tag, "name", ["1", "a b", "é", "x" * 300])]
)
def test_columns_make_the_requests_of_readers(model, lookup, values):
    plan = get_plan(CachedQuerySet(model), "default", lookup, values[0]).plan
    profile = profile_of(model)
    columns = columns_of(plan, values, cacheops_of("default"), profile, "testapp.book:get")
    single = [request_for(plan, [value], cacheops_of("default"), profile, "testapp.book:get") for value in values]
    assert list(columns.requests()) == single
    assert columns.entry_keys() == [request.key_list()[0] for request in single]
    assert columns.tag_keys() == [request.key_list()[2] for request in single]


def test_values_without_a_tag_are_not_alike():
    plan = get_plan(CachedQuerySet(Book), "default", "pk", 1).plan
    assert columns_of(plan, [1, 1.5], cacheops_of("default"), profile_of(Book), "testapp.book:get") is None


def marked(tags, **options):
    """Let a writer begin in the books' table, and return its end."""
    store = regions.local.store
    plan = get_plan(CachedQuerySet(Book), "default", "pk", 1).plan
    request = request_for(plan, [1], cacheops_of("default"), profile_of(Book), "x")
    table, writer = MarkedTable(request.keys, frozenset(tags), **options), new_version()
    store.mark([table], writer, 60).result()
    return lambda: store.clear([table], writer).result()


@pytest.mark.parametrize(
    ("tags", "options", "warmed"), [(["id=1"], {}, 1), ([], {"whole": True}, 0), (["status=1"], {}, 0)]
)
def test_what_a_writer_has_marked_is_skipped(tags, options, warmed, make_fanout):
    if tags == ["id=1"]:
        Book.objects.get(pk=3)  # the scheme is known: only the row itself is held back
    end = marked(tags, **options)
    fanout = make_fanout()
    Rows(Book, [1, 2], "default").warm(fanout)
    fanout.close()
    end()
    outcome = fanout.outcomes["us-east-1"]
    assert (outcome.warmed, outcome.skipped) == (warmed, 2 - warmed)


def test_a_table_without_room_for_a_scheme_is_warmed_as_readers_find_it(make_fanout):
    region = regions.local
    plan = get_plan(CachedQuerySet(Book), "default", "pk", 1).plan
    request = request_for(plan, [1], cacheops_of("default"), profile_of(Book), "x")
    region.full.add((request.keys.base, "id"))
    try:
        fanout = make_fanout()
        Rows(Book, [1, 2], "default").warm(fanout)
        fanout.close()
        assert fanout.outcomes["us-east-1"].warmed == 2
        assert is_hit("default", lambda: Book.objects.get(pk=1))
    finally:
        region.full.discard((request.keys.base, "id"))


def test_what_is_kept_for_a_shorter_time_is_warmed_for_it(make_fanout):
    manager = CacheAsideManager(300, none_ttl=7)
    fanout = make_fanout()
    Reads([lambda: manager.get_or_set("answers:none", lambda: None)]).warm(fanout)
    fanout.close()
    assert fanout.outcomes["us-east-1"].warmed == 1
    keys = keys_held(regions.local.store, ENTRY)
    entries = [codec.decode(payload, key) for key, payload in zip(keys, regions.local.store.read(keys), strict=True)]
    assert min(round(entry.expires_at - entry.made_at) for entry in entries) <= 7
