"""Readings for programs: a device's own by time, and posting one or many."""

from collections.abc import Sequence
from typing import Any

from django.utils import timezone
from ninja import Body, Query, Router, Status

from cacheops.exceptions import BufferFull
from cacheops.patterns import Acknowledged
from devices.buffering import accept_readings
from devices.models import Device
from devices.selectors import readings_of
from devices.services import InvalidReadings, NewReading, Recorded, reading_errors
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
from xyzsite.api.sent import Sent

router = Router(tags=["readings"])

BARRED = "Posting needs the role operator at this device's location: ask a manager there."


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
def post_reading(request: ApiRequest, serial: Serial, body: Body[Sent[ReadingIn]]) -> Status:
    """For operators and managers of the device's location, and staff.

    202 `accepted` once it is safe in the region's buffer; lists show it when it is in the database, within the minute.
    Where it cannot be buffered, it is written at once: 201 `stored`, or 200 `known` where the device has a reading of
    this metric at this moment. A client that got no answer can send again.
    """
    device = visible_device(request, serial)
    require_role(request.auth, device.location, Role.OPERATOR)
    if body.faults:  # else `accept` says it
        note_meaning(body, device)
    reading = new_reading(device, body.checked())
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
def post_readings(request: ApiRequest, body: Body[Sent[ReadingsIn]]) -> Status:
    """Up to 1,000 readings of any devices, all or none: where one is wrong, nothing is stored.

    `fields` then tells each one's place: `readings.3.value`. Correct or drop those, and send the rest again.
    202 where they are accepted, 200 where they could not be buffered and are in the database.
    """
    sent: list[Sent[SerialReadingIn]] = body.right.get("readings", [])
    devices = devices_by_serial(request.auth, sent)
    barred = barred_devices(request.auth, devices)
    if barred or body.faults or any(item.faults or item.right["serial"] not in devices for item in sent):
        judge(body, sent, devices, barred)
    items = [item.checked() for item in body.checked().readings]
    readings = [new_reading(devices[item.serial], item) for item in items]
    kinds = {device.pk: device.kind for device in devices.values()}
    acknowledged = accept(readings, kinds, prefix="readings.{index}.")
    accepted = len(readings) if acknowledged.buffered else 0
    recorded = acknowledged.result or Recorded(new=0, known=0)
    counts = {"accepted": accepted, "stored": recorded.new, "known": recorded.known}
    return Status(202 if accepted else 200, {**counts, "ids": [reading.id for reading in readings]})


def devices_by_serial(user: User, items: Sequence[Sent[SerialReadingIn]]) -> dict[str, Device]:
    """Return the devices that are named and that the user may see, by serial."""
    serials = {item.right["serial"] for item in items if "serial" in item.right}
    return {device.serial: device for device in Device.objects.visible_to(user).filter(serial__in=serials)}


def barred_devices(user: User, devices: dict[str, Device]) -> set[str]:
    """Return the serials of those for which the user may not post; one query, whatever their number."""
    if user.is_staff or not devices:
        return set()
    allowed = {
        membership.location_id
        for membership in Membership.objects.filter(user=user)
        if Role(membership.role).includes(Role.OPERATOR)
    }
    return {serial for serial, device in devices.items() if device.location_id not in allowed}


def judge(
    body: Sent[ReadingsIn], items: Sequence[Sent[SerialReadingIn]], devices: dict[str, Device], barred: set[str]
) -> None:
    """Raise ApiError with all that is wrong with the readings: 403 where it is the role alone, else 422."""
    refused = {}
    for index, item in enumerate(items):
        serial = item.right.get("serial", "")
        if serial in barred:
            refused[f"readings.{index}.serial"] = [BARRED]
        elif serial in devices:
            note_meaning(item, devices[serial])
        elif serial:
            item.note("serial", "There is no such device that you may see: send the serial of one that is listed.")
        body.note_all(f"readings.{index}", item)
    if not body.faults:
        raise ApiError(403, fields=refused)
    for path, sentences in refused.items():
        body.faults.setdefault(path, []).extend(sentences)
    body.checked()


def note_meaning(item: Sent[Any], device: Device) -> None:
    """Note what a reading's values mean wrongly, as far as each is right by itself; what is wrong is left out."""
    now, right = timezone.now(), item.right
    metric_is_right = "metric" not in item.faults
    reading = NewReading(
        device.pk,
        right.get("metric") or device.metric,
        right.get("value", 0.0),
        right.get("taken_at", now),
        (right.get("unit") or "") if metric_is_right else "",
    )
    for error in reading_errors(0, reading, now, {device.pk: device.kind} if metric_is_right else {}):
        item.note(error.field, error.reason)


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
