"""A region that follows two databases: each has a relay, a slot and positions of its own."""

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from django.db import connections

import cacheops
from cacheops.checks import check_engines, check_regions, check_relays
from cacheops.invalidation import invalidate_model
from tests.cacheops.relay import follower
from tests.cacheops.relay.conftest import relay
from tests.cacheops.relay.follower import HOME, REGION, Run, assert_hit, sources, tell_and_catch_up, title, write
from tests.replica import catch_up
from tests.testapp.models import Tag

pytestmark = [pytest.mark.servers, pytest.mark.django_db]
outside = follower.outside
SECOND, FAR_SECOND = "second", "second_replica"


@pytest.fixture
def second(outside: Run, settings: Any) -> Iterator[Run]:
    """Make another database on the same servers, which the region follows too; return what runs a statement in it."""
    outside("CREATE DATABASE second")
    for alias, like in ((SECOND, "default"), (FAR_SECOND, "replica")):
        connections.settings[alias] = {**connections[like].settings_dict, "NAME": "second"}
    settings.CACHEOPS_REGIONS = {**settings.CACHEOPS_REGIONS, "other": (HOME,), SECOND: (HOME,), FAR_SECOND: (REGION,)}
    settings.CACHEOPS_FOLLOWERS = {"replica": "default", FAR_SECOND: SECOND}
    with connections[SECOND].schema_editor() as editor:
        editor.create_model(Tag)
    relay("--install", "--database", SECOND)
    parameters = connections[SECOND].get_connection_params()
    names = {name: parameters[name] for name in ("host", "port", "user", "dbname") if name in parameters}
    try:
        with psycopg.connect(**names, autocommit=True) as other:
            yield other.execute
        relay("--uninstall", "--database", SECOND)
    finally:
        for alias in (SECOND, FAR_SECOND):
            connections[alias].close()
            del connections[alias]
            del connections.settings[alias]
        outside("DROP DATABASE second WITH (FORCE)")


def tags_of_second() -> int:
    return Tag.objects.using(FAR_SECOND).count()


def tell_of_second() -> None:
    assert "was told" in relay("--once", "--region", REGION, "--database", SECOND)
    catch_up("replica")


def test_each_is_told_by_its_own_relay(outside: Run, second: Run) -> None:
    assert [*check_regions(None), *check_engines(None), *check_relays(None, ["default", SECOND])] == []
    tell_and_catch_up()
    tell_of_second()
    title(), tags_of_second()
    assert_hit(title, tags_of_second)
    second("INSERT INTO testapp_tag (name) VALUES ('of-second')")
    write(outside, "Of the first")
    tell_and_catch_up()
    assert_hit(tags_of_second)
    assert title() == "Of the first"
    tell_of_second()
    assert_hit(title)
    assert sources(tags_of_second) == []  # neither of the first
    assert tags_of_second() == 1


def test_a_reader_s_own_writes_count_for_their_database(outside: Run, second: Run) -> None:
    tell_and_catch_up()
    tell_of_second()
    title(), tags_of_second()
    second("INSERT INTO testapp_tag (name) VALUES ('mine')")
    mine = cacheops.position(SECOND)
    assert mine
    with cacheops.after(mine):
        assert tags_of_second() == 1
    tell_of_second()
    assert tags_of_second() == 1


def test_what_is_invalidated_by_hand_goes_into_both_logs(outside: Run, second: Run) -> None:
    for alias in ("default", SECOND):
        tell_and_catch_up()
        tell_of_second()
        title(), tags_of_second(), follower.tags()
        assert_hit(title, tags_of_second, follower.tags)
        invalidate_model(Tag, using=alias)
        tell_and_catch_up()
        tell_of_second()
        assert sources(follower.tags) == (["replica"] if alias == "default" else [])
