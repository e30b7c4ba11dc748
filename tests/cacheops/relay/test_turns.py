"""Where a relay begins, what it waits for, and that one at a time works."""

import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import psycopg
import pytest
from django.core.management.base import CommandError
from django.db import connection

from cacheops.checks import check_relays
from cacheops.exceptions import RelayInterrupted
from cacheops.regions import regions
from cacheops.relay import publication
from cacheops.relay.publication import publish_new_tables, slot_name
from cacheops.relay.relay import LOCK_SQL, Relay
from tests.cacheops.relay.conftest import REGION, Run, other_session, relay, title, write
from tests.races.actors import Actor
from tests.testapp.cached import is_hit
from tests.waiting import until

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("installed")]

JOINED_OR_WAITS = """
    SELECT EXISTS (SELECT FROM pg_publication_tables WHERE tablename = 'testapp_book')
        OR EXISTS (SELECT FROM pg_locks WHERE relation = 'testapp_book'::regclass AND NOT granted)
"""
SYNCHRONOUS = "ALTER SYSTEM {} synchronous_standby_names"


def test_a_region_keeps_its_hits_while_it_knows_how_far_it_is(outside: Run) -> None:
    title()
    relay("--once")
    assert is_hit("default", title)
    store = regions[REGION].store
    store.delete([Relay(regions[REGION], "default")._record])
    relay("--once")
    assert not is_hit("default", title)


def test_a_slot_that_is_lost_makes_the_region_forget(outside: Run) -> None:
    title()
    outside("SELECT pg_drop_replication_slot(%s)", [slot_name("default", REGION)])
    write(outside, "While there was no slot")
    relay("--once")
    assert title() == "While there was no slot"


def test_another_timeline_makes_the_region_forget(outside: Run) -> None:
    title()
    with Relay(regions[REGION], "default") as one:
        one._history = one._history.replace("-00000001-", "-00000002-")  # of a primary that a fail-over has replaced
        one._note_position(2**60)
    relay("--once")
    assert not is_hit("default", title)


def test_a_publication_that_was_made_anew_makes_the_region_forget(outside: Run) -> None:
    """What was committed between the two is not sent: the server refuses to, or leaves it out (PostgreSQL 18)."""
    title()
    with Relay(regions[REGION], "default") as one:
        outside("DROP PUBLICATION cacheops")
        write(outside, "While there was no publication")
        relay("--install")
        with pytest.raises((RelayInterrupted, psycopg.OperationalError)):
            one.work_until(one.send_note())
    relay("--once")
    assert title() == "While there was no publication"


def test_nothing_is_told_nor_confirmed_by_another_publication(outside: Run) -> None:
    title()
    with Relay(regions[REGION], "default") as one:
        one._publication += 1  # what PostgreSQL sends no error for
        write(outside, "By another publication")
        position = one._position
        with pytest.raises(RelayInterrupted, match="made anew"):
            one.work_until(one.send_note())
        assert one._position == position
        assert is_hit("default", title)


def test_a_table_that_was_added_is_found_and_published(outside: Run) -> None:
    outside("ALTER PUBLICATION cacheops DROP TABLE testapp_book")
    title()
    write(outside, "Told by nobody")
    assert [each.id for each in check_relays(None, ["default"])] == ["cacheops.W008"]
    publish_new_tables("default")
    assert title() == "Told by nobody"
    assert check_relays(None, ["default"]) == []


def test_a_table_joins_when_nobody_is_writing_it(outside: Run) -> None:
    """What a transaction wrote to a table that was not published is not sent, though it commits later."""
    outside("ALTER PUBLICATION cacheops DROP TABLE testapp_book")
    with other_session() as writer:
        writer.execute("BEGIN")
        write(writer.execute, "In flight")
        joining = Actor(lambda: publish_new_tables("default"))
        until(lambda: outside(JOINED_OR_WAITS).fetchone()[0], "the table joins, or waits for its writer")
        title()
        writer.execute("COMMIT")
    joining.result()
    relay("--once")
    assert title() == "In flight"


@contextmanager
def commits_unseen(outside: Run) -> Iterator[None]:
    """Let commits of sessions that say so be in the log and not visible, as they wait for a replica to have them."""
    outside("ALTER DATABASE {} SET synchronous_commit = local".format(connection.settings_dict["NAME"]))
    connection.close()
    outside(SYNCHRONOUS.format("SET") + " = 'nobody'")
    outside("SELECT pg_reload_conf()")
    try:
        yield
    finally:
        outside(SYNCHRONOUS.format("RESET"))
        outside("SELECT pg_reload_conf()")
        outside("ALTER DATABASE {} RESET synchronous_commit".format(connection.settings_dict["NAME"]))
        connection.close()


def test_a_commit_is_told_once_it_is_visible(outside: Run) -> None:
    """R29: it is in the log before. Who reads between the two fills what was before."""
    title()
    with other_session() as writer:
        with commits_unseen(outside):
            writer.execute("SET synchronous_commit = on")
            committing, text = waiting_commit(outside, writer)
            telling = Actor(lambda: relay("--once"))
            until(lambda: told_or_waits(outside), "the relay has read the log")
            title()  # loads what is visible, and fills it
        committing.result()
        telling.result()
    assert title() == text


def waiting_commit(outside: Run, writer: psycopg.Connection) -> tuple[Actor, str]:
    """Have a session commit titles until a commit waits: the server takes its time to hear of its new settings."""
    pid = writer.info.backend_pid
    numbers = itertools.count()
    while True:
        text = f"Title {next(numbers)}"
        committing = Actor(partial(write, writer.execute, text))
        until(lambda: committing.is_done or waits(outside, pid) == "SyncRep", "it waits for a replica, or is done")  # noqa: B023
        if not committing.is_done:
            return committing, text


def waits(outside: Run, pid: int) -> str | None:
    found: str | None = outside("SELECT wait_event FROM pg_stat_activity WHERE pid = %s", [pid]).fetchone()[0]
    return found


def told_or_waits(outside: Run) -> bool:
    """Say whether the relay looks at snapshots, as it does behind the commit, or has gone on."""
    asked = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'SELECT pg_current_snapshot()%'"
    past = "SELECT confirmed_flush_lsn >= pg_current_wal_flush_lsn() FROM pg_replication_slots WHERE slot_name = %s"
    return outside(asked).fetchone()[0] or outside(past, [slot_name("default", REGION)]).fetchone()[0]


def test_a_connection_that_is_lost_meanwhile_makes_it_invalidate_again(outside: Run, monkeypatch: Any) -> None:
    """R24: what was told may have been told to a server that another has replaced."""
    store = regions[REGION].store
    told: list[Any] = []
    invalidate = store.invalidate

    def cut(tables: Any) -> int:
        told.append(tables)
        found = invalidate(tables)
        if len(told) == 1:
            store.close()
        return found

    title()
    write(outside, "Told twice")
    monkeypatch.setattr(store, "invalidate", cut)
    relay("--once")
    assert len(told) > 1
    assert told[0] == told[1]


def test_another_at_work_is_left_to_it(outside: Run) -> None:
    with other_session() as other:
        other.execute(LOCK_SQL, [slot_name("default", REGION)])
        with pytest.raises(CommandError, match="at work already"):
            relay("--once")
    assert "was told" in relay("--once")


def test_its_state_in_words(outside: Run) -> None:
    outside("UPDATE testapp_book SET title = 'x'")
    assert "NO RELAY IS AT WORK" in relay("--status")
    with Relay(regions[REGION], "default"):
        assert "a relay is at work" in relay("--status")
    outside("SELECT pg_drop_replication_slot(%s)", [slot_name("default", REGION)])
    assert "no relay has run yet" in relay("--status")


def test_what_can_not_work_is_refused(outside: Run) -> None:
    outside("ALTER PUBLICATION cacheops DROP TABLE testapp_note")
    outside("ALTER TABLE testapp_note SET UNLOGGED")
    try:
        with pytest.raises(CommandError, match='testapp_note" is UNLOGGED'):
            relay("--install")
        assert [each.id for each in check_relays(None, ["default"])] == ["cacheops.E025", "cacheops.W008"]
        outside("DROP PUBLICATION cacheops")
        assert check_relays(None, ["default"]) == []
    finally:
        outside("ALTER TABLE testapp_note SET LOGGED")
    with pytest.raises(CommandError, match="relay --install` first"):
        relay("--once")
    relay("--install")


def test_a_followed_database_whose_log_no_relay_can_read(
    outside: Run, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Such as one of PostgreSQL 13; or where nothing is installed."""
    version = "current_setting('server_version_num')"
    of_13 = publication.RIGHTS_SQL.replace(version, "'130012'")
    outside("DROP PUBLICATION cacheops")
    try:
        assert check_relays(None, ["default"]) == []
        settings.CACHEOPS_FOLLOWERS = {"replica": "default"}
        assert [each.msg[:24] for each in check_relays(None, ["default"])] == ["No relay is installed on"]
        monkeypatch.setattr(publication, "RIGHTS_SQL", of_13)
        why = "PostgreSQL 13, whose log tells no messages: 14 is the first"
        assert [each.id for each in check_relays(None, ["default"]) if why in each.msg] == ["cacheops.W011"]
        assert why in relay("--status")
        for act in ("--install", "--once"):
            with pytest.raises(CommandError, match=why):
                relay(act)
    finally:
        monkeypatch.undo()
        relay("--install")


def test_a_role_without_rights_is_refused(outside: Run) -> None:
    outside("DROP ROLE IF EXISTS plain; CREATE ROLE plain")
    with connection.cursor() as cursor:
        cursor.execute("SET ROLE plain")
    try:
        with pytest.raises(CommandError, match="may not make replication slots"):
            relay("--install")
    finally:
        connection.close()
        outside("DROP ROLE plain")


@pytest.mark.parametrize("act", ["--install", "--uninstall", "--status", "--once"])
def test_a_database_without_a_log_is_refused(act: str) -> None:
    with pytest.raises(CommandError, match="no log that a relay can read"):
        relay(act, "--database", "other")


def test_a_region_that_no_relay_reaches_is_refused(outside: Run, settings: Any) -> None:
    settings.CACHES = {**settings.CACHES, REGION: {"BACKEND": "cacheops.backends.MemoryCache", "LOCATION": "r"}}
    with pytest.raises(CommandError, match="in the memory of each process"):
        relay("--once")
    settings.CACHEOPS_PREFIX = lambda: "tenant"
    with pytest.raises(CommandError, match="CACHEOPS_PREFIX is a function"):
        relay("--once")
    settings.CACHEOPS_REGIONS = {"other": (REGION,)}
    with pytest.raises(CommandError, match="no region that caches 'default'"):
        relay("--once")
