"""Two places whose readings are kept, committed so that what is kept of them may be."""

import re
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from analytics.figures import Merged
from analytics.selectors import Selection
from analytics.summaries import Question, analytics_summary, selected
from analytics.windows import Window
from devices.models import Device, Kind, Reading
from devices.spans import SPANS
from locations.models import Location

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
NOW = datetime(2016, 11, 10, 14, 37, 5, tzinfo=UTC)  # clocks went back in New York four days before


@pytest.fixture
def _django_db_helper(django_db_setup: None, django_db_blocker: Any) -> Iterator[None]:
    """Let marked tests commit (it replaces pytest-django's, which keeps every commit from happening)."""
    with django_db_blocker.unblock():
        yield


@pytest.fixture
def cache(settings: Any) -> None:
    """Give the test a cache of its own."""
    settings.CACHEOPS_PREFIX = f"t-{uuid.uuid4().hex[:8]}"


@dataclass
class World:
    """Two places with a thermometer and a hygrometer each, which measure every hour of 40 days."""

    harbor: Location
    ridge: Location

    def device(self, place: Location, metric: str) -> Device:
        return Device.objects.get(location=place, metric=metric)

    def add(self, device: Device, at: datetime, value: float = 1.0, metric: str = "") -> Reading:
        return Reading.objects.create(device=device, metric=metric or device.metric, value=value, unit="", taken_at=at)


def empty() -> None:
    Reading.objects.all().delete()
    Device.objects.all().delete()
    Location.objects.all().delete()


@pytest.fixture
def world(_django_db_helper: None, cache: None) -> Iterator[World]:
    places = [
        Location.objects.create(name=name, code=name, timezone="America/New_York") for name in ("harbor", "ridge")
    ]
    for place in places:
        for metric, kind in (("temperature", Kind.THERMOMETER), ("humidity", Kind.HYGROMETER)):
            device = Device.objects.create(
                location=place, serial=f"{place.code}-{metric}", name=metric, kind=kind, metric=metric
            )
            Reading.objects.bulk_create(
                Reading(device=device, metric=metric, value=hour % 24, unit="", taken_at=NOW - hour * HOUR)
                for hour in range(1, 40 * 24)
            )
    yield World(*places)
    empty()


def figures(selection: Selection, window: Window) -> Merged:
    return selected(selection, window, NOW)


def queries_of(metric: str, span: str, place: Location | None = None, now: datetime = NOW) -> list[str]:
    """Ask for a chart; return the SQL that this took."""
    ids = None if place is None else (place.pk,)
    with CaptureQueriesContext(connection) as queries:
        analytics_summary(Question(Selection(metric, ids), SPANS[span], "America/New_York"), now)
    return [query["sql"] for query in queries]


def range_in(sql: str) -> tuple[datetime, datetime]:
    """Return the range of time that a query on readings names."""
    found = re.findall(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(?:\.\d+)?(?:\+00:00)?", sql)
    start, end = [datetime.fromisoformat(text).replace(tzinfo=UTC) for text in found]
    return start, end
