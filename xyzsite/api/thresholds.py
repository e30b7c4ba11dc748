"""Bounds of metrics, for programs: list, create, change, delete."""

from typing import Annotated, Any

from django.core.exceptions import NON_FIELD_ERRORS, ValidationError
from ninja import Body, Field, Path, Query, Router, Status
from pydantic import FiniteFloat

from devices import thresholds as service
from devices.metrics import METRICS
from devices.models import Kind, Threshold
from locations.models import Role
from xyzsite.api.auth import ApiRequest
from xyzsite.api.device_schemas import CodeText, MetricCode, Strict, optional
from xyzsite.api.devices import sent_location
from xyzsite.api.errors import ApiError, responses
from xyzsite.api.fields import Answer, PageOut, PageQuery, page_out
from xyzsite.api.sent import Sent
from xyzsite.paging import page_of

router = Router(tags=["thresholds"])

Number = Annotated[int, Path(ge=1, le=2**63 - 1, description="The threshold's id.", example=12)]
Bound = Annotated[FiniteFloat, Field(strict=True)]

LOCATION = "The code of the location whose devices it concerns; null for all locations, which staff set."
KIND = "The kind of the devices that it concerns; null for all."
NOTIFY = "Members of the device's location with this role, or a higher one, get e-mails; null for nobody."


class ThresholdOut(Answer):
    """The bounds of one metric; a value beyond them begins an excursion."""

    id: int = Field(examples=[12])
    location: str | None = Field(description=LOCATION, examples=["aotizhongxin"])
    kind: Kind | None = Field(description=KIND)
    metric: str = Field(examples=["pm25"])
    unit: str = Field(description="What the bounds are in.", examples=["µg/m³"])
    low: float | None = Field(description="Values below are beyond it.", examples=[0.0])
    high: float | None = Field(description="Values above are beyond it.", examples=[50.0])
    notify: Role | None = Field(description=NOTIFY)


class ThresholdPageOut(PageOut[ThresholdOut]):
    """One page of thresholds."""


class ThresholdIn(Strict):
    """A new threshold: a low bound, a high one, or both."""

    metric: MetricCode = Field(examples=["pm25"])
    location: CodeText | None = Field(None, description=LOCATION, examples=["aotizhongxin"])
    kind: Kind | None = Field(None, description=KIND)
    low: Bound | None = Field(None, description="In the metric's unit.", examples=[0.0])
    high: Bound | None = Field(None, description="In the metric's unit.", examples=[50.0])
    notify: Role | None = Field(None, description=NOTIFY)


class ThresholdChange(Strict):
    """What to change; what is left out stays. Other bounds end what lasts: the next reading is judged anew."""

    metric: MetricCode = optional()
    location: CodeText | None = optional(description=LOCATION)
    kind: Kind | None = optional(description=KIND)
    low: Bound | None = optional(examples=[0.0])
    high: Bound | None = optional(examples=[50.0])
    notify: Role | None = optional(description=NOTIFY)


@router.get("", response={200: ThresholdPageOut, **responses(401, 422)}, summary="List thresholds")
def list_thresholds(request: ApiRequest, query: Query[PageQuery]) -> dict[str, Any]:
    """Those of the locations that the caller belongs to, and those of all locations; all for staff."""
    page = page_of(service.thresholds_for(request.auth), query.page, query.page_size)
    return page_out(page, query, [threshold_out(each) for each in page])


@router.post(
    "", response={201: ThresholdOut, **responses(400, 401, 403, 409, 413, 415, 422)}, summary="Create a threshold"
)
def post_threshold(request: ApiRequest, body: Body[Sent[ThresholdIn]]) -> Status:
    """For managers of the location, and staff. 409 when there is one of this metric, kind and location."""
    fields = fields_of(request, body, Threshold())
    try:
        made = service.create_threshold(by=request.auth, **fields)
    except ValidationError as error:
        raise refusal_of(error) from error
    return Status(201, threshold_out(made))


@router.get("/{id}", response={200: ThresholdOut, **responses(401, 404)}, summary="Show a threshold")
def show_threshold(request: ApiRequest, id: Number) -> dict[str, Any]:
    """The bounds of one metric."""
    return threshold_out(visible_threshold(request, id))


@router.patch(
    "/{id}",
    response={200: ThresholdOut, **responses(400, 401, 403, 404, 409, 413, 415, 422)},
    summary="Change a threshold",
)
def patch_threshold(request: ApiRequest, id: Number, body: Body[Sent[ThresholdChange]]) -> dict[str, Any]:
    """What is left out stays as it is. For managers of the location, of both locations when it is another one."""
    threshold = visible_threshold(request, id)
    changes = fields_of(request, body, threshold)
    try:
        return threshold_out(service.change_threshold(threshold, by=request.auth, **changes))
    except ValidationError as error:
        raise refusal_of(error) from error


@router.delete("/{id}", response={204: None, **responses(401, 403, 404)}, summary="Delete a threshold")
def delete_threshold(request: ApiRequest, id: Number) -> Status:
    """With what is known of its excursions. For managers of the location, and staff."""
    service.delete_threshold(visible_threshold(request, id), by=request.auth)
    return Status(204, None)


def visible_threshold(request: ApiRequest, pk: int) -> Threshold:
    found = service.thresholds_for(request.auth).filter(pk=pk).first()
    if found is None:
        raise ApiError(404, f"There is no threshold {pk} that you may see.")
    return found


def fields_of(request: ApiRequest, body: Sent[Any], now: Threshold) -> dict[str, Any]:
    """Return a body as the fields of the model, which has no null for texts; `now` has what is not sent."""
    location = sent_location(request, body)
    if body.faults:  # else the model says it
        note_meaning(body, now)
    fields = body.checked().model_dump(exclude_unset=True)
    if location is not None:
        fields["location"] = location
    return fields | {name: fields[name] or "" for name in ("kind", "notify") if name in fields}


def note_meaning(body: Sent[Any], now: Threshold) -> None:
    """Note what is wrong with values together, as far as each is right by itself."""
    fields = {name: body.right.get(name, getattr(now, name)) for name in ("kind", "metric", "low", "high")}
    meant = Threshold(**fields)
    problems: dict[str, str] = {}
    if not body.faults.keys() & {"low", "high"}:
        problems |= meant.bounds_problem()
    if not body.faults.keys() & {"kind", "metric"}:
        problems |= meant.kind_problem()
    for name, problem in problems.items():
        body.note("low" if name == NON_FIELD_ERRORS else name, problem)


def threshold_out(threshold: Threshold) -> dict[str, Any]:
    return {
        "id": threshold.pk,
        "location": threshold.location.code if threshold.location else None,
        "kind": threshold.kind or None,
        "metric": threshold.metric,
        "unit": METRICS[threshold.metric].unit,
        "low": threshold.low,
        "high": threshold.high,
        "notify": threshold.notify or None,
    }


def refusal_of(error: ValidationError) -> ApiError:
    """Return the answer to what the model's own checks found: 409 where there is such a threshold, else 422."""
    found = error.message_dict
    if all(item.code == "unique" for items in error.error_dict.values() for item in items):
        return ApiError(409, found[NON_FIELD_ERRORS][0])
    named = {"low" if name == NON_FIELD_ERRORS else name: list(sentences) for name, sentences in found.items()}
    return ApiError(422, fields=named)
