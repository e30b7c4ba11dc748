"""Values beyond their bounds: when an excursion begins, how far it goes, when it ends, and who reads of it."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.core.exceptions import ValidationError
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from cacheops import invalidate_all
from devices.changes import change_device, create_device
from devices.models import Device, Excursion, Kind, Threshold
from devices.services import NewReading, record_readings
from locations.models import Location, Membership
from users.models import User

NOON = datetime(2026, 5, 4, 12, tzinfo=UTC)


@pytest.fixture
def yard(db: None) -> Location:
    return Location.objects.create(code="yard", name="Yard")


@pytest.fixture
def device(yard: Location) -> Device:
    return create_device(yard, serial="t-1", name="Hall", kind="thermometer", metric="temperature")


def post(device: Device, *values: float, minute: int = 0, metric: str = "", start: datetime = NOON) -> None:
    """Record values, one a minute."""
    record_readings(
        NewReading(device.pk, metric or device.metric, value, start + timedelta(minutes=minute + place))
        for place, value in enumerate(values)
    )


def noted() -> list[tuple[float, float, int, int | None]]:
    """Return each excursion's bound and extreme, and the minutes at which it began and ended."""
    return [
        (each.bound, each.extreme, minute_of(each.began_at), minute_of(each.ended_at) if each.ended_at else None)
        for each in Excursion.objects.order_by("began_at")
    ]


def minute_of(moment: datetime) -> int:
    return int((moment - NOON).total_seconds() // 60)


def bound(**fields: Any) -> Threshold:
    return Threshold.objects.create(**({"metric": "temperature", "high": 30, "low": 0} | fields))


def test_an_excursion_lasts_from_the_first_value_beyond_to_the_next_within(device: Device, yard: Location) -> None:
    bound(location=yard)
    post(device, 20, 30, 31, 35, 33)
    assert noted() == [(30, 35, 2, None)]
    post(device, 36, 30, -1, -5, minute=5)
    assert noted() == [(30, 36, 2, 6), (0, -5, 7, None)]
    post(device, 40, minute=9)  # from below the low bound to above the high one
    assert noted()[1:] == [(0, -5, 7, 9), (30, 40, 9, None)]


def test_each_reading_is_judged_once_and_a_late_one_not_at_all(device: Device, yard: Location) -> None:
    bound(location=yard)
    post(device, 31, minute=5)
    post(device, 31, minute=5)  # sent again
    post(device, 20, 50, minute=1)  # late: what is so now stays
    post(device, 99, minute=6, metric="pressure")  # not what the device shows
    assert noted() == [(30, 31, 5, None)]


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, 1),
        ({"kind": Kind.THERMOMETER}, 1),
        ({"kind": Kind.HYGROMETER}, 0),
        ({"metric": "humidity"}, 0),
        ({"location": "ridge"}, 0),
        ({"high": None}, 0),
    ],
)
def test_a_bound_concerns_a_place_a_kind_and_a_metric(device: Device, fields: dict[str, Any], expected: int) -> None:
    ridge = Location.objects.create(code="ridge", name="Ridge")
    bound(**(fields | ({"location": ridge} if "location" in fields else {})))
    post(device, 31)
    assert len(noted()) == expected


def test_a_device_that_becomes_another_is_judged_anew(device: Device, yard: Location) -> None:
    bound(location=yard)
    post(device, 31)
    change_device(device, name="Roof")
    assert not Excursion.objects.exclude(ended_at=None)
    change_device(device, location=Location.objects.create(code="ridge", name="Ridge"))
    assert Excursion.objects.exclude(ended_at=None).count() == 1


def test_a_bound_that_is_none_is_refused(yard: Location) -> None:
    for low, high in ((None, None), (5, 4)):
        with pytest.raises(ValidationError):
            Threshold(location=yard, metric="rain", low=low, high=high).full_clean()


@pytest.mark.django_db(transaction=True)
def test_without_bounds_readings_cost_no_further_statement(device: Device, yard: Location) -> None:
    def statements(minute: int) -> int:
        with CaptureQueriesContext(connection) as queries:
            post(device, 31, minute=minute)
        return len(queries)

    bound(location=yard, metric="rain").delete()
    statements(0), statements(1)
    unbound = statements(2)
    bound(location=yard, high=99)
    statements(3)
    assert statements(4) == unbound + 3  # the thresholds, the devices, and what lasts


@pytest.mark.django_db(transaction=True, databases="__all__")
@pytest.mark.parametrize("cold", [True, False])
@pytest.mark.parametrize("order", [1, -1])
def test_people_read_of_their_own_as_soon_as_it_is_stored(
    device: Device, yard: Location, cold: bool, order: int
) -> None:
    bound()
    ridge = Location.objects.create(code="ridge", name="Ridge")
    other = create_device(ridge, serial="r-1", name="Peak", kind="thermometer", metric="temperature")
    clients = {}
    for place in (yard, ridge):
        user = User.objects.create_user(place.code)
        Membership.objects.create(user=user, location=place)
        clients[place.code] = Client()
        clients[place.code].force_login(user)
    now = timezone.now() - timedelta(minutes=30)

    def read() -> list[tuple[bool, int, list[Any]]]:
        if cold:
            invalidate_all()
        return [
            (b"Beyond bounds" in client.get("/").content, len(items), [item["ended_at"] is None for item in items])
            for client in list(clients.values())[::order]
            for items in [client.get("/api/excursions").json()["items"]]
        ][::order]

    assert read() == read() == [(False, 0, []), (False, 0, [])]
    post(device, 31, start=now)
    assert read() == read() == [(True, 1, [True]), (False, 0, [])]
    post(other, 31, start=now)
    post(device, 29, start=now, minute=1)
    assert read() == read() == [(True, 1, [False]), (True, 1, [True])]
    change_device(other, location=yard)  # what it did at the ridge is no matter of the yard's people
    assert read() == [(True, 1, [False]), (False, 0, [])]
