"""A Redis primary that is lost between a writer's mark and its commit."""

from collections.abc import Iterator
from typing import Any

import environ
import pytest
from django.db.transaction import atomic

from cacheops.exceptions import InvalidationRefused
from cacheops.regions import regions
from tests import clients
from tests.races.actors import Actor, Gate, at_commit
from tests.testapp import world
from tests.testapp.cached import is_hit
from tests.testapp.models import Book
from tests.waiting import until
from xyzsite.localregions.manager import LocalRegions
from xyzsite.settings.regions import caches_from_environment

pytestmark = pytest.mark.django_db
REGION = "us-west-2"


@pytest.fixture
def pair(
    breakable_regions: LocalRegions, _django_db_helper: None, cache: str, settings: Any, monkeypatch: Any
) -> Iterator[LocalRegions]:
    """Let the process know one region, a primary and a replica, that the test may break."""
    for name, value in breakable_regions.environment(REGION).items():
        if name.startswith("REDIS_"):
            monkeypatch.setenv(name, value)
    settings.CACHES = caches_from_environment(environ.Env(), REGION)
    settings.CACHEOPS_REGIONS = (REGION,)
    settings.CACHEOPS_LOCAL_REGION = REGION
    settings.CACHEOPS_BREAKER_RECOVERY = 0.1
    world.empty("default")
    world.fill("default")
    yield breakable_regions
    settings.CACHEOPS_WAIT_REPLICAS = 0  # the killed node may not be back yet
    world.empty("default")


def title() -> str:
    return Book.objects.get(pk=1).title


def rename(name: str) -> None:
    Book.objects.filter(pk=1).update(title=name)


def replace_primary(pair: LocalRegions) -> None:
    """Kill the primary, and wait until its replica has taken over."""
    old = clients.primary(pair, REGION)["node"]
    pair.kill(old)
    until(lambda: clients.primary(pair, REGION)["node"] != old, "another primary")
    client = clients.pair(pair, REGION)
    until(lambda: clients.write(client, "key", "value"), "a write to the new primary")


def wait_replicated(pair: LocalRegions) -> None:
    until(lambda: clients.replica(pair, REGION)["lag"] == 0, "the replica has all")


def fill(pair: LocalRegions) -> None:
    """Have the entry, and on the replica too, which the primary's record names."""
    until(lambda: title() and is_hit("default", title), "the entry is cached")
    regions.local.store.servers.note_replicas()
    wait_replicated(pair)


def test_the_replica_that_takes_over_has_the_mark(pair, settings):
    settings.CACHEOPS_WAIT_REPLICAS = 1
    settings.CACHEOPS_WAIT_SECONDS = 5
    settings.CACHEOPS_ON_UNREACHABLE = "strict"
    fill(pair)
    before, after = Gate(), Gate()

    def write():
        at_commit(before=before, after=after)
        rename("new")

    writer = Actor(write)
    before.wait()
    replace_primary(pair)
    before.open()
    after.wait()
    assert title() == "new"  # committed, not cleared: the new primary knows the mark
    after.open()
    writer.result()
    assert title() == "new"


def test_without_waiting_for_replicas_a_lost_mark_shows_the_past(pair, settings):
    """What the setting is for: the same history, but the replica has not heard of the mark."""
    settings.CACHEOPS_WAIT_REPLICAS = 0
    fill(pair)
    before, after = Gate(), Gate()

    def write():
        at_commit(before=before, after=after)
        rename("new")

    pair.pause(clients.replica(pair, REGION)["node"])
    # What is on its way to a frozen replica still arrives: the primary must send nothing.
    clients.node(clients.primary(pair, REGION)).client_kill_filter(_type="replica")
    writer = Actor(write)
    before.wait()
    old, standby = clients.primary(pair, REGION)["node"], clients.replica(pair, REGION)["node"]
    pair.kill(old)
    pair.resume(standby)
    until(lambda: clients.primary(pair, REGION)["node"] == standby, "another primary")
    before.open()
    after.wait()
    until(lambda: is_hit("default", title), "the new primary answers, and knows of no mark")
    assert title() == "Title 0"
    after.open()
    writer.result()


def test_a_mark_that_no_replica_confirms_is_refused(pair, settings):
    """Strict: the write is rolled back, hooks and all, and the connection is of use again."""
    settings.CACHEOPS_WAIT_REPLICAS = 1
    settings.CACHEOPS_ON_UNREACHABLE = "strict"
    fill(pair)
    ran: list[str] = []

    def write():
        from django.db import transaction

        with atomic():
            transaction.on_commit(lambda: ran.append("refused"))
            rename("new")

    pair.pause(clients.replica(pair, REGION)["node"])
    with pytest.raises(InvalidationRefused):
        write()
    pair.resume(clients.replica(pair, REGION)["node"])
    pair.wait_linked()
    assert ran == []
    assert title() == "Title 0"
    until(lambda: succeeds(write), "a write that is confirmed")
    assert ran == ["refused"]
    assert title() == "new"


def succeeds(write: Any) -> bool:
    try:
        write()
    except InvalidationRefused:
        return False
    return True
