"""Summaries in the region's cache: made once, kept as long as they may be, never shown to who may not see them."""

from datetime import timedelta

import pytest
from django.core.cache import caches
from django.core.management import CommandError, call_command
from django.utils import timezone

from analytics.overview import overview, overview_recipe
from analytics.selectors import Selection
from analytics.summaries import Question, Recipe, analytics_recipe, analytics_summary, served, warm
from analytics.warming import recipes, scopes
from analytics.windows import SPANS
from devices.models import Device, Reading
from locations.models import Location, Membership
from xyzsite.models import User

PAST = Question(Selection("temperature"), SPANS["24h"], "UTC")


def test_a_kept_summary_is_equal_to_the_one_that_was_made(readings, django_assert_num_queries) -> None:
    made = analytics_summary(PAST)
    with django_assert_num_queries(0):
        kept = analytics_summary(PAST)
    assert kept == made
    assert kept.count == sum(bucket.count for bucket in kept.buckets)
    assert [bucket.start for bucket in kept.buckets] == [bucket.start for bucket in made.buckets]


def test_an_overview_comes_back_as_it_was(readings, django_assert_num_queries) -> None:
    made = overview(None)
    with django_assert_num_queries(0):
        assert overview(None) == made


def test_windows_of_the_past_are_kept_longer_than_those_of_the_present(readings) -> None:
    past = analytics_recipe(PAST)
    assert past.ttl(past.make()) == 900
    Device.objects.update(last_seen=timezone.now())
    assert past.ttl(past.make()) == 60
    assert overview_recipe(None).ttl(overview(None)) == 60


def test_what_differs_in_anything_has_another_key(readings) -> None:
    span, other = SPANS["24h"], SPANS["7d"]
    now = timezone.now()
    questions = [
        PAST,
        Question(Selection("humidity"), span, "UTC"),
        Question(Selection("temperature"), other, "UTC"),
        Question(Selection("temperature"), span, "Asia/Tokyo"),
        Question(Selection("temperature"), span, "UTC", now),
        Question(Selection("temperature"), span, "UTC", now - timedelta(days=1)),
        Question(Selection("temperature", ()), span, "UTC"),
        Question(Selection("temperature", (1,)), span, "UTC"),
        Question(Selection("temperature", (1, 2)), span, "UTC"),
        Question(Selection("temperature", (12,)), span, "UTC"),
        Question(Selection("temperature", kind="hygrometer"), span, "UTC"),
    ]
    keys = [analytics_recipe(question).key for question in questions]
    assert len(set(keys)) == len(questions)
    assert analytics_recipe(PAST).key == keys[0]


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
    assert head == "start,metric,unit,average,minimum,maximum,readings,devices"
    summary = analytics_summary(Question(Selection("temperature"), SPANS["30d"], "America/New_York"))
    assert len(rows) == len(summary.buckets) == 30
    start, metric, unit, average, *_, count, devices = rows[0].split(",")
    first = summary.buckets[0]
    assert (start, metric, unit) == (first.start.isoformat(), "temperature", "°C")
    assert (float(average), int(count), int(devices)) == (first.average, first.count, first.devices)


def test_devices_reporting_are_counted(readings, admin_client) -> None:
    page = admin_client.get("/analytics/?metric=device_count&window=30d")
    assert page.context["summary"].devices == 6
    row = admin_client.get("/analytics.csv?metric=device_count&window=30d").content.decode().splitlines()[-1]
    assert row.split(",")[2:] == ["devices", "6.0", "6.0", "6.0", row.split(",")[6], "6"]


@pytest.mark.parametrize("query", ["metric=evil", "location=evil", "kind=evil", "window=evil", "until=evil"])
def test_a_question_that_makes_no_sense_is_the_usual_one(query: str, readings, admin_client) -> None:
    assert admin_client.get(f"/analytics.csv?{query}").content == admin_client.get("/analytics.csv").content


def test_warming_makes_what_the_pages_ask(readings, client, django_assert_max_num_queries, capsys) -> None:
    harbor = Location.objects.get(code="harbor")
    user = User.objects.create_user("ann")
    Membership.objects.create(user=user, location=harbor)
    assert scopes() == [None, (harbor.pk,)]
    call_command("warm_cache", "analytics")
    assert "us-east-1: 14 warmed, 0 already warm, 0 skipped, 0 failed" in capsys.readouterr().out
    client.force_login(user)
    for path in ("/", "/analytics/", "/analytics/?metric=temperature&window=1h", "/analytics/?location=harbor"):
        with django_assert_max_num_queries(2):  # the user, and the locations that they may see
            client.get(path)


def test_warming_reaches_every_region(readings, capsys) -> None:
    for region in ("us-west-2", "us-east-2"):
        caches[region].clear()
    call_command("warm_cache", "analytics", "--region", "all")
    keys = [recipe.key for recipe in recipes()]
    for region in ("us-east-1", "us-west-2", "us-east-2"):
        assert set(caches[region].get_many(keys)) == set(keys)


def test_warming_makes_anew_what_is_there(readings) -> None:
    made = analytics_summary(PAST)
    Reading.objects.filter(metric="temperature").delete()
    assert analytics_summary(PAST) == made
    warm([analytics_recipe(PAST)], [caches["default"]])
    assert analytics_summary(PAST).count == 0


def test_an_unknown_region_is_refused() -> None:
    with pytest.raises(CommandError, match="us-west-2"):
        call_command("warm_cache", "--region", "mars")


def test_what_another_release_has_stored_is_made_anew(readings) -> None:
    recipe = analytics_recipe(PAST)
    caches["default"].set(recipe.key, '{"metric": "temperature", "span": 24}', 60)
    assert served(recipe).count > 0
    assert served(recipe) == analytics_summary(PAST)


def test_an_empty_summary_is_kept_too(db) -> None:
    calls: list[int] = []
    recipe = Recipe("summary:test:empty", list[int], lambda: calls.append(1) or [], lambda _: 60)
    assert served(recipe) == served(recipe) == []
    assert len(calls) == 1
