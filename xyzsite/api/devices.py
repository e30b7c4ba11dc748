"""Devices for programs: list, show, create, change. None is deleted: a device that is gone is `retired`."""

from functools import partial
from typing import Annotated, Any

from django.core.exceptions import ValidationError
from django.http import HttpResponse
from ninja import Body, Path, Query, Router, Status

from devices.buffering import all_with_pending, with_pending
from devices.changes import change_device, create_device
from devices.models import Device
from devices.selectors import DeviceFilter, device_by_serial
from devices.services import kind_problem
from locations.models import Location
from locations.selectors import location_by_code
from xyzsite.api.auth import ApiRequest
from xyzsite.api.device_schemas import SERIAL, DeviceChange, DeviceDetailOut, DeviceIn, DevicePageOut, DeviceQuery
from xyzsite.api.errors import ApiError, responses
from xyzsite.api.fields import kept_page, page_out
from xyzsite.api.sent import Sent
from xyzsite.kept import kept_answer
from xyzsite.paging import device_page

router = Router(tags=["devices"])

Serial = Annotated[str, Path(pattern=SERIAL, description="The device's serial.", example="THERM-0042")]


@router.get("", response={200: DevicePageOut, **responses(401, 422)}, summary="List devices")
def list_devices(request: ApiRequest, query: Query[DeviceQuery]) -> HttpResponse:
    """The devices at the locations that the caller belongs to; all for staff."""
    return kept_answer(request, request.auth, partial(devices_listed, request, query))


def devices_listed(request: ApiRequest, query: DeviceQuery) -> HttpResponse:
    chosen = DeviceFilter(
        search=query.search,
        location_id=named_location(request, query.location).pk if query.location else None,
        kind=query.kind or "",
        status=query.status or "",
        metric=query.metric or "",
    )
    page = device_page(request.auth, chosen, query.sort, query.page, query.page_size)
    document = page_out(page, query, all_with_pending(page.rows))
    return kept_page(DevicePageOut, document, {device.location_id: device.location for device in page})


@router.get("/{serial}", response={200: DeviceDetailOut, **responses(401, 404)}, summary="Show a device")
def show_device(request: ApiRequest, serial: Serial) -> Device:
    """A device, its current value, and what is noted of it. An accepted reading is its value at once."""
    return with_pending(visible_device(request, serial))


@router.post(
    "", response={201: DeviceDetailOut, **responses(400, 401, 403, 409, 413, 415, 422)}, summary="Create a device"
)
def post_device(request: ApiRequest, body: Body[Sent[DeviceIn]]) -> Status:
    """For managers of the location, and staff. 409 when the serial is taken, at whatever location."""
    location = sent_location(request, body)
    note_kind(body, body.right.get("kind", ""), body.right.get("metric", ""))
    fields = body.checked().model_dump() | {"location": location}
    try:
        return Status(201, create_device(by=request.auth, **fields))
    except ValidationError as error:
        raise refusal_of(error) from error


@router.patch(
    "/{serial}",
    response={200: DeviceDetailOut, **responses(400, 401, 403, 404, 413, 415, 422)},
    summary="Change a device",
)
def patch_device(request: ApiRequest, serial: Serial, body: Body[Sent[DeviceChange]]) -> Device:
    """What is left out stays as it is.

    Operators may change the status and the notes; all else is for managers of the location, of both locations when a
    device moves.
    """
    device = visible_device(request, serial)
    location = sent_location(request, body)
    if body.right.keys() & {"kind", "metric"}:
        note_kind(body, body.right.get("kind", device.kind), body.right.get("metric", device.metric))
    changes = body.checked().model_dump(exclude_unset=True)
    if location is not None:
        changes["location"] = location
    try:
        return change_device(device, by=request.auth, **changes)
    except ValidationError as error:
        raise refusal_of(error) from error


def visible_device(request: ApiRequest, serial: str) -> Device:
    try:
        return device_by_serial(request.auth, serial)
    except Device.DoesNotExist:
        raise ApiError(404, f"There is no device {serial!r} that you may see.") from None


def sent_location(request: ApiRequest, body: Sent[Any]) -> Location | None:
    """Return the location that a body names; note where there is none."""
    try:
        return named_location(request, body.right["location"]) if body.right.get("location") else None
    except ApiError as error:
        body.faults.update(error.fields)
        return None


def note_kind(body: Sent[Any], kind: str, metric: str) -> None:
    """Note where no device of a kind measures a metric; each is empty where it is wrong by itself."""
    problem = kind_problem(kind, metric) if kind and metric and not body.faults.keys() & {"kind", "metric"} else ""
    if problem:
        body.note("metric", problem)


def named_location(request: ApiRequest, code: str) -> Location:
    """Return the location that a query or body names; one that the caller may not see is as none."""
    try:
        return location_by_code(request.auth, code)
    except Location.DoesNotExist:
        sentence = "There is no such location that you may see: send the code of one that GET /api/locations lists."
        raise ApiError(422, fields={"location": [sentence]}) from None


def refusal_of(error: ValidationError) -> ApiError:
    """Return the answer to what a model's own checks found: 409 where only the serial is taken, else 422."""
    found = [item for items in error.error_dict.values() for item in items]
    if all(item.code == "unique" for item in found):
        return ApiError(409, "The serial is taken.", {"serial": ["A device has this serial: choose another."]})
    return ApiError(422, fields={name: list(sentences) for name, sentences in error.message_dict.items()})
