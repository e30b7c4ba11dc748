"""What the analytics and the overview answer: never to who may not see it, and what they ask makes sense."""

import re
from datetime import datetime, timedelta
from html import unescape
from zoneinfo import ZoneInfo

import pytest
from django.utils import timezone

from analytics.overview import overview
from analytics.selectors import Selection
from analytics.summaries import Question, analytics_summary
from devices.models import Device, Reading, Status
from devices.services import MAX_VALUE
from devices.spans import SPANS
from locations.models import Location, Membership
from tests.analytics.conftest import NEWEST
from users.models import User


def test_a_window_of_the_past_ends_at_the_newest_reading(readings) -> None:
    summary = analytics_summary(Question(Selection("temperature"), SPANS["24h"], "UTC"))
    assert not summary.present
    assert summary.up_to == NEWEST
    assert summary.count == sum(bucket.count for bucket in summary.buckets) > 0


@pytest.mark.parametrize("hours", [1, 23])
def test_a_window_with_readings_ends_now_without_asking_the_devices(hours: int, readings) -> None:
    now = NEWEST + timedelta(hours=hours)
    Device.objects.update(last_seen=None)  # it would say that nothing was ever sent
    summary = analytics_summary(Question(Selection("temperature"), SPANS["24h"], "UTC"), now)
    assert summary.present
    assert summary.up_to == now
    assert summary.count > 0


def test_the_largest_values_can_be_summed_up(readings) -> None:
    Reading.objects.update(value=MAX_VALUE)
    summary = analytics_summary(Question(Selection("temperature"), SPANS["24h"], "UTC"))
    assert {bucket.average for bucket in summary.buckets} == {MAX_VALUE}


def test_an_empty_window_ends_now_where_devices_were_heard_within_it(readings) -> None:
    now = timezone.now()
    Device.objects.update(last_seen=now - timedelta(minutes=5))  # the readings themselves may still be on their way
    summary = analytics_summary(Question(Selection("temperature"), SPANS["24h"], "UTC"), now)
    assert summary.present
    assert summary.count == 0


def test_the_overview_adds_up(readings) -> None:
    harbor = Location.objects.get(code="harbor")
    quiet, off, *_ = Device.objects.filter(location=harbor).order_by("serial")
    Device.objects.filter(pk=quiet.pk).update(last_seen=NEWEST - timedelta(hours=4))
    Device.objects.filter(pk=off.pk).update(status=Status.OFFLINE)
    Device.objects.filter(metric="temperature").exclude(pk=off.pk).update(current_value=20)
    found = overview(None)
    assert (found.location_count, found.counts.total, found.counts.active, found.counts.offline) == (2, 6, 5, 1)
    assert (found.silent, found.attention_total) == (1, 2)
    assert [state.reason for state in found.attention] == ["offline", "silent"]  # the one heard last comes first
    assert [state.serial for state in found.attention] == [off.serial, quiet.serial]
    assert found.present == NEWEST
    assert [location.values for region in found.regions for location in region.locations] == [{"temperature": 20}] * 2
    assert overview((harbor.pk,)).counts.total == 3
    assert overview(()).location_count == 0


def test_a_new_membership_is_seen_at_once(readings, client) -> None:
    harbor, ridge = Location.objects.order_by("code")
    user = User.objects.create_user("ann")
    membership = Membership.objects.create(user=user, location=harbor)
    client.force_login(user)
    assert b"Ridge" not in client.get("/").content
    Membership.objects.create(user=user, location=ridge)
    assert b"Ridge" in client.get("/").content
    membership.delete()
    assert b"Harbor" not in client.get("/").content
    assert b"Harbor" not in client.get("/analytics/").content


def test_the_csv_holds_the_windows_buckets(readings, admin_client) -> None:
    answer = admin_client.get("/analytics.csv?metric=temperature&window=30d")
    head, *rows = answer.content.decode().splitlines()
    assert answer["Content-Type"].startswith("text/csv")
    assert 'filename="temperature-30d-20161121T0500Z.csv"' in answer["Content-Disposition"]
    assert head == "start,metric,unit,average,minimum,maximum,readings,devices,time_average,amount"
    summary = analytics_summary(Question(Selection("temperature"), SPANS["30d"], "America/New_York"))
    assert len(rows) == len(summary.buckets) == 30
    start, metric, unit, average, _, _, count, devices, time_average, amount = rows[0].split(",")
    first = summary.buckets[0]
    assert (start, metric, unit) == (first.start.isoformat(), "temperature", "°C")
    assert (int(count), int(devices), amount) == (first.count, first.devices, "")
    assert (average, time_average) == (f"{first.average:.2f}", f"{first.time_average:.2f}")


def test_devices_reporting_are_counted(readings, admin_client) -> None:
    page = admin_client.get("/analytics/?metric=device_count&window=30d")
    assert page.context["summary"].devices == 6
    row = admin_client.get("/analytics.csv?metric=device_count&window=30d").content.decode().splitlines()[-1]
    assert row.split(",")[2:] == ["devices", "6", "6", "6", row.split(",")[6], "6", "6", ""]


def test_a_range_of_ones_own_holds_its_readings_and_leads_to_its_parts(readings, admin_client) -> None:
    query = "metric=temperature&from=2016-11-01T00:00&to=2016-11-19T12:00"  # no offset: New York's clock
    page = admin_client.get(f"/analytics/?{query}")
    window, zone = page.context["window"], ZoneInfo("America/New_York")
    assert (window.start, window.end) == (datetime(2016, 11, 1, tzinfo=zone), datetime(2016, 11, 20, tzinfo=zone))
    inside = [one for one in readings if one.metric == "temperature" and window.start <= one.taken_at < window.end]
    assert page.context["summary"].count == len(inside) > 0
    assert len(admin_client.get(f"/analytics.csv?{query}").content.splitlines()) == len(page.context["buckets"]) + 1
    # The night after which clocks have gone back has 25 hours.
    link = "?metric=temperature&amp;from=2016-11-06T04%3A00%3A00Z&amp;to=2016-11-07T05%3A00%3A00Z"
    assert f'<a href="{link}"' in page.content.decode()
    day = admin_client.get(f"/analytics/{unescape(link)}").context["window"]
    assert (len(day.starts()), day.span.bucket) == (100, timedelta(minutes=15))


@pytest.mark.parametrize(
    ("query", "field", "sentence"),
    [
        ("from=soon", "from", "Write a date and time"),
        ("from=2016-11-02T00:00&to=2016-11-01T00:00", "to", "This must be later than the start."),
        ("from=2010-11-02T00:00&to=2016-11-01T00:00", "to", "A range has at most 366 days."),
        ("to=2016-11-01T00:00", "from", "Give the start too."),
    ],
)
def test_a_range_that_makes_no_sense_is_named_beside_its_field(
    query: str, field: str, sentence: str, readings, admin_client
) -> None:
    page = admin_client.get(f"/analytics/?{query}")
    assert page.context["span"].code == "24h"
    assert sentence in re.search(f'id="range-{field}-error">([^<]+)', page.content.decode())[1]
    refused = admin_client.get(f"/analytics.csv?{query}")
    assert (refused.status_code, refused.content.decode().startswith(f"{field}: {sentence}")) == (400, True)
    assert sentence in admin_client.get(f"/devices/harbor-thermometer/?{query}").content.decode()
    answer = admin_client.get("/api/analytics?metric=rain&" + query.replace("00:00", "00:00Z"))
    assert (answer.status_code, list(answer.json()["error"]["fields"])) == (422, [field])


def test_the_api_takes_a_range(readings, admin_client) -> None:
    asked = "metric=temperature&from=2016-11-19T22:30:00Z&to=2016-11-20T00:00:01Z"
    found = admin_client.get(f"/api/analytics?{asked}").json()
    assert (found["window"], found["start"], found["end"]) == (
        "range", "2016-11-19T22:30:00Z", "2016-11-20T00:01:00Z",
    )  # fmt: skip
    assert admin_client.get(f"/api/analytics?{asked}&until=2016-11-19T22:30:00Z").json()["error"]["fields"] == {
        "until": ["Send either `until` or `from`, not both."]
    }


NONSENSE = {
    "metric": "Metric", "second": "And", "location": "Location", "kind": "Kind", "window": "Window", "until": "Until",
}  # fmt: skip


@pytest.mark.parametrize(("field", "label"), NONSENSE.items())
def test_a_question_that_makes_no_sense_is_the_usual_one_and_says_so(
    field: str, label: str, readings, admin_client
) -> None:
    usual = shown(admin_client, "/analytics/")
    assert shown(admin_client, f"/analytics/?{field}=evil") == (usual[0], [label])
    assert usual == (usual[0], [])
    refused = admin_client.get(f"/analytics.csv?{field}=evil")
    assert (refused.status_code, refused.content.decode().startswith(f"{field}: ")) == (400, True)


def shown(client, address: str) -> tuple[list[str], list[str]]:
    """Return the figures of a page, and which fields it says that it left out."""
    page = client.get(address).content.decode()
    return re.findall(r"<dd>(.*?)</dd>", page), re.findall(r"(\w+) is left out: \w", page)
