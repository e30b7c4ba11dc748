"""The verifier in a region that follows: what the relay has not told yet is allowed, and named; a fault is one."""

import time
from types import SimpleNamespace
from typing import Any

import pytest

from cacheops.encoding import rows as codec
from cacheops.monitoring import verify_follower
from cacheops.monitoring.verify import Difference, recipe_keys, verify
from cacheops.monitoring.verify_rows import equal_at_once
from cacheops.protocol.keys import parse
from cacheops.reading.recipes import Recipe, read_recipe
from cacheops.regions import regions
from cacheops.stores.base import EncodedEntry
from tests.cacheops.relay import follower
from tests.cacheops.relay.follower import REGION, Run, keys_of, tell_and_catch_up, title, write
from tests.replica import catch_up, pause

pytestmark = [pytest.mark.servers, pytest.mark.django_db]
outside = follower.outside


@pytest.fixture
def read(outside: Run, settings: Any, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Have a title in the region, with its recipe; return what writes outside."""
    monkeypatch.setattr(verify_follower, "WAIT_SECONDS", 0.0)
    settings.CACHEOPS_VERIFY_SAMPLE = 1
    tell_and_catch_up()
    title()
    assert verified() == ["equal"]
    return outside


@pytest.fixture
def telling(read: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the relay go on telling while the verifier waits: a server writes to its log unasked, too."""
    monkeypatch.setattr(verify_follower, "WAIT_SECONDS", 60.0)
    waiting = SimpleNamespace(monotonic=time.monotonic, sleep=lambda seconds: follower.tell())
    monkeypatch.setattr(verify_follower, "time", waiting)


def verified() -> list[str | Difference]:
    found = verify(regions[REGION], recipe_keys(regions[REGION]))
    return [each.difference or each.outcome for each in found]


def recipe() -> Recipe:
    (key,) = recipe_keys(regions[REGION])
    payload = regions[REGION].store.read([key])[0]
    assert payload is not None
    return read_recipe(key, payload)


def put(key: str, value: bytes) -> None:
    regions[REGION].store.fill([EncodedEntry(key, value, 60)]).result()


def forge() -> None:
    key = recipe().keys[0]
    value = regions[REGION].store.read([key])[0]
    assert value is not None
    entry = codec.decode(value, key)
    put(key, codec.encode([("forged",)], entry.versions, entry.made_at, entry.expires_at, entry.load_seconds, key))


def differences() -> list[tuple[str, str]]:
    found = verified()
    return [(each.cause, each.allowed) for each in found if isinstance(each, Difference)]


def test_what_the_relay_has_not_told_yet_is_its_lag(read: Run) -> None:
    write(read, "Not told yet")
    catch_up("replica")
    assert differences() == [("relay_behind", "within the bound")]
    regions[REGION].store.delete([keys_of("testapp_book").position])
    assert differences() == [("relay_behind", "it is not served")]
    tell_and_catch_up()
    assert verified() == ["outdated"]


@pytest.mark.usefixtures("telling")
def test_what_no_relay_was_told_of_is_an_outside_writer_s(read: Run) -> None:
    """The region may hold entries of the primary, too, from before it followed: they are no second name."""
    keys = keys_of("testapp_book")
    put(keys.registry.replace("{replica@", "{default@"), b"s:")
    forge()
    read("SELECT pg_create_restore_point('unasked')")  # as the server's own records of each 15 s
    catch_up("replica")
    assert differences() == [("outside_writer", "")]


@pytest.mark.usefixtures("telling")
def test_a_replica_under_two_identities_is_named(read: Run) -> None:
    own = parse(recipe().keys[0])
    assert own is not None
    put(f"{own.prefix}:{{replica@elsewhere.{own.table}}}:r", b"s:")
    forge()
    assert differences() == [("two_keys", "")]


def test_a_replica_that_is_behind_the_region_is_not_compared(read: Run) -> None:
    """It may be older than the entry."""
    assert equal_at_once(regions[REGION], [recipe()]) == {recipe().keys[0]}
    pause("replica")
    read("DELETE FROM testapp_tag WHERE id = -1")
    follower.tell()
    assert equal_at_once(regions[REGION], [recipe()]) == set()
    forge()
    assert verified() == ["changed"]


def test_a_region_s_entries_are_verified_by_its_own_processes(read: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr("cacheops.monitoring.verify_rows.connections.settings", {"default": {}})
        assert verified() == ["other_session"]
