"""The verifier finds each fault that is seeded on purpose, and names its cause; in a healthy cache it finds none."""

import json
import time
from collections import Counter
from io import StringIO

import psycopg
import pytest
from django.core.management import CommandError, call_command
from django.db import connections, transaction
from django.db.models import Count
from django.test import SimpleTestCase
from msgspec.structs import replace

from cacheops import invalidate_all, no_invalidation
from cacheops.encoding import rows as codec
from cacheops.exceptions import StoreUnavailable
from cacheops.instrumentation.counters import counters
from cacheops.management.commands import verify_cache as command
from cacheops.monitoring import verify_rows
from cacheops.monitoring.verify import EQUAL, Verified, recipe_keys, verify, verify_one
from cacheops.monitoring.verify_rows import rows_of
from cacheops.protocol.keys import parse
from cacheops.protocol.tags import new_version
from cacheops.reading.recipes import is_sampled, read_recipe
from cacheops.regions import regions
from cacheops.stores.base import EncodedEntry, MarkedTable
from tests.cacheops.orm import conftest as orm
from tests.servers import on_servers
from tests.testapp import world
from tests.testapp.models import Book, Shelf

pytestmark = pytest.mark.django_db(databases=orm.DATABASES)
_django_db_helper, cache = orm._django_db_helper, orm.cache


@pytest.fixture(params=[*on_servers("default"), "other"])
def books(request, _django_db_helper, cache, settings):
    settings.CACHEOPS_VERIFY_SAMPLE = 1
    world.empty(request.param)
    world.fill(request.param)
    counters.reset()  # in this minute, nobody of ours has written but the test
    yield Book.objects.using(request.param)
    world.empty(request.param)


def verified(expected_code: int = 0, **options: int) -> dict:
    out = StringIO()
    try:
        call_command("verify_cache", sample="10000/s", json=True, stdout=out, **options)
        code = 0
    except CommandError as error:
        code = error.returncode
    assert code == expected_code
    return json.loads(out.getvalue())


def causes() -> list[str]:
    return [each["cause"] for each in verified(1)["differences"]]


def held(label: str) -> tuple[str, list[bytes | None], list[str]]:
    """Return an entry's key, what it and its tags hold, and all their keys."""
    region = regions.local
    for key in recipe_keys(region):
        recipe = read_recipe(key, region.store.read([key])[0])
        if recipe.label == label:
            return recipe.keys[0], region.store.read(recipe.keys), recipe.keys
    raise AssertionError(label)


def put(key: str, value: bytes) -> None:
    regions.local.store.fill([EncodedEntry(key, value, 60)]).result()


def write_outside(books, sql: str) -> None:
    """Write as psql does: by a connection that no engine of ours watches."""
    wrapper = connections[books.db]
    if wrapper.vendor == "postgresql":
        with psycopg.connect(wrapper.connection.info.dsn, password=wrapper.settings_dict["PASSWORD"]) as connection:
            connection.execute(sql)
    else:
        wrapper.connection.execute(sql)
        wrapper.connection.commit()


def test_a_healthy_cache_has_no_difference(books):
    for _ in range(2):
        books.get(pk=1)
        list(books.filter(shelf_id=1).order_by("title"))
        list(books.values_list("title", "published")[:3])
        list(books.order_by("pages").distinct().values_list("title"))  # the statement gives the pages, too
        books.filter(shelf_id=2).count()
        books.filter(pk=1).exists()
        books.aggregate(Count("pk"))
        list(Shelf.objects.using(books.db).annotate(Count("books")))
        list(books.none())
        books.filter(pk=10**6).first()
    found = verified()
    assert found["differences"] == []
    assert found["compared"] >= 7
    Book.objects.using(books.db).filter(pk=1).update(title="New")
    assert verified()["outcomes"]["outdated"] >= 2
    assert counters.totals()["e|verify"]["equal"] >= 7


def test_who_writes_past_the_engine_is_an_outside_writer(books):
    books.get(pk=1)
    write_outside(books, "UPDATE testapp_book SET title = 'Outside' WHERE id = 1")
    assert books.get(pk=1).title != "Outside"
    found = verified(1)["differences"]
    assert [(each["cause"], each["allowed"], each["label"]) for each in found] == [
        ("outside_writer", "", "testapp.book:get")
    ]
    assert found[0]["stale_seconds"] > 0
    assert any(name.startswith("stale:") for name in counters.totals()["e|verify"])


def many_at_once() -> Counter[str]:
    return Counter(found.outcome for found in verify(regions.local, recipe_keys(regions.local), 100))


def test_many_at_once_hide_none(books):
    for key in range(1, 7):
        books.get(pk=key)
    recipes = [read_recipe(key, regions.local.store.read([key])[0]) for key in recipe_keys(regions.local)]
    entries = {recipe.values: recipe.keys[0] for recipe in recipes}
    untouched = many_at_once()["equal"] - 4
    assert untouched >= 2
    write_outside(books, "UPDATE testapp_book SET title = 'Outside' WHERE id = 1")
    books.filter(pk=2).update(title="New")
    put(entries[(3,)], b"other bytes")
    regions.local.store.delete([entries[(4,)]])
    assert many_at_once() == {"equal": untouched, "differs": 2, "outdated": 1, "gone": 1}


def test_many_at_once_are_left_out_where_one_was_changed_meanwhile(books, monkeypatch):
    """By its entry and the database before, it would be equal."""
    for key in (1, 2):
        books.get(pk=key)
    equal = many_at_once()["equal"]

    def then_written(recipe, columns):
        rows = rows_of(recipe, columns)
        keys = [parsed.keys for key in recipe.keys[1:] if (parsed := parse(key))]
        regions.local.store.invalidate([MarkedTable(table, frozenset(), whole=True) for table in keys])
        return rows

    monkeypatch.setattr(verify_rows, "rows_of", then_written)
    found = many_at_once()
    assert found["outdated"] == equal
    assert found["equal"] == 0


def test_a_difference_that_a_moment_explains_is_none(books, monkeypatch):
    books.get(pk=1)
    write_outside(books, "UPDATE testapp_book SET title = 'Outside' WHERE id = 1")
    back = "UPDATE testapp_book SET title = 'Title 0' WHERE id = 1"
    monkeypatch.setattr("cacheops.monitoring.verify.time.sleep", lambda seconds: write_outside(books, back))
    assert verified()["outcomes"] == {"equal": 1}


def test_what_was_told_to_invalidate_nothing_looks_the_same(books):
    books.get(pk=1)
    with no_invalidation():
        books.filter(pk=1).update(title="Silent")
    assert causes() == ["outside_writer"]


def test_a_write_whose_mark_was_lost_is_named(books):
    """As a server does that comes back with what it held before."""
    books.get(pk=1)
    _, values, keys = held("testapp.book:get")
    books.filter(pk=1).update(title="New")
    for key, value in zip(keys, values, strict=True):
        put(key, value)
    assert books.get(pk=1).title != "New"
    assert causes() == ["no_mark"]


@pytest.mark.servers
def test_what_waits_in_the_queue_for_the_region_is_allowed(books, monkeypatch):
    monkeypatch.setattr("cacheops.regions.outbox.CHECK_SECONDS", 3600)  # a second, in which the region is used as it is
    books.get(pk=1)
    regions.local.outbox.mark_seen(books.db)
    write_outside(books, "UPDATE testapp_book SET title = 'Queued' WHERE id = 1")
    with transaction.atomic(using=books.db):
        regions.local.outbox.add(books.db, ["testapp_book"])
    assert [each["allowed"] for each in verified()["differences"]] == ["queue"]
    regions.local.outbox.recheck()
    assert verified()["outcomes"] == {"outdated": 1}


def test_an_entry_with_other_bytes_is_corrupt(books):
    books.get(pk=1)
    key, values, _ = held("testapp.book:get")
    put(key, values[0][:-1] + bytes([values[0][-1] ^ 1]))
    assert causes() == ["corrupt"]


def test_rows_that_nobody_loaded_are_a_difference(books):
    books.get(pk=1)
    key, values, _ = held("testapp.book:get")
    entry = codec.decode(values[0], key)
    row = tuple("forged" if value == "Title 0" else value for value in entry.rows()[0])
    put(key, codec.encode([row], entry.versions, entry.made_at, entry.expires_at, entry.load_seconds, key))
    assert causes() == ["outside_writer"]


def test_a_table_under_two_names_is_named(books):
    """As where one process knows the database by another identity, and marks under that."""
    books.get(pk=1)
    own = parse(held("testapp.book:get")[0])
    put(f"{own.prefix}:{{{books.db}@elsewhere.{own.table}}}:r", b"s:")
    write_outside(books, "UPDATE testapp_book SET title = 'Elsewhere' WHERE id = 1")
    assert causes() == ["two_keys"]


def test_a_mark_that_nobody_clears_is_named_though_it_serves_nothing(books):
    books.get(pk=1)
    _, _, keys = held("testapp.book:get")
    put(keys[1], b"p" + new_version() + b"%016d" % ((time.time() - 1) * 1000))
    found = verified()
    assert [(each["cause"], each["allowed"]) for each in found["differences"]] == [("lost_clear", "it is not served")]
    assert found["outcomes"] == {"pending": 1}


def test_a_recipe_that_we_have_not_signed_is_not_run(books):
    books.get(pk=1)
    key = recipe_keys(regions.local)[0]
    put(key, regions.local.store.read([key])[0][:-1])
    assert causes() == ["corrupt"]


def test_another_entrys_recipe_is_not_run(books):
    books.get(pk=1)
    books.get(pk=2)
    one, two = recipe_keys(regions.local)
    put(one, regions.local.store.read([two])[0])
    assert causes() == ["corrupt"]


def test_a_read_of_another_session_or_database_is_left_out(books):
    books.get(pk=1)
    region, key = regions.local, recipe_keys(regions.local)[0]
    recipe = read_recipe(key, region.store.read([key])[0])
    for changes in ({"session": b"other"}, {"keys": [each.replace("@", "@x") for each in recipe.keys]}):
        assert verify_one(region, replace(recipe, **changes)).outcome == "other_session"
    assert verify_one(region, recipe).outcome == "equal"
    assert [found.outcome for found in verify(region, [key.replace(":q:", ":q:x")])] == ["gone"]


def test_a_database_that_a_test_case_forbids_is_left_out(books):
    class Case(SimpleTestCase):
        databases = {"default", "other"} - {books.db}

    books.get(pk=1)
    Case._add_databases_failures()
    try:
        assert verified()["outcomes"] == {"other_session": 1}
    finally:
        Case._remove_databases_failures()
    assert verified()["outcomes"] == {"equal": 1}


@pytest.mark.parametrize(("sample", "least", "most"), [(0, 0, 0), (1, 400, 400), (4, 50, 200)])
def test_one_in_so_many_entries_can_be_verified(settings, sample, least, most):
    settings.CACHEOPS_VERIFY_SAMPLE = sample
    assert least <= sum(is_sampled(str(number)) for number in range(400)) <= most


def test_a_sample_must_be_a_rate(books):
    for wrong in ("", "0/s", "-1", "often", "inf"):
        with pytest.raises(CommandError, match="--sample needs"):
            call_command("verify_cache", sample=wrong)
    with pytest.raises(CommandError, match="is no region"):
        call_command("verify_cache", region="mars")
    with pytest.raises(CommandError, match="--entries needs"):
        call_command("verify_cache", entries=0)


def test_entries_are_drawn_anew_until_enough_are_compared(books):
    for key in (1, 2, 3):
        books.get(pk=key)
    every = verified()["compared"]
    assert every >= 3
    assert [verified(entries=number)["compared"] for number in (2, every, 2 * every + 1)] == [2, every, 2 * every + 1]
    invalidate_all()
    assert verified(entries=2)["compared"] == 0  # none is left to compare: it ends


def test_what_was_compared_before_an_error_is_shown(books, monkeypatch):
    def cut(*args):
        yield Verified(EQUAL)
        raise StoreUnavailable("no answer")

    monkeypatch.setattr(command, "verify", cut)
    assert verified(1)["outcomes"] == {"equal": 1}


def test_where_no_recipe_is_kept_the_command_says_so(books, settings):
    settings.CACHEOPS_VERIFY_SAMPLE = 0
    books.get(pk=1)
    out = StringIO()
    call_command("verify_cache", stdout=out)
    assert "set CACHEOPS_VERIFY_SAMPLE" in out.getvalue()
