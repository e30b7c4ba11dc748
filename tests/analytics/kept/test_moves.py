"""Devices that move, change their kind, or are new: what is kept is right at once, and what is right is kept."""

from datetime import timedelta
from zoneinfo import ZoneInfo

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from analytics.percentiles import percentiles
from analytics.selectors import Selection
from analytics.summaries import Question, analytics_summary
from analytics.windows import window_until
from devices.directory import fleet_at
from devices.models import Device, Kind
from devices.spans import SPANS
from tests.analytics.kept.conftest import NOW, World, figures, queries_of, range_in

pytestmark = pytest.mark.django_db


def test_a_device_that_moves_takes_its_readings_along(world: World) -> None:
    def counts() -> dict[int, int]:
        question = Question(Selection("temperature"), SPANS["7d"], "UTC")
        return {row.location_id: row.count for row in analytics_summary(question, NOW).locations}

    before = counts()
    Device.objects.filter(location=world.harbor, metric="temperature").update(location=world.ridge)
    assert counts() == {world.ridge.pk: sum(before.values())}


def test_what_a_change_of_place_or_kind_has_made_wrong_is_noticed_by_who_sees_the_device(world: World) -> None:
    device = world.device(world.ridge, "temperature")
    window = window_until(SPANS["7d"], NOW, ZoneInfo("UTC"))

    def counts(kind: str = "") -> list[int]:
        found = figures(Selection("temperature", (world.harbor.pk,), kind), window)
        return [row.count for row in found.locations]

    (before,) = counts()
    Device.objects.filter(pk=device.pk).update(location=world.harbor)  # into sight, of who did not see it before
    assert counts() == [2 * before]
    Device.objects.filter(pk=device.pk).update(kind=Kind.HYGROMETER)
    assert (counts("hygrometer"), counts("thermometer")) == ([before], [before])
    Device.objects.filter(pk=device.pk).update(location=world.ridge)  # and out of it
    assert (counts("hygrometer"), counts()) == ([], [before])


def test_what_is_kept_outlives_new_devices_and_is_kept_again_after_moves(world: World) -> None:
    queries_of("temperature", "7d")
    device = Device.objects.create(
        location=world.harbor, serial="new", name="new", kind=Kind.BAROMETER, metric="temperature"
    )
    assert [sql for sql in queries_of("temperature", "7d") if "devices_reading" in sql] == []
    world.add(device, NOW)
    queries_of("temperature", "7d")
    Device.objects.filter(pk=device.pk).update(location=world.ridge)
    asked = [[range_in(sql) for sql in queries_of("temperature", "7d") if "devices_reading" in sql] for _ in range(3)]
    hour = (NOW.replace(minute=0, second=0), NOW.replace(hour=15, minute=0, second=0))
    assert asked == [[hour], [hour], []]  # who notices forgets it, the next one keeps it


def test_percentiles_end_with_a_reading_of_their_window_and_with_no_other(world: World) -> None:
    device = world.device(world.harbor, "temperature")
    fleet, window = fleet_at([world.harbor.pk]), window_until(SPANS["7d"], NOW, ZoneInfo("UTC"))

    def asked() -> tuple[float, int]:
        with CaptureQueriesContext(connection) as queries:
            found = percentiles("temperature", fleet, "", window, NOW)
        return found[95], len(queries)

    assert [asked(), asked()] == [(22.0, 1), (22.0, 0)]
    world.add(device, NOW - timedelta(days=20, minutes=5), 99.0)
    world.add(world.device(world.harbor, "humidity"), NOW, 99.0)
    assert asked() == (22.0, 0)
    for minute in range(20):
        world.add(device, NOW - timedelta(minutes=minute), 99.0)
    assert [asked(), asked()] == [(99.0, 1), (99.0, 0)]
