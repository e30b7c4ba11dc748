"""Thresholds: who may see and set them, for the pages, the API and the admin alike.

`by` is the person for whom it is done; None for the platform itself, which may do all. What their role does not allow
raises RoleRequired, what can't be stored ValidationError with the messages of each field; nothing is written then.
"""

from collections.abc import Mapping
from typing import Any

from django.core.exceptions import NON_FIELD_ERRORS, ValidationError
from django.db import IntegrityError, transaction
from django.db.models import Q, QuerySet

from devices.excursions import end_excursions
from devices.models import TAKEN, Threshold
from locations.models import Location, Role
from locations.selectors import RoleRequired, managed_by, require_role, visible_location_ids
from users.models import User

BOUNDS = frozenset({"location", "kind", "metric", "low", "high"})  # by which readings are judged
FIELDS = BOUNDS | {"notify"}


def thresholds_for(user: User) -> "QuerySet[Threshold]":
    """Return those of the locations that a user may see, and those of all locations."""
    rows = Threshold.objects.select_related("location").order_by("metric", "location__name", "location", "kind")
    if user.is_staff:
        return rows
    return rows.filter(Q(location=None) | Q(location__in=visible_location_ids(user)))


def require_setter(user: User, location: Location | None) -> None:
    """Raise RoleRequired where a person may not set the bounds of a location; None: of all."""
    if location is not None:
        require_role(user, location, Role.MANAGER)
    elif not user.is_staff:
        raise RoleRequired("Bounds for all locations are set by staff; managers set those of their locations.")


def require_setter_anywhere(user: User) -> None:
    """Raise RoleRequired where there is no location whose bounds a person may set."""
    if not managed_by(user).exists():
        raise RoleRequired("Thresholds are set by managers of their location; you are manager nowhere.")


def create_threshold(by: User | None = None, **fields: Any) -> Threshold:
    """Create a threshold of FIELDS, of which `metric` and a bound are required. Managers of its location may."""
    if by is not None:
        require_setter(by, fields.get("location"))
    threshold = Threshold(**fields)
    threshold.full_clean()
    save(threshold)
    return threshold


def change_threshold(threshold: Threshold, by: User | None = None, **changes: Any) -> Threshold:
    """Change FIELDS of a threshold; return it as it is now. Other bounds end what lasts: it is judged anew."""
    with transaction.atomic():
        current = Threshold.objects.select_for_update(no_key=True).get(pk=threshold.pk)
        if by is not None:
            for place in (current.location, changes.get("location", current.location)):
                require_setter(by, place)
        changed = changed_fields(current, changes)
        for name in changed:
            setattr(current, name, changes[name])
        current.full_clean()
        if changed:
            save(current)
        if changed & BOUNDS:
            end_excursions(threshold=current)
    return current


def delete_threshold(threshold: Threshold, by: User | None = None) -> None:
    """Delete a threshold and its excursions. What a worker stores meanwhile waits for the lock, or is deleted too."""
    with transaction.atomic():
        current = Threshold.objects.select_for_update().get(pk=threshold.pk)
        if by is not None:
            require_setter(by, current.location)
        current.delete()


def changed_fields(threshold: Threshold, changes: Mapping[str, Any]) -> set[str]:
    return {name for name, value in changes.items() if getattr(threshold, name) != value}


def save(threshold: Threshold) -> None:
    try:
        with transaction.atomic():
            threshold.save()
    except IntegrityError as error:  # another request was faster, between the check and the statement
        raise ValidationError({NON_FIELD_ERRORS: ValidationError(TAKEN, code="unique")}) from error
