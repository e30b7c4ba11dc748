"""A region that caches the suite's replica, whose relay a test runs: what its tests share."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from django.db import connections

from cacheops.protocol.keys import TableKeys
from cacheops.regions import regions
from cacheops.relay.follower import FollowerRelay
from tests.cacheops.relay.conftest import Run, other_session, relay
from tests.replica import catch_up, follow
from tests.testapp import world
from tests.testapp.cached import statements
from tests.testapp.models import Book, Tag

HOME, REGION = "us-east-1", "us-west-2"
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


def tell() -> None:
    """Have the region told of all that is committed now, whether the replica shows it or not."""
    relay("--once", "--region", REGION)


def tell_and_catch_up() -> None:
    tell()
    catch_up("replica")


def new_relay() -> FollowerRelay:
    return FollowerRelay(regions[REGION], "default", "replica")


@contextmanager
def relay_at_work() -> Iterator[FollowerRelay]:
    """Have a relay of this process's own tell the region when it is asked to."""
    one = new_relay()
    assert one.try_turn()
    with one:
        yield one


def tell_by(one: FollowerRelay) -> None:
    """Have a relay at work tell of all that is committed now, which the replica shows then."""
    one.work_until(one.send_note())
    catch_up("replica")


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
    return new_relay()._keys(table)
