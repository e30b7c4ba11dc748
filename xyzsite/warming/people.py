"""Warming people: their rows, their sessions, what every page reads for them; and whom a page is warmed for."""

from collections.abc import Iterator, Mapping, Sequence
from functools import partial

from cacheops import bypassed
from cacheops.warming import Reads, Task, rows_of, sessions_of
from devices.selectors import device_counts
from locations.models import Membership
from locations.selectors import LocationFilter, locations_for, visible_location_ids
from users.models import User
from xyzsite.paging import location_page

MAX_PEOPLE = 20  # members of a location for whom its pages are warmed, the latest to sign in first


def people_at(location_ids: set[int]) -> Mapping[int, list[User]]:
    """Return for each location for whom its pages are to be warmed: one of the staff, who share them, and members."""
    with bypassed():
        staff = list(User.objects.filter(is_active=True, is_staff=True).order_by("pk")[:1])
        found = {pk: list(staff) for pk in location_ids}
        members = Membership.objects.filter(
            location_id__in=location_ids, user__is_active=True, user__is_staff=False
        ).order_by("-user__last_login", "user_id")
        for membership in members.select_related("user"):
            if len(found[membership.location_id]) < MAX_PEOPLE:
                found[membership.location_id].append(membership.user)
    return found


def tasks(keys: Sequence[int]) -> Iterator[Task]:
    """Yield what to fill for people."""
    yield rows_of(User, keys, by=("username",))
    with bypassed():
        people = list(User.objects.filter(pk__in=keys, is_active=True))
    yield Reads([partial(pages, user) for user in people])
    yield from sessions_of([user.pk for user in people])


def pages(user: User) -> None:
    """Read what the overview, the list of locations and the analytics page read for one person."""
    if not user.is_staff:
        visible_location_ids(user)
    list(locations_for(user))
    page = location_page(user, LocationFilter())
    device_counts([location.pk for location in page])
