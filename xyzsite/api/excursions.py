"""Values beyond their bounds, for programs."""

from datetime import datetime
from typing import Any

from django.utils import timezone
from ninja import Field, Query, Router

from devices.excursions import ExcursionRow, excursions_at
from devices.metrics import METRICS
from locations.selectors import visible_location_ids
from xyzsite.api.auth import ApiRequest
from xyzsite.api.devices import named_location
from xyzsite.api.errors import responses
from xyzsite.api.fields import Answer, QueryString

router = Router(tags=["excursions"])


class ExcursionQuery(QueryString):
    """Whose."""

    location: str = Field("", max_length=32, description="A location's code; all that you may see if left out.")


class ExcursionOut(Answer):
    """A time in which a device's values were beyond a bound."""

    serial: str = Field(description="The device's.", examples=["THERM-0042"])
    location: str = Field(description="The code of the location at which it was then.", examples=["aotizhongxin"])
    metric: str = Field(examples=["pm25"])
    unit: str = Field(examples=["µg/m³"])
    bound: float = Field(description="The bound that was passed, as it was then.", examples=[50.0])
    extreme: float = Field(description="The value farthest from it.", examples=[81.0])
    began_at: datetime
    ended_at: datetime | None = Field(description="Null while it lasts.")


class ExcursionsOut(Answer):
    """What is beyond its bound, first, and was within the last 24 hours; 50 at most."""

    items: list[ExcursionOut]


@router.get("", response={200: ExcursionsOut, **responses(401, 422)}, summary="List what is beyond its bounds")
def list_excursions(request: ApiRequest, query: Query[ExcursionQuery]) -> dict[str, Any]:
    """What lasts, and what ended within the last 24 hours, at the locations that the caller belongs to; all for staff.

    A device's own metric is judged when a reading of it is stored, by the bounds of its location, its kind and all.
    """
    location = named_location(request, query.location) if query.location else None
    ids = (location.pk,) if location else None if request.auth.is_staff else visible_location_ids(request.auth)
    return {"items": [excursion_out(row) for row in excursions_at(ids, timezone.now())]}


def excursion_out(row: ExcursionRow) -> dict[str, Any]:
    return row._asdict() | {"location": row.location_code, "unit": METRICS[row.metric].unit}
