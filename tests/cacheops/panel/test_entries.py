"""The list of a model's entries: all of them over its pages, narrowed, and what is gone from the database."""

import re
from html import unescape
from typing import Any

import pytest
from django.db import connection
from django.test import Client

from cacheops.panel import entries_page
from cacheops.panel.entries_page import ListedEntry, entries_of
from devices.models import Device
from locations.models import Location
from tests.cacheops.panel.conftest import PANEL, World

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "other"])

ENTRIES = f"{PANEL}models/entries/"


@pytest.fixture
def places(world: World) -> list[Location]:
    """Return locations that are cached each by its key."""
    made = [Location.objects.create(code=f"e-{number}", name="x" * 20 * number) for number in range(6)]
    return [Location.objects.get(pk=place.pk) for place in made]


def shown(client: Client, path: str) -> tuple[set[str], str]:
    """Return the keys that a page lists, and the address of the next one."""
    text = client.get(path).content.decode()
    following = re.search(r'href="(\?[^"]*at=[^"]+)"', text)
    keys = set(re.findall(r'class="co-key"[^>]*>([^<]+)<', text))
    return keys, unescape(following[1]) if following else ""


def all_shown(client: Client, query: str) -> set[str]:
    """Return the keys that the pages list from a first one on: a server that holds many others needs several."""
    found, following = set[str](), f"?{query}"
    while following:
        keys, following = shown(client, f"{ENTRIES}{following}")
        found |= keys
    return found


def all_entries(region: str = "us-east-1", **narrowed: Any) -> list[ListedEntry]:
    page = entries_of(Location, region, **narrowed)
    found = list(page.entries)
    while page.following:
        page = entries_of(Location, region, **narrowed, at=page.following)
        found += page.entries
    return found


def test_all_entries_of_a_model_and_no_others_are_listed(world: World, root: Client, places: list[Location]) -> None:
    Device.objects.get(pk=world.device.pk)
    keys = all_shown(root, "model=locations.location")
    assert len(keys) == 6
    assert all(".locations_location}:e:" in key for key in keys)
    found = root.get(f"{PANEL}look-up/", {"key": keys.pop(), "region": "us-east-1"})
    assert b"a read now is a" in found.content


def test_pages_follow_each_other_and_leave_none_out(
    root: Client, places: list[Location], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(entries_page, "PAGE", 2)
    assert len(all_shown(root, "model=locations.location&older=0")) == 6


def test_a_list_is_narrowed_by_age_by_size_and_by_what_is_left(places: list[Location]) -> None:
    def count(**narrowed: Any) -> int:
        return len(all_entries(**narrowed))

    assert count() == count(older=0) == count(ends=86_400) == 6
    assert (count(older=60), count(ends=60)) == (0, 0)
    sizes = sorted(one.size for one in all_entries())
    assert count(larger=sizes[2]) == 3
    assert all_entries("us-west-2") == []


@pytest.mark.parametrize("query", ["no.model", "locations.location&region=mars", "locations.location&older=x"])
def test_what_makes_no_sense_is_said_at_its_field(root: Client, query: str) -> None:
    answer = root.get(f"{ENTRIES}?model={query}")
    assert answer.status_code == 200
    assert b'role="alert"' in answer.content


def test_what_is_gone_from_the_database_is_invalidated_by_its_key(
    world: World, root: Client, places: list[Location]
) -> None:
    gone = places[0].pk
    connection.ensure_connection()
    connection.connection.execute(f"DELETE FROM locations_location WHERE id = {gone}")  # as another program would
    assert Location.objects.get(pk=gone).code == "e-0"  # the cache has it
    action = {"model": "locations.location", "pk": str(gone)}
    said = root.get(f"{PANEL}actions/invalidate-object/", action).content
    assert b"The database has no such row" in said
    root.post(f"{PANEL}actions/invalidate-object/", action)
    with pytest.raises(Location.DoesNotExist):
        Location.objects.get(pk=gone)
    unknown = root.get(f"{PANEL}actions/invalidate-object/", {"model": "locations.location", "pk": "code=e-0"})
    assert b"give its primary key" in unknown.content
