"""Devices, and the readings that they post."""

import json
import re
from typing import Self

from django.core.exceptions import NON_FIELD_ERRORS, ValidationError
from django.core.validators import MaxLengthValidator, RegexValidator
from django.db import models

from cacheops import CachedManager, CachedQuerySet
from devices.metrics import METRIC_CHOICES
from locations.models import Location, Role
from users.models import User


class Kind(models.TextChoices):
    THERMOMETER = "thermometer", "Thermometer"
    HYGROMETER = "hygrometer", "Hygrometer"
    BAROMETER = "barometer", "Barometer"
    RAIN_GAUGE = "rain_gauge", "Rain gauge"
    ANEMOMETER = "anemometer", "Anemometer"
    PARTICLE_COUNTER = "particle_counter", "Particle counter"
    GAS_ANALYSER = "gas_analyser", "Gas analyser"

    @property
    def metrics(self) -> frozenset[str]:
        """The metrics that a device of this kind can measure: codes of devices.metrics."""
        return AIR | MEASURED.get(self, frozenset())


# The state of the air, which many sensors measure besides, as their own values depend on it.
AIR = frozenset({"temperature", "humidity", "dew_point", "pressure"})
MEASURED = {
    Kind.RAIN_GAUGE: frozenset({"rain"}),
    Kind.ANEMOMETER: frozenset({"wind_speed"}),
    Kind.PARTICLE_COUNTER: frozenset({"pm25", "pm10"}),
    Kind.GAS_ANALYSER: frozenset({"so2", "no2", "co", "o3"}),
}


class Status(models.TextChoices):
    ACTIVE = "active", "Active"
    MAINTENANCE = "maintenance", "In maintenance"
    OFFLINE = "offline", "Offline"
    RETIRED = "retired", "Retired"

    @property
    def is_judged(self) -> bool:
        """Whether values of such a device are compared with thresholds: not while somebody works on it."""
        return self in (Status.ACTIVE, Status.OFFLINE)


MAX_METADATA = 16 * 1024  # characters of JSON: it comes with every device that is read
MAX_NOTES = 2_000
NUL = re.compile(r"(?<!\\)(?:\\\\)*\\u0000")  # in JSON


def validate_metadata(metadata: object) -> None:
    """Refuse what is no object, is too large, or can't be stored by every database."""
    if not isinstance(metadata, dict):
        raise ValidationError("Send an object: names and values in braces.")
    try:
        text = json.dumps(metadata, allow_nan=False, ensure_ascii=False)
        text.encode()
    except ValueError as error:
        raise ValidationError("Infinite numbers and lone surrogates can't be stored: remove them.") from error
    if NUL.search(text):
        raise ValidationError("NUL characters can't be stored: remove them.")
    if len(text) > MAX_METADATA:
        raise ValidationError(f"At most {MAX_METADATA:,} characters of JSON: keep large documents elsewhere.")


class DeviceQuerySet(CachedQuerySet["Device"]):
    def visible_to(self, user: User) -> Self:
        """The devices at locations that a user belongs to; all for staff."""
        if user.is_staff:
            return self
        return self.filter(location__memberships__user=user)


class Device(models.Model):
    """One sensor. `current_value` is its newest reading of `metric`, in that metric's unit, taken at `last_seen`."""

    location = models.ForeignKey(Location, on_delete=models.PROTECT, related_name="devices")
    serial = models.CharField(
        max_length=64,
        unique=True,
        validators=[
            RegexValidator(r"^[A-Za-z0-9][A-Za-z0-9._-]*$", "Letters, digits, dots, dashes, underscores only.")
        ],
    )
    name = models.CharField(max_length=120)
    kind = models.CharField(max_length=24, choices=Kind)
    metric = models.CharField(max_length=24, choices=METRIC_CHOICES)
    status = models.CharField(max_length=16, choices=Status, default=Status.ACTIVE)
    metadata = models.JSONField(default=dict, blank=True, validators=[validate_metadata])
    # With a default in the database, as an older version that runs beside this one knows no such column.
    notes = models.TextField(default="", db_default="", blank=True, validators=[MaxLengthValidator(MAX_NOTES)])
    installed = models.DateField(null=True, blank=True)
    last_seen = models.DateTimeField(null=True, blank=True, editable=False)
    current_value = models.FloatField(null=True, blank=True, editable=False)

    objects = DeviceQuerySet.as_manager()

    class Meta:
        ordering = ["name"]
        indexes = [
            models.Index(fields=["location", "status"], name="device_by_status"),
            models.Index(fields=["location", "kind"], name="device_by_kind"),
        ]
        base_manager_name = "objects"  # of which foreign keys make their querysets: they take its fast path

    def __str__(self) -> str:
        return self.name


class Reading(models.Model):
    """One measured value, in `unit`. A device has at most one reading of a metric at a moment.

    On PostgreSQL the table is partitioned by `taken_at` (docs/decisions/0004-readings-table.md).
    """

    # No index of its own: that of the unique constraint begins with the device, and each index costs every insert.
    device = models.ForeignKey(Device, on_delete=models.CASCADE, related_name="readings", db_index=False)
    metric = models.CharField(max_length=24, choices=METRIC_CHOICES)
    value = models.FloatField()
    unit = models.CharField(max_length=16)
    taken_at = models.DateTimeField()

    objects = CachedManager()

    class Meta:
        ordering = ["-taken_at"]
        constraints = [
            # Also the index for time ranges. It holds the partition key, as PostgreSQL requires of a partitioned table.
            models.UniqueConstraint(fields=["device", "metric", "taken_at"], name="one_reading_a_moment"),
        ]
        indexes = [models.Index(fields=["metric", "taken_at"], name="reading_by_metric")]

    def __str__(self) -> str:
        return f"{self.metric} {self.value} {self.unit} at {self.taken_at:%Y-%m-%d %H:%M}"


TAKEN = "There is a threshold of this metric, kind and location: change that one."


class Threshold(models.Model):
    """The bounds of one metric at a location, or everywhere: of all devices there, or of one kind.

    A value beyond them begins an excursion (devices/excursions.py); a value on a bound is within.
    """

    location = models.ForeignKey(
        Location, on_delete=models.CASCADE, related_name="thresholds", null=True, blank=True, help_text="Empty: all."
    )
    kind = models.CharField(max_length=24, choices=Kind, blank=True, help_text="Empty: all.")
    metric = models.CharField(max_length=24, choices=METRIC_CHOICES)
    low = models.FloatField(null=True, blank=True, help_text="In the metric's unit; empty for none.")
    high = models.FloatField(null=True, blank=True, help_text="In the metric's unit; empty for none.")
    notify = models.CharField(
        "who hears of it",
        max_length=16,
        choices=Role,
        blank=True,
        help_text="Members of the device's location with this role, or a higher one, get e-mails; empty: nobody.",
    )

    objects = CachedManager()

    class Meta:
        ordering = ["metric", "location", "kind"]
        constraints = [
            models.UniqueConstraint(
                fields=["location", "kind", "metric"],
                condition=models.Q(location__isnull=False),
                name="one_threshold_a_location",
                violation_error_message=TAKEN,
                violation_error_code="unique",
            ),
            models.UniqueConstraint(
                fields=["kind", "metric"],
                condition=models.Q(location__isnull=True),
                name="one_threshold_everywhere",
                violation_error_message=TAKEN,
                violation_error_code="unique",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.get_metric_display()} at {self.location or 'all locations'}"

    def clean(self) -> None:
        problems = {**self.bounds_problem(), **self.kind_problem()}
        if problems:
            raise ValidationError(problems)

    def bounds_problem(self) -> dict[str, str]:
        """Return what is wrong with the bounds, by the field at fault."""
        if self.low is None and self.high is None:
            return {NON_FIELD_ERRORS: "Give a low bound, a high one, or both."}
        if self.low is not None and self.high is not None and self.low > self.high:
            return {"high": "This is below the low bound."}
        return {}

    def kind_problem(self) -> dict[str, str]:
        """Return why no device of the kind measures the metric, by the field at fault."""
        if self.kind in Kind.values and self.metric not in Kind(self.kind).metrics:
            return {"metric": f"A {Kind(self.kind).label.lower()} does not measure this: choose one that it measures."}
        return {}

    def concerns(self, device: Device) -> bool:
        return (
            Status(device.status).is_judged
            and self.metric == device.metric
            and self.location_id in (None, device.location_id)
            and self.kind in ("", device.kind)
        )

    def passed_by(self, value: float) -> float | None:
        """Return the bound that a value is beyond, None for a value within."""
        if self.high is not None and value > self.high:
            return self.high
        return self.low if self.low is not None and value < self.low else None


class Excursion(models.Model):
    """A time in which a device's values were beyond a bound: up to `ended_at`, which is None while it lasts."""

    threshold = models.ForeignKey(Threshold, on_delete=models.CASCADE, related_name="excursions")
    device = models.ForeignKey(Device, on_delete=models.CASCADE, related_name="excursions")
    location = models.ForeignKey(Location, on_delete=models.CASCADE, related_name="excursions")  # where it was then
    metric = models.CharField(max_length=24, choices=METRIC_CHOICES)
    bound = models.FloatField()  # the one that was passed, as it was then
    extreme = models.FloatField()  # the value farthest from it
    began_at = models.DateTimeField()
    ended_at = models.DateTimeField(null=True, blank=True, db_index=True)

    objects = CachedManager()

    class Meta:
        ordering = ["-began_at"]
        constraints = [
            models.UniqueConstraint(
                fields=["threshold", "device"], condition=models.Q(ended_at__isnull=True), name="one_excursion_now"
            )
        ]

    def __str__(self) -> str:
        return f"{self.device}: {self.metric} beyond {self.bound:g}"


class Notice(models.Model):
    """An e-mail that a person is still to get of an excursion: stored with it, deleted once it is sent."""

    class Event(models.TextChoices):
        BEGIN = "begin", "It has begun"
        END = "end", "It has ended"

    excursion = models.ForeignKey(Excursion, on_delete=models.CASCADE, related_name="notices")
    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="+")
    event = models.CharField(max_length=8, choices=Event)
    due_at = models.DateTimeField(db_index=True)  # later while a worker is sending it, and after a failure
    attempts = models.PositiveIntegerField(default=0)

    class Meta:
        ordering = ["due_at", "pk"]
        constraints = [models.UniqueConstraint(fields=["excursion", "user", "event"], name="one_notice_an_event")]

    def __str__(self) -> str:
        return f"{self.event} of {self.excursion}"


class ImportedFile(models.Model):
    """How far the import of a file has come; its batches and this row are written in one transaction."""

    digest = models.CharField(max_length=64, unique=True)  # SHA-256 of the format, its options, the file's content
    name = models.CharField(max_length=255)
    line = models.PositiveBigIntegerField(default=0)  # the last line that has been dealt with, from 1
    bad = models.PositiveBigIntegerField(default=0)  # rows up to there that could not be imported
    started_at = models.DateTimeField(auto_now_add=True)
    finished_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-started_at"]

    def __str__(self) -> str:
        return self.name
