"""What stands on the pages, how they are narrowed and sorted, and how many queries they take."""

import re
from datetime import UTC, datetime, timedelta

import pytest
from django.core.cache import caches
from django.test import Client

from devices.models import Kind, Reading, Status
from locations.models import Location, Membership
from tests.xyzsite.web.conftest import World, add_device
from users.models import ApiToken

PART = {"HTTP_HX_REQUEST": "true"}


def names(answer) -> list[str]:
    """Return the first links of a table's rows, in order."""
    return re.findall(r'<th scope="row"><a [^>]*>([^<]+)</a>', answer.content.decode())


def ignored(answer) -> list[str]:
    """Return what a page says that it left out."""
    return re.findall(r'<p class="ignored error">(\w+) is left out: \w', answer.content.decode())


@pytest.fixture
def fleet(world: World) -> World:
    """Thirty more devices at the harbor, of two kinds."""
    for number in range(30):
        add_device(
            world.harbor,
            f"H-{number + 10}",
            f"Device {number:02}",
            kind=Kind.HYGROMETER if number % 2 else Kind.THERMOMETER,
            status=Status.OFFLINE if number == 7 else Status.ACTIVE,
            current_value=None if number == 3 else float(number),
            last_seen=world.now - timedelta(minutes=number),
        )
    return world


def test_the_overview_counts_and_names_what_needs_attention(fleet: World, member: Client) -> None:
    add_device(fleet.harbor, "H-S", "Fell silent", last_seen=fleet.now - timedelta(hours=4))
    add_device(fleet.harbor, "H-N", "Never heard", last_seen=None)
    shown = member.get("/").context["overview"]
    assert (shown.counts.total, shown.counts.offline, shown.silent) == (33, 1, 2)
    assert [(row.name, row.reason) for row in shown.attention] == [
        ("Device 07", "offline"),
        ("Fell silent", "silent"),
        ("Never heard", "silent"),
    ]
    values = {region.code: region.locations for region in shown.regions}["us-west-2"][0].values
    expected = [20.0, *(float(number) for number in range(30) if number not in (3, 7))]
    assert values["temperature"] == pytest.approx(sum(expected) / len(expected))


def test_an_old_data_set_is_not_all_silent(fleet: World, member: Client) -> None:
    for place in Location.objects.all():
        place.devices.update(last_seen=datetime(2017, 2, 28, 15, tzinfo=UTC))
    shown = member.get("/").context["overview"]
    assert (shown.silent, shown.historical) == (0, True)
    assert b"28 Feb 2017, 07:00 PST" in member.get("/").content


@pytest.mark.parametrize(
    ("query", "count"),
    [
        ("?kind=hygrometer", 15),
        ("?status=offline", 1),
        ("?search=h-1", 11),
        ("?search=device&kind=hygrometer&status=active", 14),
        ("?search=nothing%20fits", 0),
        ("?kind=evil&status=%00&search=%00", 31),
    ],
)
def test_devices_are_narrowed(fleet: World, member: Client, query: str, count: int) -> None:
    answer = member.get(f"/locations/harbor/{query}")
    assert (answer.status_code, answer.context["page"].total) == (200, count)
    assert ignored(answer) == (["Search", "Kind", "Status"] if "evil" in query else [])


@pytest.mark.parametrize("serial", ["%00", "H-1%00", "H-1%FF"])
def test_a_serial_that_can_not_be_is_not_found(member: Client, serial: str) -> None:
    assert member.get(f"/devices/{serial}/").status_code == 404


def test_devices_without_a_value_come_last_either_way(fleet: World, member: Client) -> None:
    up = names(member.get("/locations/harbor/?sort=value&page=2"))
    down = names(member.get("/locations/harbor/?sort=-value&page=2"))
    assert up[-1] == down[-1] == "Device 03"
    assert names(member.get("/locations/harbor/?sort=-value"))[0] == "Device 29"


@pytest.mark.parametrize(
    ("query", "number"),
    [("?page=2", 2), ("?page=zzz", 1), ("?page=0", 1), ("?page=-1", 1), ("?page=99", 2), ("?page=" + "9" * 40, 1)],
)
def test_a_page_that_is_not_there_is_the_nearest(fleet: World, member: Client, query: str, number: int) -> None:
    answer = member.get(f"/locations/harbor/{query}")
    assert (answer.status_code, answer.context["page"].number) == (200, number)


def test_pages_share_no_row_and_miss_none(fleet: World, member: Client) -> None:
    for sort in ("name", "-kind", "status", "-value", "last_seen"):
        seen = [name for page in (1, 2) for name in names(member.get(f"/locations/harbor/?sort={sort}&page={page}"))]
        assert len(seen) == len(set(seen)) == 31, sort


@pytest.mark.parametrize("sort", ["evil", "-evil", "password", "--name", "location__code"])
def test_an_order_that_is_not_there_is_the_usual_one(fleet: World, member: Client, sort: str) -> None:
    assert names(member.get(f"/locations/harbor/?sort={sort}")) == names(member.get("/locations/harbor/"))


def test_the_sorted_column_says_so(fleet: World, member: Client) -> None:
    page = member.get("/locations/harbor/?sort=-value&kind=thermometer").content.decode()
    assert re.findall(r'aria-sort="(\w+)"><a id="sort-(\w+)"', page) == [("descending", "value")]
    assert 'href="?sort=value&amp;kind=thermometer"' in page


def test_htmx_gets_the_part_and_caches_keep_both_apart(fleet: World, member: Client) -> None:
    part = member.get("/locations/harbor/?kind=hygrometer", HTTP_HX_TARGET="devices", **PART)
    whole = member.get("/locations/harbor/?kind=hygrometer")
    assert b"<html" not in part.content
    assert b"<html" in whole.content
    assert names(part) == names(whole)
    assert {"HX-Request", "HX-Target"} <= set(part["Vary"].split(", "))
    assert b"page foot" not in part.content  # how the part was made replaces how the page was


def test_going_back_gets_the_whole_page(fleet: World, member: Client) -> None:
    answer = member.get("/locations/harbor/", HTTP_HX_TARGET="devices", HTTP_HX_HISTORY_RESTORE_REQUEST="true", **PART)
    assert answer.status_code == 200
    assert b"<html" in answer.content


def test_locations_are_narrowed(world: World, staff: Client) -> None:
    assert names(staff.get("/locations/?search=HARB")) == ["Harbor"]
    assert names(staff.get("/locations/?region=us-east-2")) == ["Ridge"]
    assert names(staff.get("/locations/?sort=-name")) == ["Ridge", "Harbor"]
    evil = staff.get("/locations/?region=evil")
    assert names(evil) == ["Harbor", "Ridge"]
    assert ignored(evil) == ["Region"]


def test_a_device_shows_its_value_and_day(world: World, member: Client) -> None:
    answer = member.get("/devices/H-1/")
    assert answer.context["figures"].count == 23
    assert answer.context["figures"].maximum == 20
    assert answer.context["present"] is True
    assert len(answer.context["recent"]) == 12


def test_rain_has_a_total_and_no_average(world: World, member: Client) -> None:
    gauge = add_device(world.harbor, "G-1", "Gauge", kind=Kind.RAIN_GAUGE, metric="rain", last_seen=world.now)
    Reading.objects.bulk_create(
        Reading(device=gauge, metric="rain", unit="mm", value=1.5, taken_at=world.now - timedelta(hours=hour))
        for hour in range(2)
    )
    for path in ("/devices/G-1/", "/analytics/?metric=rain"):
        text = member.get(path).content.decode()
        assert "<dt>Total</dt><dd>3.0\N{NARROW NO-BREAK SPACE}mm</dd>" in text
        assert "Average" not in text


def test_a_device_of_the_past_ends_its_windows_at_its_newest_reading(world: World, member: Client) -> None:
    newest = datetime(2017, 2, 28, 15, tzinfo=UTC)
    world.device.readings.exclude(pk=world.device.readings.first().pk).delete()
    world.device.readings.update(taken_at=newest)
    type(world.device).objects.filter(pk=world.device.pk).update(last_seen=newest)
    page = member.get("/devices/H-1/?window=24h")
    assert page.context["figures"].count == 1
    assert b"24 hours up to <time" in page.content
    assert b"28 Feb 2017, 07:00 PST" in page.content
    earlier = member.get("/devices/H-1/?window=24h&until=2017-02-27T12:00:00Z")
    assert earlier.context["figures"] is None
    assert b"No readings in this time" in earlier.content


@pytest.mark.parametrize(
    "query", ["?window=evil", "?until=evil", "?until=2026-99-99T00:00:00Z", "?until=0001-01-01T00:00:00Z"]
)
def test_a_window_that_is_not_there_is_the_usual_one(world: World, member: Client, query: str) -> None:
    answer = member.get(f"/devices/H-1/{query}")
    assert (answer.status_code, answer.context["span"].code, answer.context["present"]) == (200, "24h", True)
    assert ignored(answer) == ["Window" if "window" in query else "Until"]


@pytest.mark.parametrize(
    "wrong", ["window=evil", "until=evil", "metric=evil", "kind=evil", "from=evil", "to=2026-01-01T00:00", "location=x"]
)
def test_the_file_of_a_question_that_makes_no_sense_in_part_is_of_what_is_shown(
    world: World, member: Client, wrong: str
) -> None:
    page = member.get(f"/analytics/?show=percentiles&{wrong}").content.decode()
    [link] = re.findall(r'href="(/analytics\.csv[^"]*)" download', page)
    assert link == "/analytics.csv?show=percentiles"
    assert member.get(link).status_code == 200
    assert member.get(f"/analytics.csv?{wrong}").status_code == 400


def test_a_device_without_readings_has_a_page(world: World, member: Client) -> None:
    add_device(world.harbor, "H-0", "New", last_seen=None)
    for window in ("1h", "24h", "7d", "30d"):
        answer = member.get(f"/devices/H-0/?window={window}")
        assert answer.status_code == 200
        assert b"No reading yet" in answer.content


def test_who_belongs_nowhere_is_told_so(world: World, member: Client) -> None:
    Membership.objects.all().delete()
    assert b"You belong to no location" in member.get("/").content
    assert b"You belong to no location" in member.get("/locations/").content
    assert b"No readings in this time" in member.get("/analytics/").content


# Each page, and the queries that it takes at most, with few rows as with many: the ORM's own cache may answer some.
# The session is cached; one query is for the user.
QUERIES = [
    ("/", 8),
    ("/locations/", 4),
    ("/locations/harbor/", 7),
    ("/devices/H-1/", 4),
    ("/analytics/", 5),
    ("/profile/", 3),
]


@pytest.mark.uncached
@pytest.mark.parametrize(("path", "queries"), QUERIES)
def test_queries_do_not_grow_with_rows(
    path: str, queries: int, world: World, member: Client, django_assert_max_num_queries, request
) -> None:
    member.get(path)
    caches["default"].clear()
    member.force_login(world.member)
    with django_assert_max_num_queries(queries):
        member.get(path)
    request.getfixturevalue("fleet")
    for number in range(20):
        other = Location.objects.create(name=f"Other {number}", code=f"other-{number}")
        Membership.objects.create(user=world.member, location=other)
        ApiToken.issue(world.member, f"token {number}")
        device = add_device(other, f"O-{number}", "Other", last_seen=world.now, current_value=1)
        Reading.objects.create(device=device, metric="temperature", unit="°C", value=1, taken_at=world.now)
    caches["default"].clear()
    member.force_login(world.member)
    with django_assert_max_num_queries(queries):
        member.get(path)


def test_every_page_tells_how_it_was_made_and_how_long_it_is(world: World, member: Client) -> None:
    for path in ("/", "/locations/", "/locations/harbor/", "/devices/H-1/", "/analytics/", "/profile/", "/nowhere"):
        answer = member.get(path)
        assert re.search(rb"<span>us-east-1</span> .*<span>\d+ ms</span>", answer.content), path
        assert int(answer["Content-Length"]) == len(answer.content), path
        assert "sql;desc=" in answer["Server-Timing"]
        assert "default-src 'self'" in answer["Content-Security-Policy"]
        assert not re.search(rb"<script(?![^>]*(src=|application/json))|\son\w+=|\sstyle=", answer.content), path


def test_every_page_has_a_title_of_its_own_and_one_main_heading(world: World, member: Client) -> None:
    paths = ("/", "/locations/", "/locations/harbor/", "/devices/H-1/", "/analytics/", "/profile/", "/nowhere")
    pages = [member.get(path).content.decode() for path in paths]
    titles = [re.search("<title>(.+)</title>", page).group(1) for page in pages]
    assert len(set(titles)) == len(paths)
    assert all(page.count("<h1") == 1 for page in pages)
