"""What actions do, to this process and to others; and that each leaves an entry in the admin log."""

import time
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.test import Client
from django.utils import timezone

from cacheops import RowsOf
from cacheops.databases import table_keys
from cacheops.instrumentation.request_stats import collect_request_stats
from cacheops.invalidation import invalidate_model
from cacheops.models import Control, QueuedInvalidation
from cacheops.panel.entry_page import look_up_row
from cacheops.panel.switches import pause, pauses
from cacheops.patterns import AsideEntry, CacheAsideManager
from cacheops.regions import regions
from cacheops.regions.switches import Switches, switches
from cacheops.stores.base import TableTags
from cacheops.stores.circuit_breaker import CircuitState
from devices.models import Device
from tests.cacheops.panel.conftest import PANEL, SignIn, World

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "other"])


ACTION = f"{PANEL}actions/invalidate-object/"


def read(world: World) -> str:
    """Read the device, and say what the cache did."""
    with collect_request_stats() as stats:
        Device.objects.get(pk=world.device.pk)
    return "hit" if stats.hits else "miss" if stats.misses else "bypass"


def batch_bypasses(world: World) -> int:
    """Return how many reads of a batch that depends on the device went past the cache."""
    entry = AsideEntry("device:7:batch", (RowsOf(Device, {"id": world.device.pk}),))
    with collect_request_stats() as stats:
        CacheAsideManager().get_or_set_many([entry], lambda keys: dict.fromkeys(keys, "value"))
    return stats.bypasses


def verdict(world: World, region: str = "us-east-1") -> str:
    return look_up_row(region, Device, str(world.device.pk), world.root).verdict


def act(client: Client, slug: str, **values: Any) -> LogEntry:
    """Confirm an action, and return its entry in the log."""
    response = client.post(f"{PANEL}actions/{slug}/", values)
    assert response.status_code == 302, response.context["form"].errors
    entry = LogEntry.objects.latest("pk")
    assert entry.object_id == slug
    return entry


@pytest.fixture
def cached(world: World) -> Iterator[World]:
    assert read(world) == "miss"
    assert read(world) == "hit"
    yield world
    invalidate_model(Device)


def test_an_object_is_invalidated(cached: World, root: Client) -> None:
    entry = act(root, "invalidate-object", model="devices.device", pk="serial=H-1")
    assert read(cached) == "miss"
    assert entry.user == cached.root
    assert entry.object_repr == f"Invalidate an object: devices.Device {cached.device.pk}"
    assert "us-east-1, us-west-2, us-east-2" in entry.change_message


@pytest.mark.parametrize("condition", ["name=Quay thermometer", "location_id={}", "location={}"])
def test_a_field_that_many_rows_may_share_names_no_object(cached: World, root: Client, condition: str) -> None:
    place = cached.device.location
    Device.objects.create(
        location=place, serial="H-2", name=cached.device.name, kind="thermometer", metric="temperature"
    )
    values = {"model": "devices.device", "pk": condition.format(place.pk)}
    for answer in (root.get(ACTION, values), root.post(ACTION, values)):
        assert answer.status_code == 200
        field = condition.partition("=")[0]
        assert f"devices.Device.{field} is not unique" in answer.content.decode()
    assert not LogEntry.objects.exists()


def test_a_model_is_invalidated(cached: World, root: Client) -> None:
    act(root, "invalidate-model", model="devices.device")
    assert read(cached) == "miss"


def test_everything_is_invalidated(cached: World, root: Client) -> None:
    kept = CacheAsideManager()
    kept.get_or_set("device:7:current", lambda: "old")
    act(root, "invalidate-all")
    assert read(cached) == "miss"
    assert kept.get_or_set("device:7:current", lambda: "new") == "new"


def test_keys_are_invalidated_by_a_pattern(world: World, root: Client) -> None:
    kept = CacheAsideManager()
    for key in ("device:7:current", "device:7:summary:24h", "device:8:current"):
        kept.get_or_set(key, lambda: "old")
    entry = act(root, "invalidate-pattern", pattern="device:7:*")
    assert "Invalidated 2 keys" in entry.change_message
    assert kept.get_or_set("device:7:current", lambda: "new") == "new"
    assert kept.get_or_set("device:8:current", lambda: "new") == "old"


@pytest.mark.parametrize("pattern", ["*", "**?", ""])
def test_a_pattern_that_matches_all_is_refused(root: Client, pattern: str) -> None:
    response = root.post(f"{PANEL}actions/invalidate-pattern/", {"pattern": pattern})
    assert response.status_code == 200
    assert response.context["form"].errors
    assert not LogEntry.objects.exists()


def test_a_model_is_warmed(world: World, root: Client) -> None:
    assert verdict(world) == "miss"
    entry = act(root, "warm", target="devices.Device", region="all", top=5)
    assert [verdict(world, name) for name in ("us-east-1", "us-west-2", "us-east-2")] == ["hit"] * 3
    assert "us-west-2:" in entry.change_message
    assert read(world) == "hit"


def test_a_paused_model_is_read_from_the_database_and_still_invalidated(cached: World, root: Client) -> None:
    act(root, "pause", model="devices.device", seconds=60, reason="Strange values")
    assert [read(cached), read(cached)] == ["bypass", "bypass"]
    assert verdict(cached) == "bypass"
    assert [batch_bypasses(cached), batch_bypasses(cached)] == [1, 1]
    for page in ("", "models/", "look-up/", "actions/", "regions/us-west-2/", "actions/warm/"):
        content = root.get(PANEL + page).content.decode()
        assert "devices.device is not cached until" in content
        assert "Strange values" in content
    listed = root.get(f"{PANEL}actions/resume/").content.decode()
    assert ('value="devices.device"' in listed, 'value="devices.reading"' in listed) == (True, False)
    Device.objects.filter(pk=cached.device.pk).update(name="Other")
    act(root, "resume", model="devices.device")
    assert "No model is paused." in root.get(f"{PANEL}actions/resume/").content.decode()
    assert Device.objects.get(pk=cached.device.pk).name == "Other"
    assert read(cached) == "hit"
    assert "is not cached until" not in root.get(PANEL).content.decode()


def test_a_pause_reaches_other_processes_and_ends_by_itself(
    cached: World, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cacheops.regions.switches.LOOK_SECONDS", 60.0)
    other = Switches()  # what another process knows
    pause(Device, 60, "ann")
    device_table = Device._meta.db_table
    tables = [TableTags(table_keys("default", device_table), ())]
    assert look_up_row("us-east-1", Device, str(cached.device.pk), cached.root).key.startswith(tables[0].keys.base)
    assert other.is_paused(["default"], tables)
    assert not other.is_paused(["default"], [])
    Control.objects.update(until=timezone.now() - timedelta(seconds=1))
    assert other.is_paused(["default"], tables), "it looks now and then, not with each read"
    other.recheck()
    assert not other.is_paused(["default"], tables)


def test_another_pause_replaces_the_first(world: World) -> None:
    pause(Device, 3600, "ann")
    until = pause(Device, 60, "bob", "sooner")
    (found,) = pauses()
    assert (found.model, found.until, found.by, found.reason) == ("devices.device", until, "bob", "sooner")


def test_a_circuit_is_closed_here_and_in_other_processes(world: World, root: Client) -> None:
    breaker = regions["us-west-2"].breaker
    for _ in range(breaker.failure_threshold):
        breaker.failed()
        breaker._next_try = None  # as after the pause between two failures
    breaker._next_try = time.monotonic() + 60
    assert breaker.state is CircuitState.OPEN
    entry = act(root, "reset-breaker", region="us-west-2")
    assert breaker.state is CircuitState.CLOSED
    assert "It was open in this process" in entry.change_message
    for _ in range(breaker.failure_threshold):
        breaker.failed()
        breaker._next_try = None
    breaker._next_try = time.monotonic() + 60
    switches.reset()  # as in a process that has not looked yet
    read(world)
    assert breaker.state is CircuitState.CLOSED
    for _ in range(breaker.failure_threshold):
        breaker.failed()
        breaker._next_try = None
    breaker._next_try = time.monotonic() + 60
    switches.recheck()
    read(world)
    assert breaker.state is CircuitState.OPEN, "one word closes it once"
    breaker.reset()


def test_the_log_names_who_and_what_on_the_home_page(world: World, staff: SignIn) -> None:
    client = staff("cacheops.view_panel", "cacheops.invalidate_model")
    act(client, "invalidate-model", model="locations.location")
    content = client.get(PANEL).content.decode()
    assert "Invalidate a model: locations.Location" in content
    assert "Invalidated locations.Location" in content


def test_the_overview_tells_a_region_that_is_back_what_it_missed(world: World, root: Client) -> None:
    store = regions["us-west-2"].store
    table = [TableTags(table_keys("default", "devices_device"), ())]
    leased = store.lease(table, "", 60.0, 0.0).result()
    assert isinstance(leased, bytes)
    assert store.outdated_for(table, leased) == 0
    QueuedInvalidation.objects.create(region="us-west-2", table="devices_device")
    cards = {card.name: card for card in root.get(PANEL).context["cards"]}
    assert cards["us-west-2"].queued == 0
    assert store.outdated_for(table, leased) != 0
    assert not QueuedInvalidation.objects.exists()
