"""Parts of pages and answers that are kept as written: each is named by all that it shows: none is out of date."""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from unittest.mock import patch

import pytest
from django.core.cache import caches
from django.core.cache.backends.dummy import DummyCache
from django.test import Client
from django.utils import timezone

from devices.models import Device, Excursion, Reading, Threshold
from locations.models import Location, Membership
from tests.xyzsite.web.conftest import World
from xyzsite.kept import Kept, KeptAnswers
from xyzsite.parts import state

ADDRESSES = [
    "/",
    "/locations/?search=r",
    "/locations/?sort=-name",
    "/locations/harbor/",
    "/locations/harbor/?sort=-value",
    "/devices/H-1/",
    "/analytics/?metric=temperature",
    "/analytics/?metric=temperature&location=harbor&window=7d",
    "/api/devices",
    "/api/devices?sort=-name&page_size=1",
]
# What differs from one rendering to the next although the data is the same.
OWN = re.compile(rb'<p id="foot".*?</p>|name="csrfmiddlewaretoken" value="\w+"', re.S)

CHANGES: dict[str, Callable[["Clock"], object]] = {
    "nothing": lambda clock: None,
    "twenty seconds later": lambda clock: clock.later(seconds=20),
    "two minutes later": lambda clock: clock.later(minutes=2),
    "a device's name": lambda clock: Device.objects.filter(serial="H-1").update(name="Pier"),
    "a device's status": lambda clock: Device.objects.filter(serial="H-1").update(status="offline"),
    "a device's value": lambda clock: Device.objects.filter(serial="H-1").update(current_value=17.5),
    "when a device was heard": lambda clock: Device.objects.filter(serial="H-1").update(last_seen=clock.now),
    "a reading": lambda clock: read(31.0, clock),
    "a bound is passed": lambda clock: passed(clock),
    "a location's name": lambda clock: Location.objects.filter(code="harbor").update(name="Harbour"),
    "the name of one within bounds": lambda clock: Location.objects.filter(code="ridge").update(name="Ridgetop"),
    "its time zone": lambda clock: Location.objects.filter(code="harbor").update(timezone="Asia/Kolkata"),
    "a location closed": lambda clock: Location.objects.filter(code="harbor").update(active=False),
    "another location": lambda clock: Location.objects.create(name="Quay", code="quay"),
    "a device moved": lambda clock: Device.objects.filter(serial="R-1").update(location=at("harbor")),
    "a member of one location more": lambda clock: Membership.objects.update(location=at("ridge")),
    "four hours later": lambda clock: clock.later(hours=4),
}


class Clock:
    """The time as the pages see it."""

    def __init__(self, now: datetime) -> None:
        self.now = now

    def __call__(self) -> datetime:
        return self.now

    def later(self, **by: int) -> None:
        self.now += timedelta(**by)


def at(code: str) -> Location:
    return Location.objects.get(code=code)


def read(value: float, clock: Clock) -> None:
    device = Device.objects.get(serial="H-1")
    Reading.objects.create(device=device, metric="temperature", value=value, unit="°C", taken_at=clock.now)


def passed(clock: Clock) -> None:
    harbor, device = at("harbor"), Device.objects.get(serial="H-1")
    threshold = Threshold.objects.create(location=harbor, metric="temperature", high=30)
    values = {"metric": "temperature", "bound": 30, "extreme": 31, "began_at": clock.now}
    Excursion.objects.create(threshold=threshold, device=device, location=harbor, **values)


@pytest.mark.django_db(transaction=True)  # within one, nothing is kept whole
def test_pages_of_kept_parts_are_those_rendered_anew(
    member: Client, staff: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock(timezone.now().replace(second=5))
    monkeypatch.setattr(timezone, "now", clock)
    asked = [(client, address) for client in (staff, member) for address in ADDRESSES]
    found: list[Kept | None] = []
    find = KeptAnswers.find
    monkeypatch.setattr(KeptAnswers, "find", lambda answers, name: found.append(find(answers, name)) or found[-1])
    for change in CHANGES:
        CHANGES[change](clock)
        kept = [
            [shown(*one) for one in asked] for _ in range(2)
        ]  # the second finds all in the cache, and is kept whole
        with nothing_kept():
            anew = [shown(*one) for one in asked]
        assert kept == [anew, anew], change
    assert sum(one is not None for one in found) > len(asked)


@contextmanager
def nothing_kept() -> Iterator[None]:
    parts = caches["parts"]
    caches["parts"] = DummyCache("parts", {})
    try:
        with patch.object(KeptAnswers, "find", return_value=None):
            yield
    finally:
        caches["parts"] = parts


def shown(client: Client, address: str) -> tuple[str, int, bytes]:
    answer = client.get(address)
    return address, answer.status_code, OWN.sub(b"", answer.content)


def test_a_name_tells_values_and_their_types_apart() -> None:
    values: list[object] = [1, 1.0, True, "1", None, [1], [[1]], {"a": 1}, "", [], ["a", "b"], ["ab"]]
    assert len({state(value) for value in values}) == len(values)
    assert state([1, "a"]) == state([1, "a"])


def test_the_columns_of_rows_name_them(world: World) -> None:
    rows = Device.objects.order_by("pk")
    before = state(rows)
    assert state(list(rows.all())) == before
    world.device.name = "Pier"
    assert state([world.device, world.hidden]) != before


def test_what_has_no_contents_to_name_is_refused() -> None:
    with pytest.raises(NotImplementedError, match="object"):
        state(object())
