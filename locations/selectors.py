"""Reads of locations. Each takes a user, and returns only what that user may see."""

from dataclasses import dataclass

from django.core.exceptions import PermissionDenied
from django.db.models import Q

from locations.models import Location, LocationQuerySet, Role
from users.models import User

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
    region: str = ""  # a value of users.models.Region


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


def location_by_code(user: User, code: str) -> Location:
    """Return a location; raise Location.DoesNotExist where there is none, or the user may not see it."""
    return Location.objects.visible_to(user).get(code=code)


def visible_location_ids(user: User) -> tuple[int, ...]:
    return tuple(Location.objects.visible_to(user).order_by("pk").values_list("pk", flat=True))


def role_at(user: User, location: Location) -> Role | None:
    """Return the user's role at a location; staff manage everywhere; None for users who are no members."""
    if user.is_staff:
        return Role.MANAGER
    role = location.memberships.filter(user=user).values_list("role", flat=True).first()
    return Role(role) if role else None


class RoleRequired(PermissionDenied):
    """A person's role at a location does not allow what they asked for; the text says which one does."""


def require_role(user: User, location: Location, role: Role) -> None:
    """Raise RoleRequired unless the user has at least `role` at a location."""
    own = role_at(user, location)
    if own is None or not own.includes(role):
        has = f"you are {own.label.lower()}" if own else "you do not belong to it"
        raise RoleRequired(f"This needs the role {role.label.lower()} at {location}; {has}. Ask a manager there.")


def managed_by(user: User) -> LocationQuerySet:
    """Return the locations that a user manages; all for staff."""
    if user.is_staff:
        return Location.objects.all()
    return Location.objects.filter(memberships__user=user, memberships__role=Role.MANAGER)
