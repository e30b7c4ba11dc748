"""Locations, and who may see them."""

from typing import Self
from zoneinfo import available_timezones

from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import models

from cacheops import CachedManager, CachedQuerySet
from users.models import Region, User


def validate_timezone(name: str) -> None:
    if name not in available_timezones():
        raise ValidationError(f"{name!r} is no IANA time zone, such as America/Chicago.")


class LocationQuerySet(CachedQuerySet["Location"]):
    def visible_to(self, user: User) -> Self:
        """The locations that a user belongs to; all for staff."""
        if user.is_staff:
            return self
        return self.filter(memberships__user=user)


class Location(models.Model):
    """A place at which devices are installed."""

    name = models.CharField(max_length=120)
    code = models.SlugField(max_length=32, unique=True)
    region = models.CharField(max_length=16, choices=Region, default=Region.US_EAST_1, db_index=True)
    timezone = models.CharField(max_length=64, default="America/New_York", validators=[validate_timezone])
    active = models.BooleanField(default=True)
    members = models.ManyToManyField(settings.AUTH_USER_MODEL, through="Membership", related_name="locations")

    objects = LocationQuerySet.as_manager()

    class Meta:
        ordering = ["name"]
        base_manager_name = "objects"  # of which foreign keys make their querysets: they take its short path

    def __str__(self) -> str:
        return self.name


class Role(models.TextChoices):
    """What a member may do: viewers read, operators also post readings and change a device's state, managers all."""

    VIEWER = "viewer", "Viewer"
    OPERATOR = "operator", "Operator"
    MANAGER = "manager", "Manager"

    def includes(self, other: "Role") -> bool:
        """Return whether whoever has this role may do what another one's bearer may."""
        ranks = list(Role)
        return ranks.index(self) >= ranks.index(other)


class Membership(models.Model):
    """A user's role at a location."""

    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="memberships")
    location = models.ForeignKey(Location, on_delete=models.CASCADE, related_name="memberships")
    role = models.CharField(max_length=16, choices=Role, default=Role.VIEWER)

    objects = CachedManager()

    class Meta:
        ordering = ["location", "user"]
        constraints = [models.UniqueConstraint(fields=["user", "location"], name="one_membership_a_location")]

    def __str__(self) -> str:
        return f"{self.user} at {self.location}: {self.get_role_display()}"
