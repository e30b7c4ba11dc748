"""Analytics for programs: one metric over one window, in buckets and by location."""

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any
from zoneinfo import ZoneInfo

from django.utils import timezone
from ninja import Field, Query, Router

from analytics.figures import Figures
from analytics.percentiles import PERCENTS, percentiles_of
from analytics.selectors import DEVICE_COUNT, Selection
from analytics.summaries import Question, analytics_summary
from analytics.windows import Window, window_between
from devices.metrics import METRICS
from devices.models import Kind
from devices.spans import DEFAULT_SPAN, SPANS
from locations.models import Location
from locations.selectors import visible_location_ids
from xyzsite.api.auth import ApiRequest
from xyzsite.api.devices import named_location
from xyzsite.api.errors import ApiError, responses
from xyzsite.api.fields import Answer, Moment, OneOf, QueryString

router = Router(tags=["analytics"])

VALUES = ("average", "time_average", "amount", "minimum", "maximum")


class AnalyticsQuery(QueryString):
    """Which readings, over which window."""

    metric: Annotated[str, OneOf([*METRICS, DEVICE_COUNT])] = Field(
        description="A metric; or `device_count`: how many devices sent a reading of any."
    )
    window: Annotated[str, OneOf(SPANS)] = Field(DEFAULT_SPAN.code, description="How long; it sets the buckets' size.")
    location: str = Field("", max_length=32, description="A location's code; all that you may see if left out.")
    kind: Kind | None = Field(None, description="Only devices of this kind.")
    until: Moment | None = Field(
        None,
        description="A moment in the last bucket. If left out: now, or the newest reading where that is of the past.",
    )
    from_: Moment | None = Field(
        None, alias="from", description="The start of a range, instead of a window; the range is of whole buckets."
    )
    to: Moment | None = Field(None, description="The end of the range, not included; now if left out.")
    percentiles: bool = Field(False, description="Whether to rank the readings too.")


class FiguresOut(Answer):
    """What readings come to; the values in the metric's unit, null for `device_count`."""

    average: float | None = Field(description="Of the readings: what sends more often weighs more.", examples=[21.4])
    time_average: float | None = Field(
        description="Over time: each step of time of each device weighs alike.", examples=[20.9]
    )
    amount: float | None = Field(
        description="The sum of a device's readings, on average of the devices; null unless the metric is rain.",
        examples=[None],
    )
    minimum: float | None
    maximum: float | None
    count: int = Field(description="How many readings.")


class BucketOut(FiguresOut):
    """The readings of one bucket. A bucket without readings is left out."""

    start: datetime
    devices: int = Field(description="How many devices sent them.")


class LocationFiguresOut(FiguresOut):
    """The readings of one location over the window."""

    code: str
    name: str
    devices: int = Field(description="How many devices sent them.")


class PercentilesOut(Answer):
    """Values that so many in a hundred of the readings do not exceed, by the nearest rank; null of no readings."""

    p5: float | None = Field(examples=[18.9])
    p25: float | None = Field(examples=[20.2])
    p50: float | None = Field(description="The median.", examples=[21.3])
    p75: float | None = Field(examples=[22.5])
    p95: float | None = Field(examples=[23.8])


class AnalyticsOut(Answer):
    """One metric over one window."""

    metric: str = Field(examples=["pm25"])
    unit: str = Field(examples=["µg/m³"])
    window: str = Field(description="Its code; `range` for a range of your own.", examples=["24h"])
    timezone: str = Field(description="Days are this time zone's: the location's, or UTC.", examples=["UTC"])
    start: datetime
    end: datetime = Field(description="Not included.")
    total: FiguresOut
    percentiles: PercentilesOut | None = Field(description="Of all readings; null unless they are asked for.")
    buckets: list[BucketOut]
    locations: list[LocationFiguresOut]


@router.get("", response={200: AnalyticsOut, **responses(401, 422)}, summary="Ask for figures")
def ask(request: ApiRequest, query: Query[AnalyticsQuery]) -> dict[str, Any]:
    """One metric over one window, at one location or all that the caller may see, in buckets and by location."""
    location = named_location(request, query.location) if query.location else None
    # Staff see everything: for them no list of locations is needed.
    ids = (location.pk,) if location else None if request.auth.is_staff else visible_location_ids(request.auth)
    selection = Selection(query.metric, ids, query.kind or "")
    zone = location.timezone if location else "UTC"
    between = between_of(query, ZoneInfo(zone))
    question = Question(selection, SPANS[query.window], zone, query.until, between)
    summary = analytics_summary(question)
    return {
        "metric": query.metric,
        "unit": METRICS[query.metric].unit if query.metric != DEVICE_COUNT else "",
        "window": summary.span,
        "timezone": zone,
        "start": summary.window.start,
        "end": summary.window.end,
        "total": figures_out(summary.total, query.metric),
        "percentiles": ranked_out(percentiles_of(question, summary)) if query.percentiles else None,
        "buckets": [
            figures_out(bucket, query.metric) | {"start": bucket.start, "devices": bucket.devices}
            for bucket in summary.buckets
        ],
        "locations": locations_out(summary.locations, query.metric),
    }


def between_of(query: AnalyticsQuery, zone: ZoneInfo) -> Window | None:
    """Return the range that is asked for, None for none; raise ApiError for one that makes no sense."""
    if query.from_ is None:
        if query.to is not None:
            raise ApiError(422, fields={"from": ["Give the start too."]})
        return None
    if query.until is not None:
        raise ApiError(422, fields={"until": ["Send either `until` or `from`, not both."]})
    try:
        return window_between(query.from_, query.to or timezone.now(), zone)
    except ValueError as error:
        raise ApiError(422, fields={"to": [str(error)]}) from error


def locations_out(rows: Any, metric: str) -> list[dict[str, Any]]:
    """Return what each location's readings come to, with its names, in one query."""
    named = Location.objects.in_bulk([row.location_id for row in rows])
    return [
        figures_out(row, metric)
        | {"code": named[row.location_id].code, "name": named[row.location_id].name, "devices": row.devices}
        for row in rows
        if row.location_id in named  # it may have gone since the readings were summed up
    ]


def ranked_out(ranked: Mapping[int, float]) -> dict[str, float | None]:
    return {f"p{percent}": ranked.get(percent) for percent in PERCENTS}


def figures_out(figures: Figures | None, metric: str) -> dict[str, Any]:
    """Return the figures; an average over readings of different metrics means nothing."""
    if figures is None or metric == DEVICE_COUNT:
        return dict.fromkeys(VALUES) | {"count": figures.count if figures else 0}
    found = {name: getattr(figures, name) for name in (*VALUES, "count")}
    return found if METRICS[metric].summed else found | {"amount": None}
