"""Writes: devices are created and changed here, for the pages and the API alike, and who may do so is decided here.

`by` is the person for whom it is done; None for the platform itself, which may do all. What their role does not allow
raises RoleRequired, what can't be stored ValidationError with the messages of each field; nothing is written then.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction

from devices.current import current_devices
from devices.excursions import end_excursions
from devices.models import Device, Status
from devices.services import kind_problem
from locations.models import Location, Role
from locations.selectors import require_role
from users.models import User

# What people may change; `last_seen` and `current_value` follow from readings.
STATE = frozenset({"status", "notes"})  # also by operators; the rest by managers
CHANGEABLE = STATE | {"location", "name", "kind", "metric", "metadata", "installed"}


def create_device(location: Location, by: User | None = None, **fields: Any) -> Device:
    """Create a device: `serial`, `name`, `kind`, `metric`; optional the rest of CHANGEABLE. Managers may."""
    if by is not None:
        require_role(by, location, Role.MANAGER)
    device = Device(location=location, **only(fields, CHANGEABLE | {"serial"}))
    check(device, with_kind=True)
    try:
        with transaction.atomic():
            device.save(force_insert=True)
    except IntegrityError as error:  # another request was faster, between the check and the insert
        raise ValidationError({"serial": ValidationError("The serial is taken.", code="unique")}) from error
    return device


def change_device(device: Device, by: User | None = None, **changes: Any) -> Device:
    """Change fields of a device (see CHANGEABLE); return it as it is now.

    Operators may change its STATE, managers all; a move needs the role at both locations. A device that is given
    another metric shows the newest reading of that one.
    """
    with transaction.atomic():
        current = Device.objects.select_for_update(no_key=True, of=("self",)).get(pk=device.pk)
        if by is not None:
            require_change(by, current.location, changes)
        changed = {name for name, value in only(changes, CHANGEABLE).items() if getattr(current, name) != value}
        for name in changed:
            setattr(current, name, changes[name])
        if "metric" in changed:
            show_newest(current)
            changed |= {"last_seen", "current_value"}
        check(current, with_kind=bool(changed & {"kind", "metric"}))
        if changed:
            current.save(update_fields=changed)
        put_aside = "status" in changed and not Status(current.status).is_judged
        if put_aside or changed & {"location", "kind", "metric"}:
            end_excursions(device=current)
    return current


def change_statuses(location: Location, serials: Iterable[str], status: Status, by: User | None = None) -> int:
    """Give devices at a location a status; return how many have had another one. Operators may."""
    if by is not None:
        require_role(by, location, Role.OPERATOR)
    with transaction.atomic():
        others = Device.objects.filter(location=location, serial__in=list(serials)).exclude(status=status)
        locked = others.select_for_update(no_key=True, of=("self",)).order_by("pk")
        changed = list(locked.values_list("pk", flat=True))
        Device.objects.filter(pk__in=changed).update(status=status)
        if not status.is_judged:
            end_excursions(device__in=changed)
        current_devices.written(changed)
    return len(changed)


def require_change(user: User, location: Location, changes: Mapping[str, Any]) -> None:
    """Raise RoleRequired where a person may not make changes of a device at a location."""
    require_role(user, location, Role.OPERATOR if changes.keys() <= STATE else Role.MANAGER)
    if "location" in changes:
        require_role(user, changes["location"], Role.MANAGER)


def check(device: Device, with_kind: bool) -> None:
    """Raise ValidationError with all that is wrong with a device; `with_kind`: also where its kind can't measure so."""
    errors: dict[str, list[ValidationError]] = {}
    try:
        device.full_clean()
    except ValidationError as error:
        errors = error.error_dict
    problem = kind_problem(device.kind, device.metric) if with_kind and not errors.keys() & {"kind", "metric"} else ""
    if problem:
        errors = {**errors, "metric": [ValidationError(problem)]}
    if errors:
        raise ValidationError(errors)


def only(fields: Mapping[str, Any], allowed: frozenset[str]) -> Mapping[str, Any]:
    """Return `fields`; raise ValidationError for those that are not `allowed`."""
    refused = fields.keys() - allowed
    if refused:
        raise ValidationError({name: f"{name} can not be set here." for name in sorted(refused)})
    return fields


def show_newest(device: Device) -> None:
    """Set what the device shows to its newest reading of its metric, or to nothing."""
    newest = device.readings.filter(metric=device.metric).order_by("-taken_at").first()
    device.last_seen = newest.taken_at if newest else None
    device.current_value = newest.value if newest else None
