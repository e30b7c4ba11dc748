"""What the API's device and reading documents hold."""

from datetime import date, datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from django.core.exceptions import ValidationError
from ninja import Field, Schema
from pydantic import AfterValidator, ConfigDict, FiniteFloat, JsonValue, StringConstraints

from devices.metrics import METRICS
from devices.models import MAX_NOTES, Device, Kind, Status, validate_metadata
from devices.selectors import DEVICE_SORTS
from devices.services import MAX_VALUE
from devices.spans import SPANS
from xyzsite.api.fields import CODE, Answer, Moment, OneOf, PageOut, PageQuery, QueryString, either_way
from xyzsite.api.sent import Sent

MAX_READINGS = 1_000  # in one request, and on one page: some 150 kB of JSON

MetricCode = Annotated[str, OneOf(METRICS)]
SERIAL = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"

Name = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=120)]
SerialText = Annotated[str, StringConstraints(pattern=SERIAL)]
CodeText = Annotated[str, StringConstraints(pattern=CODE)]


def storable(metadata: dict[str, JsonValue]) -> dict[str, JsonValue]:
    """Refuse metadata as the model does, so that it is told with what else is wrong."""
    try:
        validate_metadata(metadata)
    except ValidationError as error:
        raise ValueError(error.message) from error
    return metadata


Metadata = dict[str, JsonValue]
MetadataIn = Annotated[Metadata, AfterValidator(storable)]
Notes = Annotated[str, StringConstraints(max_length=MAX_NOTES)]


def optional(**options: Any) -> Any:
    """Return a field that may be left out, but not be null: pydantic checks no defaults, and the schema shows none."""
    return Field(None, json_schema_extra=without_default, **options)


def without_default(schema: dict[str, Any]) -> None:
    schema.pop("default", None)


class PlaceOut(Answer):
    """The location of a device, in short."""

    code: str = Field(examples=["aotizhongxin"])
    name: str = Field(examples=["Aotizhongxin"])


class DeviceOut(Answer):
    """One sensor; `current_value` is its newest reading of `metric`, taken at `last_seen`."""

    serial: str = Field(examples=["PRSA-AOTIZHONGXIN-PM25"])
    name: str = Field(examples=["Aotizhongxin PM2.5"])
    location: PlaceOut
    kind: Kind
    metric: str = Field(examples=["pm25"])
    unit: str = Field(description="What its values are in.", examples=["µg/m³"])
    status: Status
    installed: date | None
    last_seen: datetime | None
    current_value: float | None = Field(examples=[81.0])

    @staticmethod
    def resolve_unit(device: Device) -> str:
        return METRICS[device.metric].unit


class DeviceDetailOut(DeviceOut):
    """One sensor, with what is noted of it."""

    metadata: Metadata = Field(examples=[{"firmware": "2.1.0"}])
    notes: str = Field(examples=["Lens cleaned on 3 March."])


class DevicePageOut(PageOut[DeviceOut]):
    """One page of devices."""


class DeviceQuery(PageQuery):
    """What a list of devices is narrowed to."""

    search: str = Field("", max_length=120, description="In the name or the serial, in any case.")
    location: str = Field("", max_length=32, description="A location's code.", examples=["aotizhongxin"])
    kind: Kind | None = None
    status: Status | None = None
    metric: MetricCode | None = None
    sort: Annotated[str, OneOf(either_way(DEVICE_SORTS))] = Field("name", description="A leading dash turns the order.")


class Strict(Schema):
    """A document in which a name that we do not know is an error, not a typing mistake that goes unnoticed."""

    model_config = ConfigDict(extra="forbid")


class DeviceIn(Strict):
    """A new device."""

    serial: SerialText = Field(description="Unique; it cannot be changed.", examples=["THERM-0042"])
    location: CodeText = Field(description="The location's code.", examples=["aotizhongxin"])
    name: Name = Field(examples=["Roof thermometer"])
    kind: Kind
    metric: MetricCode = Field(examples=["temperature"])
    status: Status = Status.ACTIVE
    installed: date | None = None
    metadata: MetadataIn = Field(default_factory=dict, examples=[{"firmware": "2.1.0"}])
    notes: Notes = Field("", description="For people.", examples=["Behind the boat house."])


class DeviceChange(Strict):
    """What to change; what is left out stays. Operators may change the status and the notes, managers all."""

    name: Name = optional()
    location: CodeText = optional(description="The code of the location to which it moves.")
    kind: Kind = optional()
    metric: MetricCode = optional()
    status: Status = optional()
    installed: date | None = optional()
    metadata: MetadataIn = optional(description="Replaces the whole.")
    notes: Notes = optional(examples=["Lens cleaned on 3 March."])


class ReadingOut(Answer):
    """One measured value."""

    metric: str = Field(examples=["pm25"])
    value: float = Field(examples=[81.0])
    unit: str = Field(examples=["µg/m³"])
    taken_at: datetime


class ReadingsOut(Answer):
    """Readings of one device and metric, newest first."""

    items: list[ReadingOut]
    next: datetime | None = Field(description="Send this as `to`, to get the next page; null on the last one.")


class ReadingsQuery(QueryString):
    """Which readings. Give any of `from` and `to`; or a window."""

    metric: MetricCode | None = Field(None, description="The device's own if left out.")
    window: Annotated[str, OneOf(SPANS)] | None = Field(None, description="Instead of `from`: up to `to`, or to now.")
    from_: Moment | None = Field(None, alias="from", description="Taken at this time or later.")
    to: Moment | None = Field(None, description="Taken before this time.")
    limit: int = Field(100, ge=1, le=MAX_READINGS, description="How many at most.")


class ReadingIn(Strict):
    """One measured value of a device."""

    value: FiniteFloat = Field(strict=True, ge=-MAX_VALUE, le=MAX_VALUE, examples=[21.4])
    taken_at: Moment = Field(description="When it was measured, with an offset.", examples=["2026-03-01T12:00:00Z"])
    metric: MetricCode | None = Field(None, description="The device's own if left out.", examples=["temperature"])
    unit: str | None = Field(
        None, max_length=16, description="The metric's own, however spelt; no other is converted.", examples=["°C"]
    )


class SerialReadingIn(ReadingIn):
    """One measured value, and the device that measured it."""

    serial: SerialText = Field(examples=["THERM-0042"])


class ReadingsIn(Strict):
    """Readings of one device or of many."""

    readings: list[Sent[SerialReadingIn]] = Field(min_length=1, max_length=MAX_READINGS)


class RecordedOut(Answer):
    """What became of one reading. All three are final: it is not lost, and not stored twice."""

    id: UUID = Field(description="The reading's: one for this device, metric and moment, however often it is sent.")
    result: Literal["accepted", "stored", "known"] = Field(
        description="`accepted`: safe in the region's replicated buffer, and soon in the database. `stored`: in the "
        "database. `known`: this device had a reading of this metric at this moment; it is left as it was."
    )


class RecordedManyOut(Answer):
    """What became of many readings: all were accepted, or each was stored or known."""

    accepted: int = Field(description="How many are safe in the region's buffer, and soon stored or known.")
    stored: int = Field(description="How many were new.", examples=[2])
    known: int = Field(description="How many were there before, or came twice; they are left as they were.")
    ids: list[UUID] = Field(description="The readings' ids, in the order in which they were sent.")
