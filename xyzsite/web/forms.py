"""The forms of the pages: of one's own account, of devices, filters of lists, questions to the analytics."""

import json
from datetime import datetime, timedelta
from typing import Any, ClassVar
from zoneinfo import ZoneInfo

from django import forms
from django.contrib.auth.forms import AuthenticationForm, PasswordChangeForm
from django.core.exceptions import ValidationError
from django.http import QueryDict
from django.utils import timezone
from django.utils.dateparse import parse_datetime

from analytics.selectors import DEVICE_COUNT, Selection
from analytics.summaries import Question
from analytics.windows import Window, common_zone, window_between
from devices.changes import CHANGEABLE, STATE
from devices.metrics import METRIC_CHOICES, METRICS
from devices.models import MAX_METADATA, MAX_NOTES, Device, Kind, Status, Threshold, validate_metadata
from devices.selectors import DeviceFilter
from devices.spans import DEFAULT_SPAN, SPANS, Span
from locations.models import Location, LocationQuerySet
from locations.selectors import LocationFilter, managed_by
from users.models import Region, User


class SignInForm(AuthenticationForm):
    """Django's, with one error text of our own."""

    error_messages = AuthenticationForm.error_messages | {
        "invalid_login": "That name and password do not belong together. Both heed capitals.",
    }


class ProfileForm(forms.ModelForm):
    class Meta:
        model = User
        fields = ("first_name", "last_name", "email", "home_region")
        help_texts = {"home_region": "Where your pages and your data are nearest."}

    def __init__(self, *args: object, **kwargs: object) -> None:
        super().__init__(*args, **kwargs)  # type: ignore[arg-type]
        for name, purpose in (("first_name", "given-name"), ("last_name", "family-name"), ("email", "email")):
            self.fields[name].widget.attrs["autocomplete"] = purpose


class PasswordForm(PasswordChangeForm):
    """Django's, without taking the keyboard when the page opens: it is one of several forms there."""

    def __init__(self, *args: object, **kwargs: object) -> None:
        super().__init__(*args, **kwargs)  # type: ignore[arg-type]
        self.fields["old_password"].widget.attrs.pop("autofocus", None)


class TokenForm(forms.Form):
    LIFETIMES = (("30", "30 days"), ("90", "90 days"), ("365", "1 year"), ("", "No end"))

    name = forms.CharField(max_length=80, help_text="What uses it, such as “Gateway at the harbor”.")
    lifetime = forms.ChoiceField(label="Valid for", choices=LIFETIMES, initial="90", required=False)

    def expires_at(self) -> datetime | None:
        """Return when the token shall end, None for never."""
        days = self.cleaned_data["lifetime"]
        return timezone.now() + timedelta(days=int(days)) if days else None


class NewDeviceForm(forms.Form):
    """All that is said of a new device."""

    serial = forms.CharField(max_length=64, help_text="Letters, digits, dots, dashes, underscores. It stays.")
    name = forms.CharField(max_length=120)
    kind = forms.ChoiceField(choices=Kind)
    metric = forms.ChoiceField(choices=METRIC_CHOICES, label="Measures")
    status = forms.ChoiceField(choices=Status, initial=Status.ACTIVE)
    installed = forms.DateField(
        required=False, widget=forms.DateInput(format="%Y-%m-%d", attrs={"type": "date"}), input_formats=["%Y-%m-%d"]
    )
    notes = forms.CharField(required=False, max_length=MAX_NOTES, widget=forms.Textarea(attrs={"rows": 3}))
    metadata = forms.CharField(
        required=False,
        max_length=MAX_METADATA,
        label="Details",
        widget=forms.Textarea(attrs={"rows": 5, "spellcheck": "false", "class": "code"}),
        help_text='Names and values as JSON, such as {"firmware": "2.1.0"}.',
    )

    def clean_metadata(self) -> object:
        try:
            metadata = json.loads(self.cleaned_data["metadata"] or "{}")
        except (ValueError, RecursionError):
            raise ValidationError("This is no JSON: put names and texts in quotation marks.") from None
        validate_metadata(metadata)  # Django's model would take an empty list
        return metadata

    def refuse(self, error: ValidationError) -> None:
        """Show what the model or the service has found wrong, each at its field, else above the form."""
        for name, errors in error.error_dict.items():
            self.add_error(name if name in self.fields else None, errors)


class DeviceForm(NewDeviceForm):
    """What a person changes of a device: all of it at the places that they manage; without those, its state.

    The page remembers what its fields showed: what somebody else has changed meanwhile is not changed back.
    """

    location = forms.ModelChoiceField(Location.objects.none(), to_field_name="code", empty_label=None)
    field_order = ("status", "notes", "name", "location")

    def __init__(self, data: QueryDict | None, *, device: Device, places: LocationQuerySet | None) -> None:
        state = {name: getattr(device, name) for name in CHANGEABLE}
        state |= {"location": device.location.code, "metadata": json.dumps(device.metadata, indent=1)}
        super().__init__(data, initial=state)
        for name in self.fields.keys() - (CHANGEABLE if places is not None else STATE):
            del self.fields[name]
        if places is not None:
            self.fields["location"].queryset = places  # type: ignore[attr-defined]
        for field in self.fields.values():
            field.show_hidden_initial = True

    def changes(self) -> dict[str, Any]:
        return {name: self.cleaned_data[name] for name in self.changed_data}


class ThresholdForm(forms.ModelForm):
    """The bounds of a metric: at one of the places that a person manages; for staff also at all."""

    location = forms.ModelChoiceField(Location.objects.none(), to_field_name="code", empty_label="All locations")

    class Meta:
        model = Threshold
        fields = ("metric", "location", "kind", "low", "high", "notify")
        help_texts: ClassVar = {"kind": "", "notify": "Members with this role, or a higher one, get an e-mail."}

    def __init__(self, data: QueryDict | None, *, user: User, instance: Threshold | None = None) -> None:
        place = instance.location.code if instance and instance.location else None
        super().__init__(data, instance=instance, initial={"location": place})
        places: Any = self.fields["location"]
        places.queryset = managed_by(user)
        places.required = not user.is_staff
        if not user.is_staff:
            places.empty_label = None
        for name, nothing in (("metric", "Choose…"), ("kind", "All kinds"), ("notify", "Nobody")):
            choices: Any = self.fields[name]
            choices.choices = [("", nothing), *choices.choices[1:]]

    def refuse(self, error: ValidationError) -> None:
        self.add_error(None, error)


class FilterForm(forms.Form):
    """What a query string narrows. What makes no sense does not, so that old links go on working: the page names it."""

    @property
    def ignored(self) -> list[str]:
        """Say which fields make no sense, and why."""
        fields = [(name, " ".join(map(str, errors))) for name, errors in self.errors.items()]
        return [f"{self[name].label} is left out: {error}" for name, error in fields if name not in RANGE_ENDS]


RANGE_ENDS = ("from", "to")  # whose errors stand beside their fields


class LocationFilterForm(FilterForm):
    search = forms.CharField(required=False, max_length=120, widget=forms.TextInput(attrs={"type": "search"}))
    region = forms.ChoiceField(required=False, choices=[("", "All regions"), *Region.choices])

    def chosen(self) -> LocationFilter:
        """Return the filter."""
        self.is_valid()
        return LocationFilter(self.cleaned_data.get("search", ""), self.cleaned_data.get("region", ""))


class DeviceFilterForm(FilterForm):
    search = forms.CharField(required=False, max_length=120, widget=forms.TextInput(attrs={"type": "search"}))
    kind = forms.ChoiceField(required=False, choices=[("", "All kinds"), *Kind.choices])
    status = forms.ChoiceField(required=False, choices=[("", "Any status"), *Status.choices])

    def chosen(self, location_id: int) -> DeviceFilter:
        """Return the filter."""
        self.is_valid()
        texts = {name: self.cleaned_data.get(name, "") for name in ("search", "kind", "status")}
        return DeviceFilter(location_id=location_id, **texts)


EARLIEST, LATEST = 1970, 2200  # years: what dates of readings can be, far from the edges that arithmetic falls off


class RangeForm(FilterForm):
    """What time is shown: a span until a moment, or a range of one's own in a place's clock, or with an offset."""

    window = forms.ChoiceField(required=False, choices=[(span.code, span.label) for span in SPANS.values()])
    until = forms.CharField(required=False, max_length=40)

    def __init__(self, *args: object, **kwargs: object) -> None:
        super().__init__(*args, **kwargs)  # type: ignore[arg-type]
        for name in RANGE_ENDS:  # of which the first is no name in Python
            self.fields[name] = forms.CharField(required=False, max_length=40)

    def clean_until(self) -> str:
        text: str = self.cleaned_data["until"]
        if text and moment_from(text) is None:
            raise ValidationError("Write a date and time with its offset, such as 2026-03-01T12:00Z.")
        return text

    def between(self, zone: ZoneInfo) -> Window | None:
        """Return the window that is asked for; None for none, and where it makes no sense: `errors` say why then."""
        self.is_valid()
        start, end = self._moment("from", zone), self._moment("to", zone)
        if start is None and end is None:
            return None
        if start is None:
            self.add_error("from", "Give the start too.")
        if start is None or self.range_errors:
            return None
        try:
            return window_between(start, end or timezone.now(), zone)
        except ValueError as error:
            self.add_error("to", str(error))
        return None

    @property
    def range_errors(self) -> dict[str, str]:
        """What is wrong with the range, by field."""
        return {name: " ".join(map(str, self.errors[name])) for name in RANGE_ENDS if name in self.errors}

    def _moment(self, name: str, zone: ZoneInfo) -> datetime | None:
        text = self.cleaned_data.get(name, "")
        moment = moment_from(text, zone)
        if text and moment is None:
            self.add_error(name, "Write a date and time, such as 2026-03-01T12:00.")
        return moment


def typed(form: RangeForm, window: Window) -> dict[str, str]:
    """Return what the fields of a range show: the window's ends, or what makes no sense as it was typed."""
    if form.range_errors:
        return {name: form.data.get(name, "") for name in RANGE_ENDS}
    return {"from": f"{window.start:%Y-%m-%dT%H:%M}", "to": f"{window.end:%Y-%m-%dT%H:%M}"}


MAX_COMPARED = 8  # locations: more lines than colours that can be told apart


class AnalyticsForm(RangeForm):
    SHOWN = (("", "All together"), ("locations", "Locations compared"), ("percentiles", "With percentiles"))

    metric = forms.ChoiceField(required=False, choices=[*METRIC_CHOICES, (DEVICE_COUNT, "Devices reporting")])
    second = forms.ChoiceField(label="And", required=False, choices=[("", "No other"), *METRIC_CHOICES])
    show = forms.ChoiceField(required=False, choices=SHOWN)
    location = forms.ChoiceField(required=False)
    kind = forms.ChoiceField(required=False, choices=[("", "All kinds"), *Kind.choices])

    def __init__(self, *args: object, locations: list[Location], **kwargs: object) -> None:
        super().__init__(*args, **kwargs)
        self.locations = {location.code: location for location in locations}
        names = [(location.code, location.name) for location in locations]
        self.fields["location"].choices = [("", "All locations"), *names]  # type: ignore[attr-defined]

    def question(self, everywhere: bool) -> Question:
        """Return what is asked.

        `everywhere`: the user may see every location, so that all of them need no list.
        """
        self.is_valid()
        metric = self.cleaned_data.get("metric") or METRIC_CHOICES[0][0]
        location = self.locations.get(self.cleaned_data.get("location", ""))
        ids = None if everywhere else tuple(sorted(place.pk for place in self.locations.values()))
        if location is not None:
            ids = (location.pk,)
        shown = [location] if location else self.locations.values()
        zone = common_zone(place.timezone for place in shown)
        selection = Selection(metric, ids, self.cleaned_data.get("kind", ""))
        window = span_from(self.data), zone, until_from(self.data), self.between(ZoneInfo(zone))
        compared = MAX_COMPARED if self.shown == "locations" and metric in METRICS else 0
        return Question(selection, *window, compared)

    @property
    def shown(self) -> str:
        return str(self.cleaned_data.get("show", ""))

    def other(self, metric: str) -> str:
        """Return the metric that is to be drawn over another, "" for none; there is none over compared locations."""
        second = str(self.cleaned_data.get("second", ""))
        return "" if second == metric or metric not in METRICS or self.shown == "locations" else second


def span_from(data: object) -> Span:
    """Return the span that a query string names, the default for an unknown one."""
    return SPANS.get(data.get("window", ""), DEFAULT_SPAN)  # type: ignore[attr-defined]


def until_from(data: object) -> datetime | None:
    """Return the moment that a query string's `until` names (ISO 8601, with its offset), None for none or nonsense."""
    return moment_from(data.get("until", ""))  # type: ignore[attr-defined]


def moment_from(text: str, zone: ZoneInfo | None = None) -> datetime | None:
    """Return a moment in ISO 8601, None for nonsense; without an offset it is by a zone's clock, or nonsense too."""
    try:
        moment = parse_datetime(text)
    except ValueError:
        return None
    if moment is None or not EARLIEST < moment.year < LATEST:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=zone) if zone else None
