"""Reads of a follower region: hits, misses, and what is read past its cache."""

from typing import Any

import pytest
from django.db import connections
from django.db.models import Max

import cacheops
from cacheops.checks import check_engines, check_regions
from cacheops.invalidation import invalidate_model, invalidate_obj
from cacheops.patterns.aside import AsideEntry, CacheAsideManager
from cacheops.regions import regions
from cacheops.regions.read_scope import ReadScope, in_scope
from cacheops.relay.schema_changes import name_of
from cacheops.stores.redis import runs_of_tables
from devices.current import current_devices
from devices.models import Device, Kind
from locations.models import Location
from tests.cacheops.relay import follower
from tests.cacheops.relay.follower import (
    HOME,
    REGION,
    Run,
    assert_hit,
    keys_of,
    sources,
    tell,
    tell_and_catch_up,
    title,
    write,
)
from tests.replica import catch_up, pause, resume
from tests.testapp.models import Book

pytestmark = [pytest.mark.servers, pytest.mark.django_db]
outside = follower.outside


def test_an_entry_is_a_hit_until_the_relay_tells_of_a_write(outside: Run) -> None:
    tell_and_catch_up()
    assert sources(title) == ["replica"]
    title(2)
    assert_hit(title, lambda: title(2))
    write(outside, "New")
    catch_up("replica")
    assert_hit(title)
    tell_and_catch_up()
    assert_hit(lambda: title(2))
    assert sources(title) == ["replica"]
    assert title() == "New"
    assert_hit(title)


def test_a_reader_that_must_see_more_than_the_region_was_told_of_passes_it_by(outside: Run) -> None:
    """R27: the replica shows it, and the entry does not."""
    tell_and_catch_up()
    title()
    write(outside, "Mine")
    mine = cacheops.position()
    catch_up("replica")
    with cacheops.after(mine):
        assert sources(title) == ["replica"]
        assert title() == "Mine"
    assert title() == "Title 0"
    tell_and_catch_up()
    with cacheops.after(mine):
        title()
        assert_hit(title)


def test_who_has_written_and_knows_no_position_reads_the_primary(outside: Run) -> None:
    """R28."""
    tell_and_catch_up()
    title()
    pause("replica")
    with in_scope(ReadScope()):
        Book.objects.filter(pk=1).update(title="Mine")
        assert sources(title) == ["default"]
        assert title() == "Mine"


def scripts_run() -> int:
    """Return how many scripts the follower region's primary has run: each mark is one."""
    calls: dict[str, Any] = regions[REGION].store.servers.client.info("commandstats")
    return calls.get("cmdstat_evalsha", {"calls": 0})["calls"]


def test_a_writer_asks_nothing_of_a_follower_region(outside: Run, settings: Any) -> None:
    tell()
    ran = scripts_run()
    book = Book.objects.get(pk=1)
    book.save()
    Book.objects.filter(pk=1).update(title="New")
    assert scripts_run() == ran
    settings.CACHEOPS_REGIONS = (HOME, REGION)  # it follows no more
    book.save()
    assert scripts_run() > ran


def test_a_table_without_a_position_is_not_cached(outside: Run) -> None:
    title()
    assert sources(title) == ["replica"]
    tell_and_catch_up()
    title()
    assert_hit(title)
    regions[REGION].store.delete([keys_of("testapp_book").position])
    assert sources(title) == ["replica"]


def test_nothing_is_filled_from_a_replica_that_is_behind_the_relay(outside: Run, lagging: str) -> None:
    """R18: the relay reads the primary's log, and has invalidated what this replica does not show yet."""
    tell()
    assert sources(title) == ["default"]  # the relay's own note is ahead of it, too
    write(outside, "New")
    tell()
    assert sources(title) == ["default"]
    assert title() == "New"
    books = Book.objects.using("replica").filter(shelf=1)
    for read in (books.all().count, books.all().exists, lambda: books.aggregate(Max("pk")), lambda: list(books.all())):
        assert sources(read) == ["default"]
    resume(lagging)
    catch_up(lagging)
    assert sources(title) == ["replica"]
    assert_hit(title)


def test_a_table_s_position_is_read_in_one_step_with_its_tags(outside: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """R27: read behind its tags, a position that the relay has published in between would vouch for old ones."""
    tell_and_catch_up()
    store, asked = regions[REGION].store, []
    read = store.read
    monkeypatch.setattr(store, "read", lambda keys: asked.append(keys) or read(keys))
    list(Book.objects.using("replica").filter(author__name="Author 1").values_list("title"))
    positions = [[key.endswith(":p") for key in run] for run in runs_of_tables(asked[0])]
    assert [sum(run) for run in positions] == [1, 1]


def test_what_is_invalidated_by_hand_elsewhere_is_told_by_the_relay(outside: Run) -> None:
    book = Book.objects.get(pk=1)
    for act in (lambda: invalidate_model(Book, using="default"), lambda: invalidate_obj(book)):
        tell_and_catch_up()
        title()
        assert_hit(title)
        act()
        tell_and_catch_up()
        assert sources(title) == ["replica"]


@pytest.mark.parametrize("by", ["psql", "us"])
def test_rows_that_a_change_of_the_schema_has_written_anew(outside: Run, by: str) -> None:
    """The log has no row of them. Without event triggers, our own statements name their tables."""
    alter = "ALTER TABLE testapp_book ALTER title TYPE varchar(200) USING 'By {}'"
    tell_and_catch_up()
    title()
    assert_hit(title)
    if by == "psql":
        outside(alter.format(by))
    else:
        outside(f"ALTER EVENT TRIGGER {name_of('ddl_command_end')} DISABLE")
        with connections["default"].cursor() as cursor:
            cursor.execute(alter.format(by))
        outside(f"ALTER EVENT TRIGGER {name_of('ddl_command_end')} ENABLE ALWAYS")
    tell_and_catch_up()
    assert title() == f"By {by}"


def test_many_at_once_and_in_parts(outside: Run) -> None:
    tell_and_catch_up()

    def with_tags() -> list[list[str]]:
        with cacheops.after():  # related rows come from where the router says
            books = Book.objects.order_by("pk").prefetch_related("tags")
            return [[tag.name for tag in book.tags.all()] for book in books]

    first = with_tags()
    assert_hit(with_tags)
    outside("DELETE FROM testapp_book_tags")
    tell_and_catch_up()
    assert with_tags() == [[] for _ in first]
    assert len(list(Book.objects.using("replica").iterator())) == 8


@cacheops.cached_as(Book, timeout=60)
def count_of_books() -> int:
    return Book.objects.count()


def test_a_function_is_cached_of_a_replica(outside: Run) -> None:
    tell_and_catch_up()

    def count() -> int:
        with cacheops.after():
            return count_of_books()

    count()
    assert_hit(count)
    outside("DELETE FROM testapp_book_tags; DELETE FROM testapp_book WHERE id = 8")
    tell_and_catch_up()
    assert count() == 7


def test_values_under_keys_of_a_program_s_own(outside: Run) -> None:
    tell_and_catch_up()
    aside = CacheAsideManager()

    def found() -> dict[str, Any]:
        with cacheops.after():
            entries = [AsideEntry(f"follower:{key}", [Book.objects.filter(pk=key)], 60) for key in (1, 2)]
            return aside.get_or_set_many(
                entries, lambda keys: {key: Book.objects.get(pk=key[-1]).title for key in keys}
            )

    found()
    assert_hit(found)
    write(outside, "New")
    tell_and_catch_up()
    assert found() == {"follower:1": "New", "follower:2": "Title 1"}


def test_a_row_that_is_written_through_is_read_from_the_replica(outside: Run) -> None:
    place = Location.objects.create(name="Harbor", code="harbor")
    device = Device.objects.create(location=place, serial="H-1", name="Quay", kind=Kind.THERMOMETER, metric="rain")
    tell_and_catch_up()

    def names() -> set[str]:
        with cacheops.after():
            found = current_devices.get(device.pk)
            return (
                {found.name, *(each.name for each in current_devices.get_many([device.pk]).values())}
                if found
                else set()
            )

    assert sources(names) == ["replica"]
    assert_hit(names)
    outside("UPDATE devices_device SET name = 'New' WHERE id = %s", [device.pk])
    tell_and_catch_up()
    assert names() == {"New"}
    device.delete()
    place.delete()


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        ({}, ""),
        ({"CACHEOPS_FOLLOWERS": {}}, "E010"),
        ({"CACHEOPS_FOLLOWERS": {"replica": "other"}}, "both must be in DATABASES"),
        ({"CACHEOPS_FOLLOWERS": {"replica": "replica"}}, "must be a primary"),
        ({"CACHEOPS_REGIONS": (REGION,)}, "CACHEOPS_REGIONS has both in us-west-2"),
        ({"CACHEOPS_PREFIX": lambda: "tenant"}, "CACHEOPS_PREFIX is a function"),
    ],
)
def test_settings_that_contradict_each_other(outside: Run, settings: Any, wrong: dict[str, Any], why: str) -> None:
    settings.CACHEOPS_REGIONS = {**settings.CACHEOPS_REGIONS, "other": (HOME,)}
    connections["replica"].settings_dict["TEST"] = {"MIRROR": "default"}
    for name, value in wrong.items():
        setattr(settings, name, value)
    said = [f"{each.id} {each.msg}" for each in [*check_regions(None), *check_engines(None)]]
    assert [each for each in said if "replica" in each and why in each] if why else said == []
