"""Writes: recording readings. Who may post for which device is decided before these are called."""

import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TypeVar

from django.db import transaction
from django.db.models import Case, Exists, OuterRef, Q, Value, When
from django.utils import timezone

from devices.current import current_devices
from devices.excursions import judge
from devices.metrics import METRICS
from devices.models import Device, Kind, Reading, Threshold
from devices.units import conversion, is_same_unit

# Sensors whose clock has lost its battery report 1970 or 1980: no reading is as old as that.
EARLIEST = datetime(1990, 1, 1, tzinfo=UTC)
# Clocks drift by minutes; a wrong time zone shows as hours. A reading from the future would hide all that follow it.
MAX_AHEAD = timedelta(hours=1)
# The largest value, in any metric's unit. Faulty sensors send 1e38 or 1.8e308, of which a few add up to more than a
# double precision number holds; of values up to this one, all sums and sums of squares stay finite.
MAX_VALUE = 1e12
# Devices updated, and readings looked up, in one statement: far below SQLite's limits (1,000 levels of expression,
# 32,766 parameters).
DEVICES_A_STATEMENT = 200
READINGS_A_STATEMENT = 1000

# The name space of readings' ids (RFC 9562, version 5).
READING_IDS = uuid.UUID("3f0c5a52-6f2e-5d7a-9a55-5a0a4f6c1f0e")

Item = TypeVar("Item")
Moment = tuple[int, str, datetime]
Newest = Mapping[tuple[int, str], tuple[datetime, float]]


@dataclass(frozen=True, slots=True)
class NewReading:
    """A reading to be recorded. `value` is in the metric's unit, which `unit` repeats, however spelt, or omits."""

    device_id: int
    metric: str
    value: float
    taken_at: datetime
    unit: str = ""

    @property
    def moment(self) -> Moment:
        """What makes a reading the same as another."""
        return self.device_id, self.metric, self.taken_at

    @property
    def id(self) -> uuid.UUID:
        """The reading's id: that of its moment, so that a reading that is sent again is the same, wherever it is."""
        moment = self.taken_at.astimezone(UTC).isoformat()
        return uuid.uuid5(READING_IDS, f"{self.device_id} {self.metric} {moment}")


@dataclass(frozen=True, slots=True)
class Recorded:
    """What became of readings: `new` were stored, `known` were there before or came twice."""

    new: int
    known: int


@dataclass(frozen=True, slots=True)
class ReadingError:
    """What is wrong with one reading: its place in the sequence, from 0, the field at fault, and why."""

    index: int
    field: str
    reason: str


class InvalidReadings(ValueError):
    """Readings that can not be recorded; `errors` says which and why. Correct them and send all of them again."""

    def __init__(self, errors: Sequence[ReadingError]) -> None:
        first = errors[0]
        super().__init__(f"{len(errors)} invalid reading(s); number {first.index}, {first.field}: {first.reason}")
        self.errors = tuple(errors)


def record_readings(readings: Iterable[NewReading]) -> Recorded:
    """Store readings, all or none; say how many were new.

    A reading that is already there (same device, metric and moment) is left as it is. A device's `last_seen` and
    `current_value` advance when a reading of its own metric is newer. Raises InvalidReadings.
    """
    batch = checked(readings)
    # One order for all writers: two of them that meet wait for each other, and never in a circle.
    fresh = dict(sorted(first_of_each(batch).items()))
    with transaction.atomic():
        devices = lock_devices({reading.device_id for reading in batch})
        refuse(
            ReadingError(index, "device", "There is no such device.") if reading.device_id not in devices else None
            for index, reading in enumerate(batch)
        )
        for moment in known_moments(list(fresh.values())):
            del fresh[moment]
        insert(fresh.values())
        bounded = (each for each in fresh.values() if devices[each.device_id])
        judge([(each.device_id, each.metric, each.taken_at, each.value) for each in bounded])
        advance_devices(newest_of(fresh.values()))
    return Recorded(new=len(fresh), known=len(batch) - len(fresh))


def checked(readings: Iterable[NewReading], kinds: Mapping[int, str] | None = None) -> list[NewReading]:
    """Return the readings. Raise InvalidReadings, with all that is wrong, where one is wrong by itself.

    `kinds` are those of devices, by their ids, as far as they are known: a thermometer reports no rain.
    """
    batch, now = list(readings), timezone.now()
    refuse(error for index, reading in enumerate(batch) for error in reading_errors(index, reading, now, kinds or {}))
    return batch


def first_of_each(readings: Iterable[NewReading]) -> dict[Moment, NewReading]:
    first: dict[Moment, NewReading] = {}
    for reading in readings:
        first.setdefault(reading.moment, reading)
    return first


def refuse(errors: Iterable[ReadingError | None]) -> None:
    found = [error for error in errors if error is not None]
    if found:
        raise InvalidReadings(found)


def reading_errors(index: int, reading: NewReading, now: datetime, kinds: Mapping[int, str]) -> Iterator[ReadingError]:
    """Yield what is wrong with a reading, one error a field."""
    for field, reason in (
        ("metric", metric_problem(reading.metric) or kind_problem(kinds.get(reading.device_id, ""), reading.metric)),
        ("unit", unit_problem(reading.metric, reading.unit)),
        ("value", value_problem(reading.value)),
        ("taken_at", time_problem(reading.taken_at, now)),
    ):
        if reason:
            yield ReadingError(index, field, reason)


def metric_problem(metric: str) -> str:
    return "" if metric in METRICS else f"{metric!r} is no metric; use one of {', '.join(METRICS)}."


def kind_problem(kind: str, metric: str) -> str:
    """Return why no device of a kind measures a metric, if so; a kind that is not known measures all."""
    if kind not in Kind.values or metric in Kind(kind).metrics:
        return ""
    label, metrics = Kind(kind).label.lower(), (code for code in METRICS if code in Kind(kind).metrics)
    return f"A {label} does not measure {metric}; it can measure {', '.join(metrics)}."


def unit_problem(metric: str, unit: str) -> str:
    if metric not in METRICS or unit == "" or is_same_unit(unit, METRICS[metric].unit):
        return ""
    stored = METRICS[metric].unit
    return f"{metric} is stored in {stored}, not {unit}: {conversion(unit, stored) or 'convert the value'}."


def range_problem(metric: str, value: float) -> str:
    """Return why no sensor can have measured a value, if so. Imports ask; what is posted is shown, and seen at once."""
    known = METRICS[metric]
    if known.low <= value <= known.high:
        return ""
    return f"{value:g} is outside {known.low:g} to {known.high:g} {known.unit}, the physical range of {metric}."


def value_problem(value: float) -> str:
    return "" if abs(value) <= MAX_VALUE else f"{value} is not a number from -{MAX_VALUE:g} to {MAX_VALUE:g}."


def time_problem(taken_at: datetime, now: datetime) -> str:
    if taken_at.tzinfo is None:
        return f"{taken_at.isoformat()} has no time zone: add one, such as Z or +02:00."
    if taken_at < EARLIEST:
        return f"{taken_at.isoformat()} is before {EARLIEST:%Y}: set the device's clock."
    if taken_at > now + MAX_AHEAD:
        return f"{taken_at.isoformat()} is in the future: check the time zone and the device's clock."
    return ""


def lock_devices(ids: Iterable[int]) -> dict[int, bool]:
    """Lock devices against other recorders until the transaction ends; return those that exist.

    With each, whether there is a threshold of its metric at all: asked here, it costs recorders no further statement.
    """
    has_threshold = Exists(Threshold.objects.filter(metric=OuterRef("metric")))
    return {
        pk: is_bounded
        for chunk in chunks(sorted(ids), READINGS_A_STATEMENT)
        for pk, is_bounded in Device.objects.select_for_update(no_key=True)
        .filter(pk__in=chunk)
        .order_by("pk")
        .values_list("pk", has_threshold)
    }


def known_moments(readings: Sequence[NewReading]) -> Iterator[Moment]:
    """Yield the moments that are stored already. `readings` are sorted by moment, each moment once."""
    for chunk in chunks(readings, READINGS_A_STATEMENT):
        wanted = {reading.moment for reading in chunk}
        stored = Reading.objects.nocache().filter(  # the same moments are never read again
            device_id__in={device for device, _, _ in wanted},
            metric__in={metric for _, metric, _ in wanted},
            taken_at__in={taken_at for _, _, taken_at in wanted},
        )
        yield from wanted.intersection(stored.values_list("device_id", "metric", "taken_at"))


def insert(readings: Iterable[NewReading]) -> None:
    """Store readings. A writer that takes no locks, such as an import, may come first: its readings stay."""
    Reading.objects.bulk_create(
        (
            Reading(
                device_id=reading.device_id,
                metric=reading.metric,
                value=reading.value,
                unit=METRICS[reading.metric].unit,
                taken_at=reading.taken_at,
            )
            for reading in readings
        ),
        batch_size=READINGS_A_STATEMENT,
        ignore_conflicts=True,
    )


def newest_of(readings: Iterable[NewReading]) -> dict[tuple[int, str], tuple[datetime, float]]:
    """Return each device's newest reading of each metric. `readings` are sorted by moment."""
    return {(reading.device_id, reading.metric): (reading.taken_at, reading.value) for reading in readings}


def advance_devices(newest: Newest) -> None:
    """Bring devices up to their newest readings: (device, metric) -> (moment, value).

    Only a reading of the device's own metric counts, and only one that is newer than what the device shows. The
    comparison is made by the statement that writes, so that of two writers the newer reading stays, whoever is last.
    """
    for chunk in chunks(sorted(newest.items()), DEVICES_A_STATEMENT):
        own = {pair: Q(pk=pair[0], metric=pair[1]) for pair, _ in chunk}
        newer = Q()
        for pair, (taken_at, _) in chunk:
            newer |= own[pair] & (Q(last_seen=None) | Q(last_seen__lt=taken_at))
        Device.objects.filter(newer).update(
            last_seen=Case(*(When(own[pair], then=Value(taken_at)) for pair, (taken_at, _) in chunk)),
            current_value=Case(*(When(own[pair], then=Value(value)) for pair, (_, value) in chunk)),
        )
    current_devices.written({device_id for device_id, _ in newest})


def chunks(items: Sequence[Item], size: int) -> Iterator[Sequence[Item]]:
    return (items[start : start + size] for start in range(0, len(items), size))
