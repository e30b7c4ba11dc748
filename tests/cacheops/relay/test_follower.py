"""A follower region: a database replica, cached, of whose log a relay tells."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from django.core.management.base import CommandError
from django.db import connections

import cacheops
from cacheops.checks import check_engines, check_regions
from cacheops.exceptions import RelayInterrupted
from cacheops.patterns.aside import AsideEntry, CacheAsideManager
from cacheops.protocol.keys import TableKeys
from cacheops.regions import regions
from cacheops.regions.read_scope import ReadScope, in_scope
from cacheops.relay.follower import FollowerRelay
from tests.cacheops.relay.conftest import other_session, relay
from tests.replica import catch_up, follow, resume
from tests.testapp import world
from tests.testapp.cached import statements
from tests.testapp.models import Book, Tag

pytestmark = [pytest.mark.servers, pytest.mark.django_db]

HOME, REGION = "us-east-1", "us-west-2"
Run = Callable[..., Any]
Read = Callable[[], Any]


@pytest.fixture
def outside(published: None, _django_db_helper: None, cache: str, far: str, settings: Any) -> Iterator[Run]:
    """Fill the library, have a region cache the replica; return what runs a statement in another session."""
    settings.CACHEOPS_REGIONS = {"default": (HOME,), far: (REGION,)}
    settings.CACHEOPS_LOCAL_REGION = REGION
    settings.CACHEOPS_FOLLOWERS = {far: "default"}
    settings.CACHEOPS_MAX_LAG = 3600  # however long a test takes
    settings.CACHEOPS_TIMEOUT = settings.CACHEOPS_REMOTE_TIMEOUT = 10
    connections.settings[far]["ENGINE"] = "cacheops.db.backends.postgresql"
    world.empty("default")
    world.fill("default")
    follow(far)
    with other_session() as other:
        yield other.execute
    world.empty("default")


def relay_once() -> None:
    relay("--once", "--region", REGION)


@contextmanager
def relay_at_work() -> Iterator[FollowerRelay]:
    """Have a relay of this process's own tell the region when it is asked to."""
    one = FollowerRelay(regions[REGION], "default", "replica")
    assert one.try_turn()
    with one:
        yield one


def title(key: int = 1) -> str:
    return Book.objects.using("replica").values_list("title", flat=True).get(pk=key)


def on_shelf(key: int) -> int:
    return Book.objects.using("replica").filter(shelf=key).count()


def tags() -> int:
    return Tag.objects.using("replica").count()


def write(outside: Run, text: str) -> None:
    outside("UPDATE testapp_book SET title = %s WHERE id = 1", [text])


def sources(read: Read) -> list[str]:
    """Run a read; return the databases that were asked."""
    with statements("replica") as near, statements("default") as far:
        read()
    return [name for name, ran in (("replica", near), ("default", far)) if ran]


def assert_hit(*reads: Read) -> None:
    assert [sources(read) for read in reads] == [[]] * len(reads)


def keys_of(table: str) -> TableKeys:
    return FollowerRelay(regions[REGION], "default", "replica")._keys(table)


def test_an_entry_is_a_hit_until_the_relay_tells_of_a_write(outside: Run) -> None:
    relay_once()
    assert sources(title) == ["replica"]
    title(2)
    assert_hit(title, lambda: title(2))
    write(outside, "New")
    catch_up("replica")
    assert_hit(title)
    relay_once()
    assert_hit(lambda: title(2))
    assert sources(title) == ["replica"]
    assert title() == "New"
    assert_hit(title)


def test_a_reader_that_must_see_more_than_the_region_was_told_of_passes_it_by(outside: Run) -> None:
    """R27: the replica shows it, and the entry does not."""
    relay_once()
    title()
    write(outside, "Mine")
    mine = cacheops.position()
    catch_up("replica")
    with cacheops.after(mine):
        assert sources(title) == ["replica"]
        assert title() == "Mine"
    assert title() == "Title 0"
    relay_once()
    with cacheops.after(mine):
        title()
        assert_hit(title)


def test_who_has_written_and_knows_no_position_reads_the_primary(outside: Run, lagging: str) -> None:
    relay_once()
    title()
    with in_scope(ReadScope()):
        Book.objects.filter(pk=1).update(title="Mine")
        assert sources(title) == ["default"]
        assert title() == "Mine"


def test_a_table_without_a_position_is_not_cached(outside: Run) -> None:
    title()
    assert sources(title) == ["replica"]
    relay_once()
    title()
    assert_hit(title)
    regions[REGION].store.delete([keys_of("testapp_book").position])
    assert sources(title) == ["replica"]


def test_nothing_is_filled_from_a_replica_that_is_behind_the_relay(outside: Run, lagging: str) -> None:
    """R18: the relay reads the primary's log, and has invalidated what this replica does not show yet."""
    relay_once()
    assert sources(title) == ["default"]  # the relay's own note is ahead of it, too
    write(outside, "New")
    relay_once()
    assert sources(title) == ["default"]
    assert title() == "New"
    resume(lagging)
    catch_up(lagging)
    assert sources(title) == ["replica"]
    assert_hit(title)


def test_a_table_that_another_hand_has_touched_is_forgotten(outside: Run) -> None:
    """R25: a position stands over the relay's own last one only, and a table behind the slot is forgotten."""
    relay_once()
    catch_up("replica")
    title(), tags()
    assert_hit(title, tags)
    followed = keys_of("testapp_book").followed
    with relay_at_work() as one:
        regions[REGION].store.transport([]).run_many([("SET", followed, "restored")])  # type: ignore[union-attr]
        with pytest.raises(RelayInterrupted, match="testapp_book"):
            one.work_until(one.send_note())
    relay_once()
    catch_up("replica")
    assert_hit(tags)
    assert sources(title) == ["replica"]


def test_a_slot_that_is_lost_makes_all_tables_forgotten(outside: Run) -> None:
    relay_once()
    catch_up("replica")
    title()
    outside("SELECT pg_drop_replication_slot(%s)", [FollowerRelay(regions[REGION], "default", "replica").slot])
    write(outside, "Without a slot"), relay_once()
    catch_up("replica")
    assert title() == "Without a slot"


def test_a_table_that_is_published_anew_is_forgotten(outside: Run) -> None:
    """What was written meanwhile is in no stream."""
    relay_once()
    catch_up("replica")
    title(), tags()
    outside("ALTER PUBLICATION cacheops DROP TABLE testapp_book")
    write(outside, "While it was not published")
    outside("ALTER PUBLICATION cacheops ADD TABLE testapp_book")
    relay_once()
    catch_up("replica")
    assert title() == "While it was not published"
    assert_hit(tags)


def test_conditions_that_appear_while_a_relay_is_at_work(outside: Run) -> None:
    """The relay makes tags of the schemes that it knows; one script sees that none is missing."""
    relay_once()
    with relay_at_work() as one:
        title()
        write(outside, "One")
        one.work_until(one.send_note())
        catch_up("replica")
        before, _ = on_shelf(1), on_shelf(3)
        assert_hit(lambda: on_shelf(1), lambda: on_shelf(3))
        outside("UPDATE testapp_book SET shelf_id = 2 WHERE id = 1")
        one.work_until(one.send_note())
        catch_up("replica")
        assert_hit(lambda: on_shelf(3))
        assert on_shelf(1) == before - 1


def test_a_registry_that_is_lost_takes_its_entries_along(outside: Run) -> None:
    """R6: the relay knows its schemes no more, or not all of them."""
    relay_once()
    with relay_at_work() as one:
        title()
        write(outside, "One")
        one.work_until(one.send_note())
        catch_up("replica")
        before = on_shelf(1)
        regions[REGION].store.delete([keys_of("testapp_book").registry])
        outside("UPDATE testapp_book SET shelf_id = 2 WHERE id = 1")
        one.work_until(one.send_note())
        catch_up("replica")
        assert on_shelf(1) == before - 1


def test_a_position_counts_as_long_as_heartbeats_come_back(outside: Run) -> None:
    relay_once()
    catch_up("replica")
    title()
    with relay_at_work() as one:
        note = one.send_note()
        one._beats.clear()  # it is another's
        one.work_until(note)
        assert sources(title) == ["replica"]
        one.work_until(one.send_note())
    catch_up("replica")
    title()
    assert_hit(title)


def test_many_at_once_and_in_parts(outside: Run) -> None:
    relay_once()
    catch_up("replica")

    def with_tags() -> list[list[str]]:
        with cacheops.after():  # related rows come from where the router says
            books = Book.objects.order_by("pk").prefetch_related("tags")
            return [[tag.name for tag in book.tags.all()] for book in books]

    first = with_tags()
    assert_hit(with_tags)
    outside("DELETE FROM testapp_book_tags")
    relay_once()
    catch_up("replica")
    assert with_tags() == [[] for _ in first]
    assert len(list(Book.objects.using("replica").iterator())) == 8


@cacheops.cached_as(Book, timeout=60)
def count_of_books() -> int:
    return Book.objects.count()


def test_a_function_is_cached_of_a_replica(outside: Run) -> None:
    relay_once()
    catch_up("replica")

    def count() -> int:
        with cacheops.after():
            return count_of_books()

    count()
    assert_hit(count)
    outside("DELETE FROM testapp_book_tags; DELETE FROM testapp_book WHERE id = 8")
    relay_once()
    catch_up("replica")
    assert count() == 7


def test_values_under_keys_of_a_program_s_own(outside: Run) -> None:
    relay_once()
    catch_up("replica")
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
    relay_once()
    catch_up("replica")
    assert found() == {"follower:1": "New", "follower:2": "Title 1"}


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


def test_its_region_is_named_or_refused(outside: Run, settings: Any) -> None:
    assert "was told of all" in relay("--once", "--region", REGION)
    assert f"{REGION}: NO RELAY IS AT WORK" in relay("--status")
    with pytest.raises(CommandError, match="us-east-2' is no region that caches 'default': us-east-1, us-west-2"):
        relay("--once", "--region", "us-east-2")
