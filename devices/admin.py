"""Devices, their readings and imports in the admin."""

from collections.abc import Iterable
from typing import Any

from django.contrib import admin
from django.contrib.admin.views.main import ChangeList
from django.db.models import QuerySet
from django.forms import ModelForm
from django.http import HttpRequest
from django.utils import timezone
from unfold.contrib.filters.admin import AutocompleteSelectFilter
from unfold.decorators import display

from devices.excursions import end_excursions
from devices.metrics import METRICS
from devices.models import Device, Excursion, ImportedFile, Reading, Status, Threshold
from devices.selectors import newest_reading_time, present_for
from devices.spans import SPANS
from devices.thresholds import BOUNDS, delete_threshold
from users.adminsite import MAX_COUNTED, BoundedPaginator, PlatformAdmin

STATUS_COLOURS = {
    Status.ACTIVE: "success", Status.MAINTENANCE: "warning", Status.OFFLINE: "danger", Status.RETIRED: "info",
}  # fmt: skip


def written(value: float, metric: str) -> str:
    """Return a value with its metric's decimals and unit."""
    shown = METRICS[metric]
    return f"{value:.{shown.decimals}f} {shown.unit}"


@admin.register(Device)
class DeviceAdmin(PlatformAdmin):
    """Sensors. None is deleted, since its readings would go with it: retire it by its status."""

    list_display = ["name", "serial", "location", "kind", "metric", "state", "value", "last_seen"]
    list_select_related = ["location"]
    list_filter = ["status", "kind", "metric", ("location", AutocompleteSelectFilter)]
    list_filter_submit = True  # of the location's filter, which is no list of links
    search_fields = ["name", "serial"]
    search_help_text = "Name or serial"
    autocomplete_fields = ["location"]
    readonly_fields = ["last_seen", "value"]
    show_full_result_count = False

    @display(description="status", ordering="status", label=STATUS_COLOURS)
    def state(self, device: Device) -> tuple[str, str]:
        return device.status, device.get_status_display()

    @display(description="current value", ordering="current_value", empty_value="–")
    def value(self, device: Device) -> str | None:
        return None if device.current_value is None else written(device.current_value, device.metric)

    def has_delete_permission(self, request: HttpRequest, obj: Device | None = None) -> bool:
        return False


class WindowFilter(admin.SimpleListFilter):
    """Readings of the last hour, day, week or month, counted back from the newest where the data is of the past."""

    title = "window"
    parameter_name = "window"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Iterable[tuple[str, str]]:
        return [(span.code, f"Last {span.label}") for span in SPANS.values()]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Reading]) -> QuerySet[Reading]:
        if self.value() not in SPANS:
            return queryset
        end = present_for(newest_reading_time(Device.objects.all()), timezone.now())
        # Every metric is named where none is chosen, so that the index (metric, taken_at) serves.
        return queryset.filter(metric__in=METRICS, taken_at__gt=end - SPANS[str(self.value())].length)


class ReadingChangeList(ChangeList):
    """The list of readings; what it is narrowed to decides which index gives the order."""

    def get_ordering(self, request: HttpRequest, queryset: QuerySet[Reading]) -> list[Any]:
        """Return the newest first: of one device, by metric and time; of some metrics, by time; else as stored."""
        if self.query or any(name.startswith("device") for name in self.params):
            return ["-metric", "-taken_at"]
        return ["-taken_at", "-pk"] if any(self.params.values()) else ["-pk"]


@admin.register(Reading)
class ReadingAdmin(PlatformAdmin):
    """Measured values, to be looked at. They come through the API and imports, which keep devices in step with them."""

    list_display = ["taken_at", "device", "metric", "measured"]
    list_select_related = ["device"]
    list_filter = [WindowFilter, "metric", ("device", AutocompleteSelectFilter)]
    list_filter_submit = True
    search_fields = ["device__serial"]
    search_help_text = f"Serial, in full; counts end at {MAX_COUNTED:,}"
    sortable_by = ()  # no index would serve
    show_full_result_count = False
    paginator = BoundedPaginator

    @display(description="value")
    def measured(self, reading: Reading) -> str:
        return f"{reading.value:g} {reading.unit}"

    def get_changelist(self, request: HttpRequest, **options: Any) -> type[ChangeList]:
        return ReadingChangeList

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Reading], search_term: str
    ) -> tuple[QuerySet[Reading], bool]:
        """Look the device up first: a join would make the database walk the readings."""
        if search_term:
            device = Device.objects.filter(serial=search_term.strip()).first()
            queryset = queryset.filter(device=device) if device else queryset.none()
        return queryset, False

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Reading | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Reading | None = None) -> bool:
        return False


@admin.register(Threshold)
class ThresholdAdmin(PlatformAdmin):
    """Bounds of metrics. Changed ones end what lasts; the next reading of each device is judged by the new ones."""

    list_display = ["metric", "place", "of_kind", "lowest", "highest", "hears"]
    list_select_related = ["location"]
    list_filter = ["metric", "kind"]
    autocomplete_fields = ["location"]

    @display(description="location", ordering="location", empty_value="All")
    def place(self, threshold: Threshold) -> str | None:
        return str(threshold.location) if threshold.location else None

    @display(description="kind", ordering="kind", empty_value="All")
    def of_kind(self, threshold: Threshold) -> str | None:
        return threshold.get_kind_display() or None

    @display(description="low", empty_value="–")
    def lowest(self, threshold: Threshold) -> str | None:
        return None if threshold.low is None else written(threshold.low, threshold.metric)

    @display(description="high", empty_value="–")
    def highest(self, threshold: Threshold) -> str | None:
        return None if threshold.high is None else written(threshold.high, threshold.metric)

    @display(description="who hears of it", ordering="notify", empty_value="Nobody")
    def hears(self, threshold: Threshold) -> str | None:
        return f"{threshold.get_notify_display()} and above" if threshold.notify else None

    def save_model(self, request: HttpRequest, obj: Threshold, form: ModelForm, change: bool) -> None:
        super().save_model(request, obj, form, change)
        if change and BOUNDS & set(form.changed_data):
            end_excursions(threshold=obj)

    def delete_model(self, request: HttpRequest, obj: Threshold) -> None:
        delete_threshold(obj)


@admin.register(Excursion)
class ExcursionAdmin(PlatformAdmin):
    """What was beyond its bound, and what still is; noted as readings are stored."""

    list_display = ["device", "location", "metric", "passed", "farthest", "began_at", "ended_at"]
    list_select_related = ["device", "location"]
    list_filter = ["metric", ("ended_at", admin.EmptyFieldListFilter)]
    show_full_result_count = False
    paginator = BoundedPaginator

    @display(description="bound", ordering="bound")
    def passed(self, excursion: Excursion) -> str:
        return written(excursion.bound, excursion.metric)

    @display(description="farthest value", ordering="extreme")
    def farthest(self, excursion: Excursion) -> str:
        return written(excursion.extreme, excursion.metric)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Excursion | None = None) -> bool:
        return False


@admin.register(ImportedFile)
class ImportedFileAdmin(PlatformAdmin):
    """How far imports have come. A row may be deleted, to import a file anew."""

    list_display = ["name", "line", "bad", "started_at", "finished_at"]
    list_filter = ["finished_at"]
    search_fields = ["name", "digest"]
    readonly_fields = ["name", "digest", "line", "bad", "started_at", "finished_at"]

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False
