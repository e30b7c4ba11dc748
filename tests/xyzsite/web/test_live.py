"""Pages that keep themselves up to date: 304 exactly while a reader would get what they have."""

import re
from itertools import product

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from locations.models import Membership
from tests.xyzsite.web.conftest import World
from tests.xyzsite.web.test_parts import CHANGES, OWN, Clock

PAGES = ["/", "/locations/", "/locations/harbor/?sort=-value", "/devices/H-1/", "/analytics/?metric=temperature"]
NOTHING = '"-"'


def poll(client: Client, address: str, tag: str = NOTHING):
    return client.get(address, headers={"If-None-Match": tag})


def text(answer) -> bytes:
    return OWN.sub(b"", answer.content)


def test_a_poll_is_304_while_nothing_changes_and_never_after(
    member: Client, staff: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock(timezone.now().replace(second=0))
    monkeypatch.setattr(timezone, "now", clock)
    asked = [(member, address) for address in PAGES] + [(staff, "/"), (staff, PAGES[2])]
    first = {one: poll(*one) for one in asked}
    tags = {one: answer["ETag"] for one, answer in first.items()}
    shown = {one: text(answer) for one, answer in first.items()}
    unchanged = []
    for name, change in CHANGES.items():
        change(clock)
        for one, tag in tags.items():
            answer = poll(*one, tag)
            if answer.status_code == 304:
                unchanged.append(name)
                assert (answer.content, shown[one]) == (b"", text(poll(*one))), (name, one[1])
            elif answer.status_code == 200:
                assert text(answer) != shown[one], (name, one[1])
                tags[one], shown[one] = answer["ETag"], text(answer)
    assert unchanged.count("nothing") == len(first)
    assert len(unchanged) > 3 * len(first)  # a change of one page leaves the others


@pytest.mark.django_db(transaction=True)
def test_a_poll_of_any_number_of_readers_asks_no_database(world: World, member: Client, staff: Client) -> None:
    for client, address in product((member, staff), PAGES):
        tag = [poll(client, address)["ETag"] for _ in range(2)][-1]
        with CaptureQueriesContext(connection) as queries:
            assert poll(client, address, tag).status_code in (200, 304)
        assert [query["sql"] for query in queries] == [], address


def test_only_the_poll_has_a_tag_and_everybody_gets_a_page(world: World, member: Client) -> None:
    assert "ETag" not in member.get("/")
    tag = poll(member, "/devices/H-1/")["ETag"]
    Membership.objects.all().delete()
    assert poll(member, "/devices/H-1/", tag).status_code == 404  # not 304, as it is not theirs any more
    assert poll(Client(), "/", tag).status_code == 302
    part = member.get("/locations/", headers={"HX-Request": "true", "HX-Target": "locations"})
    assert b"<html" not in part.content


def test_a_poll_takes_no_message_away(world: World, staff: Client) -> None:
    answer = staff.post("/locations/harbor/statuses/", {"serial": ["H-1"], "status": "offline"})
    assert answer.status_code == 302
    assert b"another status now" not in poll(staff, "/").content
    assert b"another status now" in staff.get(answer.url).content


def test_the_parts_that_live_have_names(world: World, member: Client) -> None:
    for address in PAGES:
        tags = re.findall(r"<[a-z]+ [^>]*data-live\b(?!-)[^>]*>", member.get(address).content.decode())
        assert tags, address
        assert all(" id=" in tag for tag in tags), address
