"""The forms of the pages: of one's own account, filters of lists, questions to the analytics."""

from datetime import datetime, timedelta

from django import forms
from django.contrib.auth.forms import AuthenticationForm, PasswordChangeForm
from django.utils import timezone
from django.utils.dateparse import parse_datetime

from analytics.selectors import DEVICE_COUNT, Selection
from analytics.summaries import Question
from analytics.windows import common_zone
from devices.metrics import METRIC_CHOICES
from devices.models import Kind, Status
from devices.selectors import DeviceFilter
from devices.spans import DEFAULT_SPAN, SPANS, Span
from locations.models import Location
from locations.selectors import LocationFilter
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


class LocationFilterForm(forms.Form):
    search = forms.CharField(required=False, max_length=120, widget=forms.TextInput(attrs={"type": "search"}))
    region = forms.ChoiceField(required=False, choices=[("", "All regions"), *Region.choices])

    def chosen(self) -> LocationFilter:
        """Return the filter. A field that makes no sense does not narrow, so that old links go on working."""
        self.is_valid()
        return LocationFilter(self.cleaned_data.get("search", ""), self.cleaned_data.get("region", ""))


class DeviceFilterForm(forms.Form):
    search = forms.CharField(required=False, max_length=120, widget=forms.TextInput(attrs={"type": "search"}))
    kind = forms.ChoiceField(required=False, choices=[("", "All kinds"), *Kind.choices])
    status = forms.ChoiceField(required=False, choices=[("", "Any status"), *Status.choices])

    def chosen(self, location_id: int) -> DeviceFilter:
        """Return the filter. A field that makes no sense does not narrow, so that old links go on working."""
        self.is_valid()
        texts = {name: self.cleaned_data.get(name, "") for name in ("search", "kind", "status")}
        return DeviceFilter(location_id=location_id, **texts)


EARLIEST, LATEST = 1970, 2200  # years: what dates of readings can be, far from the edges that arithmetic falls off


class AnalyticsForm(forms.Form):
    metric = forms.ChoiceField(required=False, choices=[*METRIC_CHOICES, (DEVICE_COUNT, "Devices reporting")])
    location = forms.ChoiceField(required=False)
    kind = forms.ChoiceField(required=False, choices=[("", "All kinds"), *Kind.choices])

    def __init__(self, *args: object, locations: list[Location], **kwargs: object) -> None:
        super().__init__(*args, **kwargs)  # type: ignore[arg-type]
        self.locations = {location.code: location for location in locations}
        names = [(location.code, location.name) for location in locations]
        self.fields["location"].choices = [("", "All locations"), *names]  # type: ignore[attr-defined]

    def question(self, everywhere: bool) -> Question:
        """Return what is asked. A field that makes no sense is as if left empty, so that old links go on working.

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
        return Question(selection, span_from(self.data), zone, until_from(self.data))


def span_from(data: object) -> Span:
    """Return the span that a query string names, the default for an unknown one."""
    return SPANS.get(data.get("window", ""), DEFAULT_SPAN)  # type: ignore[attr-defined]


def until_from(data: object) -> datetime | None:
    """Return the moment that a query string's `until` names (ISO 8601, with its offset), None for none or nonsense."""
    try:
        moment = parse_datetime(data.get("until", ""))  # type: ignore[attr-defined]
    except ValueError:
        return None
    if moment is None or moment.tzinfo is None or not EARLIEST < moment.year < LATEST:
        return None
    return moment
