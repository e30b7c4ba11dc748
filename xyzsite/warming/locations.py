"""Warming locations: their rows, and what their pages read."""

from collections.abc import Iterator, Sequence
from functools import partial

from cacheops import bypassed
from cacheops.warming import Reads, Task, rows_of
from devices.directory import devices_at
from devices.selectors import DeviceFilter, device_counts
from locations.models import Location
from locations.selectors import location_by_code, role_at
from users.models import User
from xyzsite.paging import device_page
from xyzsite.warming.people import people_at

CALLS = 500  # in one batch: their entries are leased together


def tasks(keys: Sequence[int]) -> Iterator[Task]:
    """Yield what to fill for locations."""
    yield rows_of(Location, keys, by=("code",))
    with bypassed():
        places = list(Location.objects.filter(pk__in=keys))
    people = people_at({place.pk for place in places})
    calls = [partial(page, user, place.code) for place in places for user in people[place.pk]]
    for start in range(0, len(calls), CALLS):
        yield Reads(calls[start : start + CALLS])


def page(user: User, code: str) -> None:
    """Read what a location's page reads for one person."""
    place = location_by_code(user, code)
    device_page(user, DeviceFilter(location_id=place.pk))
    device_counts([place.pk])
    devices_at([place.pk])
    role_at(user, place)
