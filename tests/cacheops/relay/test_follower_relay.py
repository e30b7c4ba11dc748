"""What the relay of a follower region tells, where it begins, and what it makes forgotten."""

from typing import Any

import psycopg
import pytest
from django.core.management.base import CommandError
from django.db import connection

import cacheops
from cacheops.exceptions import RelayInterrupted
from cacheops.protocol.keys import FOLLOWED, POSITION, REGISTRY, TAG
from cacheops.regions import regions
from cacheops.regions.position import Position
from cacheops.relay import follower as relay_follower
from cacheops.relay import heartbeat
from cacheops.relay.follower import FollowerRelay
from cacheops.relay.publication import members_of, slot_name
from cacheops.stores.scripts import REACHED
from tests.cacheops.relay import follower
from tests.cacheops.relay.conftest import relay
from tests.cacheops.relay.follower import (
    HOME,
    REGION,
    Run,
    assert_hit,
    keys_of,
    new_relay,
    on_shelf,
    relay_at_work,
    sources,
    tags,
    tell_and_catch_up,
    tell_by,
    title,
    write,
)
from tests.replica import catch_up, pause
from tests.testapp.cached import keys_held
from tests.testapp.models import Book
from tests.waiting import until

pytestmark = [pytest.mark.servers, pytest.mark.django_db]
outside = follower.outside
KINDS = (TAG, REGISTRY, FOLLOWED, POSITION)  # of keys of a table's own


def test_a_table_that_another_hand_has_touched_is_forgotten(outside: Run) -> None:
    """R25: a position stands over the relay's own last one only, and a table behind the slot is forgotten."""
    tell_and_catch_up()
    title(), tags()
    assert_hit(title, tags)
    followed = keys_of("testapp_book").followed
    with relay_at_work() as one:
        regions[REGION].store.transport([]).run_many([("SET", followed, "restored")])  # type: ignore[union-attr]
        with pytest.raises(RelayInterrupted, match="testapp_book"):
            one.work_until(one.send_note())
    tell_and_catch_up()
    assert_hit(tags)
    assert sources(title) == ["replica"]


def test_a_table_that_comes_back_from_a_snapshot_is_forgotten(outside: Run) -> None:
    """R25: it has tags of before, and the slot sends no more what has outdated them."""
    tell_and_catch_up()
    title()
    store = regions[REGION].store
    run = store.transport([]).run_many  # type: ignore[union-attr]
    saved = [key for key in keys_held(store, *KINDS) if "testapp_book}" in key]
    dumps = run([("DUMP", key) for key in saved])
    write(outside, "Told before it came back")
    tell_and_catch_up()
    run([("RESTORE", key, 0, dump, "REPLACE") for key, dump in zip(saved, dumps, strict=True)])
    assert title() == "Title 0"
    tell_and_catch_up()
    assert title() == "Told before it came back"


def test_a_slot_that_is_lost_makes_all_tables_forgotten(outside: Run) -> None:
    tell_and_catch_up()
    title()
    outside("SELECT pg_drop_replication_slot(%s)", [new_relay().slot])
    write(outside, "Without a slot")
    tell_and_catch_up()
    assert title() == "Without a slot"


def test_what_is_committed_before_a_new_slot_is_there_is_forgotten(
    outside: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """R26: an entry that is loaded and outdated while the slot is about to be made does not outlive it."""
    tell_and_catch_up()
    outside("SELECT pg_drop_replication_slot(%s)", [new_relay().slot])
    make = FollowerRelay._new_slot

    def new_slot(self: FollowerRelay, *, is_there: bool) -> int:
        title()
        write(outside, "Before the slot")
        return make(self, is_there=is_there)

    monkeypatch.setattr(FollowerRelay, "_new_slot", new_slot)
    tell_and_catch_up()
    assert title() == "Before the slot"


def test_a_position_and_its_invalidations_are_there_in_one_step(outside: Run) -> None:
    """R24: between two calls of the relay, a reader fills what the position does not promise too much of."""
    with relay_at_work() as one:
        tell_by(one)
        title()
        pause("replica")
        write(outside, "New")
        committed, run, seen = cacheops.position(), one._transport.run_many, []

        def run_many(*calls: Any) -> Any:
            answers = run(*calls)
            told = regions[REGION].store.read([keys_of("testapp_book").position])[0]
            seen.append((bool(committed and told and Position.parse(told.decode()).lsn >= committed.lsn), title()))
            return answers

        one._transport.run_many = run_many  # type: ignore[method-assign]
        try:
            one.work_until(one.send_note())
        finally:
            del one._transport.run_many
    assert {text for is_told, text in seen if is_told} == {"New"}
    assert title() == "New"  # the primary's


def test_a_table_that_is_published_anew_is_forgotten(outside: Run) -> None:
    """What was written meanwhile is in no stream."""
    tell_and_catch_up()
    title(), tags()
    outside("ALTER PUBLICATION cacheops DROP TABLE testapp_book")
    write(outside, "While it was not published")
    outside("ALTER PUBLICATION cacheops ADD TABLE testapp_book")
    tell_and_catch_up()
    assert title() == "While it was not published"
    assert_hit(tags)


def test_a_table_that_took_a_published_one_s_name_is_not_cached(outside: Run) -> None:
    """Its writes are in no stream, though the other one's name, which is published, begins with its own."""
    tell_and_catch_up()
    title()
    outside("CREATE TABLE anew AS SELECT * FROM testapp_book; ALTER TABLE testapp_book RENAME TO testapp_book_old")
    outside("ALTER TABLE anew RENAME TO testapp_book")
    try:
        tell_and_catch_up()
        tell_and_catch_up()
        assert [sources(title), sources(title)] == [["replica"]] * 2
    finally:
        outside("DROP TABLE testapp_book; ALTER TABLE testapp_book_old RENAME TO testapp_book")


@pytest.mark.parametrize("alias", ["replica", "default"])
def test_a_table_that_is_published_no_more_is_noticed(
    outside: Run, monkeypatch: pytest.MonkeyPatch, alias: str
) -> None:
    """By the region's own replica, once it shows as much, else by the primary, which may be far."""
    asked: list[str] = []
    with relay_at_work() as one:
        tell_by(one)
        if alias == "replica":
            monkeypatch.setattr(relay_follower, "REPLAY_SECONDS", 60.0)
        else:
            pause("replica")
        monkeypatch.setattr(relay_follower, "members_of", lambda it: asked.append(it.alias) or members_of(it))
        one.work_until(one.send_note())
        outside("ALTER PUBLICATION cacheops DROP TABLE testapp_tag")
        try:
            with pytest.raises(RelayInterrupted, match="is published no more"):
                one.work_until(one.send_note())
        finally:
            outside("ALTER PUBLICATION cacheops ADD TABLE testapp_tag")
    assert set(asked) == {alias}


def test_conditions_that_appear_while_a_relay_is_at_work(outside: Run) -> None:
    """The relay makes tags of the schemes that it knows; one script sees that none is missing."""
    tell_and_catch_up()
    with relay_at_work() as one:
        title()
        write(outside, "One")
        tell_by(one)
        before, _ = on_shelf(1), on_shelf(3)
        assert_hit(lambda: on_shelf(1), lambda: on_shelf(3))
        outside("UPDATE testapp_book SET shelf_id = 2 WHERE id = 1")
        tell_by(one)
        assert_hit(lambda: on_shelf(3))
        assert on_shelf(1) == before - 1


def test_what_a_writer_has_marked_by_the_primary_s_name_is_told_all_the_same(outside: Run, settings: Any) -> None:
    """It does not know that the region follows: it marks there, and says so in the log, under other keys."""
    tell_and_catch_up()
    title()
    followed = settings.CACHEOPS_REGIONS
    settings.CACHEOPS_REGIONS = (HOME, REGION)
    home_slot = slot_name("default", HOME)
    outside("SELECT pg_create_logical_replication_slot(%s, 'pgoutput')", [home_slot])
    connection.close()  # the next one knows that there is a relay at home, and says what it marks
    Book.objects.values_list("title", flat=True).get(pk=1)
    Book.objects.filter(pk=1).update(title="Marked elsewhere")
    settings.CACHEOPS_REGIONS = followed
    outside("SELECT pg_drop_replication_slot(%s)", [home_slot])
    connection.close()
    tell_and_catch_up()
    assert title() == "Marked elsewhere"


def test_a_registry_that_is_lost_takes_its_entries_along(outside: Run) -> None:
    """R6: the relay knows its schemes no more, or not all of them."""
    tell_and_catch_up()
    with relay_at_work() as one:
        title()
        write(outside, "One")
        tell_by(one)
        before = on_shelf(1)
        regions[REGION].store.delete([keys_of("testapp_book").registry])
        outside("UPDATE testapp_book SET shelf_id = 2 WHERE id = 1")
        tell_by(one)
        assert on_shelf(1) == before - 1


def test_a_position_counts_as_long_as_heartbeats_come_back(outside: Run) -> None:
    tell_and_catch_up()
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


def test_changes_are_told_while_the_primary_does_not_answer_a_heartbeat(
    outside: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may be a country away. One that does not answer for long is lost."""
    tell_and_catch_up()
    title()
    outside("SELECT pg_advisory_lock(4711)")
    with relay_at_work() as one:
        monkeypatch.setattr(heartbeat, "SQL", b"SELECT pg_advisory_lock_shared(4711), $1::text, $2::text")
        one.send_note()
        write(outside, "New")
        committed = cacheops.position()
        assert committed
        until(lambda: one.work(0.1) == [] and one._position >= int(committed.lsn, 16), "it is told")
        catch_up("replica")
        assert title() == "New"
        monkeypatch.setattr(heartbeat, "ANSWER_SECONDS", 0.0)
        with pytest.raises(psycopg.OperationalError, match="has not answered a heartbeat"):
            one.work(0.0)
    outside("SELECT pg_advisory_unlock(4711)")


def test_what_a_relay_that_stood_still_publishes_counts_no_longer(
    outside: Run, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """R35: until when it counts was told before, by the server's clock."""
    tell_and_catch_up()
    keys = keys_of("testapp_book")
    with relay_at_work() as one:
        run, asked = one._run, [REACHED.command([keys.followed])]

        def run_late(commands: Any) -> list[Any]:
            ends = max(command[command[2] + 6] for command in commands)
            until(lambda: run(asked)[0][1] > ends, "what was computed is over")
            return run(commands)

        one.work_until(one.send_note())
        assert regions[REGION].read([keys.position], ())[0] is not None
        settings.CACHEOPS_MAX_LAG = 0.2
        monkeypatch.setattr(one, "_run", run_late)
        one._counts_until = 0.0
        one.work_until(one.send_note())
        assert regions[REGION].read([keys.position], ()) == [None]


def test_its_region_is_named_or_refused(outside: Run, settings: Any) -> None:
    assert "was told of all" in relay("--once", "--region", REGION)
    assert f"{REGION}: NO RELAY IS AT WORK" in relay("--status")
    with pytest.raises(CommandError, match="us-east-2' is no region that caches 'default': us-east-1, us-west-2"):
        relay("--once", "--region", "us-east-2")
