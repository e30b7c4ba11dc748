"""Reads of locations. Each takes the user who asks, and returns only what that user may see."""

from dataclasses import dataclass
from datetime import datetime

from django.db.models import Count, Max, Q

from devices.models import Device, Status
from locations.models import Location, LocationQuerySet, Role
from xyzsite.models import User
from xyzsite.paging import PAGE_SIZE, Page, page_of

# What a list may be ordered by, and the columns that this means; the code makes every order total.
LOCATION_SORTS = {
    "name": ("name", "code"),
    "region": ("region", "name", "code"),
    "timezone": ("timezone", "name", "code"),
}


@dataclass(frozen=True)
class LocationFilter:
    """What a list of locations is narrowed to. An empty field does not narrow."""

    search: str = ""  # in the name or the code, in any case
    region: str = ""  # a value of xyzsite.models.Region


@dataclass(frozen=True)
class DeviceCounts:
    """How many devices there are of each status; `last_seen` is the newest reading's time, None where there is none."""

    active: int = 0
    maintenance: int = 0
    offline: int = 0
    retired: int = 0
    last_seen: datetime | None = None

    @property
    def total(self) -> int:
        return self.active + self.maintenance + self.offline + self.retired


def locations_for(user: User, chosen: LocationFilter | None = None, sort: str = "name") -> LocationQuerySet:
    """Return the locations that a user may see. An unknown `sort` means the name; a leading dash turns the order."""
    chosen = chosen or LocationFilter()
    rows = Location.objects.visible_to(user)
    if chosen.search:
        rows = rows.filter(Q(name__icontains=chosen.search) | Q(code__icontains=chosen.search))
    if chosen.region:
        rows = rows.filter(region=chosen.region)
    columns = LOCATION_SORTS.get(sort.removeprefix("-"), LOCATION_SORTS["name"])
    return rows.order_by(*(f"-{column}" if sort.startswith("-") else column for column in columns))


def location_page(
    user: User, chosen: LocationFilter, sort: str = "name", number: int = 1, size: int = PAGE_SIZE
) -> Page[Location]:
    return page_of(locations_for(user, chosen, sort), number, size)


def location_by_code(user: User, code: str) -> Location:
    """Return a location; raise Location.DoesNotExist where there is none, or the user may not see it."""
    return Location.objects.visible_to(user).get(code=code)


def visible_location_ids(user: User) -> tuple[int, ...]:
    return tuple(Location.objects.visible_to(user).order_by("pk").values_list("pk", flat=True))


def device_counts(location_ids: tuple[int, ...] | list[int]) -> dict[int, DeviceCounts]:
    """Return the counts of each of the locations, by its id, in one query."""
    by_status = [Count("pk", filter=Q(status=status)) for status in Status.values]
    rows = (
        Device.objects.filter(location_id__in=location_ids)
        .order_by()
        .values("location_id")
        .annotate(**dict(zip(Status.values, by_status, strict=True)), newest=Max("last_seen"))
        .values_list("location_id", *Status.values, "newest")
    )
    found = {pk: DeviceCounts(*counts) for pk, *counts in rows}
    return {pk: found.get(pk, DeviceCounts()) for pk in location_ids}


def role_at(user: User, location: Location) -> Role | None:
    """Return the user's role at a location; staff manage everywhere; None for who is no member."""
    if user.is_staff:
        return Role.MANAGER
    role = location.memberships.filter(user=user).values_list("role", flat=True).first()
    return Role(role) if role else None
