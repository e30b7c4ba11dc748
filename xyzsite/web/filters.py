"""What query strings ask for: filters of lists, the time that is shown, questions to the analytics."""

from datetime import datetime
from zoneinfo import ZoneInfo

from django import forms
from django.core.exceptions import ValidationError
from django.http import QueryDict
from django.utils import timezone
from django.utils.dateparse import parse_datetime

from analytics.selectors import DEVICE_COUNT, Selection
from analytics.summaries import Question
from analytics.windows import Window, common_zone, window_between
from devices.metrics import METRIC_CHOICES, METRICS
from devices.models import Kind, Status
from devices.selectors import DeviceFilter
from devices.spans import DEFAULT_SPAN, SPANS, Span
from locations.models import Location
from locations.selectors import LocationFilter
from users.models import Region

RANGE_ENDS = ("from", "to")  # whose errors stand beside their fields


class FilterForm(forms.Form):
    """What a query string narrows. What makes no sense does not, so that old links go on working: the page names it."""

    @property
    def wrong(self) -> dict[str, str]:
        """What makes no sense, and why, by field."""
        return {name: " ".join(map(str, errors)) for name, errors in self.errors.items()}

    @property
    def ignored(self) -> list[str]:
        """Say which fields are left out, and why."""
        fields = self.wrong.items()
        return [f"{self[name].label} is left out: {error}" for name, error in fields if name not in RANGE_ENDS]


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

    def clean_until(self) -> datetime | None:
        moment = moment_from(self.cleaned_data["until"])
        if self.cleaned_data["until"] and moment is None:
            raise ValidationError("Write a date and time with its offset, such as 2026-03-01T12:00Z.")
        return moment

    @property
    def span(self) -> Span:
        """The span that is named, the default where none is, or an unknown one."""
        self.is_valid()
        return SPANS.get(self.cleaned_data.get("window", ""), DEFAULT_SPAN)

    @property
    def end(self) -> datetime | None:
        """The moment that `until` names; None for none, and for nonsense."""
        self.is_valid()
        moment: datetime | None = self.cleaned_data.get("until")
        return moment

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
        return {name: error for name, error in self.wrong.items() if name in RANGE_ENDS}

    @property
    def sound(self) -> QueryDict:
        """The query string without what makes no sense: a range goes as a whole."""
        query = QueryDict(mutable=True)
        query.update(self.data)
        for name in (*self.wrong, *(RANGE_ENDS if self.range_errors else ())):
            query.pop(name, None)
        return query

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
        window = self.span, zone, self.end, self.between(ZoneInfo(zone))
        compared = MAX_COMPARED if self.shown == "locations" and metric in METRICS else 0
        return Question(selection, *window, compared)

    @property
    def shown(self) -> str:
        return str(self.cleaned_data.get("show", ""))

    def other(self, metric: str) -> str:
        """Return the metric that is to be drawn over another, "" for none; there is none over compared locations."""
        second = str(self.cleaned_data.get("second", ""))
        return "" if second == metric or metric not in METRICS or self.shown == "locations" else second


def moment_from(text: str, zone: ZoneInfo | None = None) -> datetime | None:
    """Return a moment in ISO 8601, None for nonsense; without an offset it is by a zone's clock, or nonsense too."""
    try:
        moment = parse_datetime(text)
    except ValueError:
        return None
    if moment is None or not EARLIEST < moment.year < LATEST:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=zone) if zone else None
