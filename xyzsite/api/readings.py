"""Readings for programs: a device's own by time, and posting one or many."""

from collections.abc import Sequence
from typing import Any

from django.utils import timezone
from ninja import Query, Router, Status

from cacheops.exceptions import BufferFull
from cacheops.patterns import Acknowledged
from devices.buffering import accept_readings
from devices.models import Device
from devices.selectors import readings_of
from devices.services import InvalidReadings, NewReading, Recorded
from devices.spans import SPANS
from locations.models import Membership, Role
from locations.selectors import require_role
from users.models import User
from xyzsite.api.auth import ApiRequest
from xyzsite.api.device_schemas import (
    ReadingIn,
    ReadingsIn,
    ReadingsOut,
    ReadingsQuery,
    RecordedManyOut,
    RecordedOut,
    SerialReadingIn,
)
from xyzsite.api.devices import Serial, visible_device
from xyzsite.api.errors import ApiError, responses

router = Router(tags=["readings"])


@router.get(
    "/devices/{serial}/readings", response={200: ReadingsOut, **responses(401, 404, 422)}, summary="List readings"
)
def list_readings(request: ApiRequest, serial: Serial, query: Query[ReadingsQuery]) -> dict[str, Any]:
    """A device's readings of one metric, newest first. To page on, send `next` as `to`."""
    device = visible_device(request, serial)
    start, end = query.from_, query.to
    if query.window is not None:
        if start is not None:
            raise ApiError(422, fields={"window": ["Send either a window or `from`, not both."]})
        start = (end or timezone.now()) - SPANS[query.window].length
    if start is not None and end is not None and start >= end:
        raise ApiError(422, fields={"to": ["This must be later than `from`."]})
    # One more than asked for shows whether there is a next page. A moment is unique within a device and metric.
    rows = list(readings_of(device, query.metric or "", start, end)[: query.limit + 1])
    more = len(rows) > query.limit
    return {"items": rows[: query.limit], "next": rows[query.limit - 1].taken_at if more else None}


@router.post(
    "/devices/{serial}/readings",
    response={
        200: RecordedOut,
        201: RecordedOut,
        202: RecordedOut,
        **responses(400, 401, 403, 404, 413, 415, 422),
    },
    summary="Post a reading",
)
def post_reading(request: ApiRequest, serial: Serial, body: ReadingIn) -> Status:
    """For operators and managers of the device's location, and staff.

    202 `accepted` once it is safe in the region's buffer; lists show it when it is in the database, within the minute.
    Where it cannot be buffered, it is written at once: 201 `stored`, or 200 `known` where the device has a reading of
    this metric at this moment. A client that got no answer can send again.
    """
    device = visible_device(request, serial)
    require_role(request.auth, device.location, Role.OPERATOR)
    reading = new_reading(device, body)
    acknowledged = accept([reading], {device.pk: device.kind}, prefix="")
    status, result = 202, "accepted"
    if acknowledged.result is not None:
        status, result = (201, "stored") if acknowledged.result.new else (200, "known")
    return Status(status, {"id": reading.id, "result": result})


@router.post(
    "/readings",
    response={200: RecordedManyOut, 202: RecordedManyOut, **responses(400, 401, 403, 413, 415, 422)},
    summary="Post many readings",
)
def post_readings(request: ApiRequest, body: ReadingsIn) -> Status:
    """Up to 1,000 readings of any devices, all or none: where one is wrong, nothing is stored.

    `fields` then tells each one's place: `readings.3.value`. Correct or drop those, and send the rest again.
    202 where they are accepted, 200 where they could not be buffered and are in the database.
    """
    devices = devices_by_serial(request.auth, body.readings)
    require_operator(request.auth, body.readings, devices)
    readings = [new_reading(devices[item.serial], item) for item in body.readings]
    kinds = {device.pk: device.kind for device in devices.values()}
    acknowledged = accept(readings, kinds, prefix="readings.{index}.")
    accepted = len(readings) if acknowledged.buffered else 0
    recorded = acknowledged.result or Recorded(new=0, known=0)
    counts = {"accepted": accepted, "stored": recorded.new, "known": recorded.known}
    return Status(202 if accepted else 200, {**counts, "ids": [reading.id for reading in readings]})


def devices_by_serial(user: User, items: Sequence[SerialReadingIn]) -> dict[str, Device]:
    """Return the devices that are named, by serial; raise ApiError for those that the user may not see."""
    serials = {item.serial for item in items}
    devices = {device.serial: device for device in Device.objects.visible_to(user).filter(serial__in=serials)}
    missing = {
        f"readings.{index}.serial": ["There is no such device that you may see."]
        for index, item in enumerate(items)
        if item.serial not in devices
    }
    if missing:
        raise ApiError(422, fields=missing)
    return devices


def require_operator(user: User, items: Sequence[SerialReadingIn], devices: dict[str, Device]) -> None:
    """Raise ApiError 403 unless the user may post for all of the devices; one query, whatever their number."""
    if user.is_staff:
        return
    allowed = {
        membership.location_id
        for membership in Membership.objects.filter(user=user)
        if Role(membership.role).includes(Role.OPERATOR)
    }
    refused = {
        f"readings.{index}.serial": ["Posting needs the role operator at this device's location."]
        for index, item in enumerate(items)
        if devices[item.serial].location_id not in allowed
    }
    if refused:
        raise ApiError(403, fields=refused)


def new_reading(device: Device, item: ReadingIn) -> NewReading:
    return NewReading(device.pk, item.metric or device.metric, item.value, item.taken_at, item.unit or "")


def accept(readings: list[NewReading], kinds: dict[int, str], prefix: str) -> Acknowledged[Recorded]:
    """Make readings safe. Raise ApiError: 429, or the fields at fault, each after `prefix`, which may hold {index}."""
    try:
        return accept_readings(readings, kinds)
    except InvalidReadings as error:
        fields = {prefix.format(index=item.index) + item.field: [item.reason] for item in error.errors}
        raise ApiError(422, fields=fields) from error
    except BufferFull as error:
        raise ApiError(429, headers={"Retry-After": str(error.retry_after)}) from error
