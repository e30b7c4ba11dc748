"""What an analytics page can ask."""

from datetime import datetime

from django import forms
from django.utils.dateparse import parse_datetime

from analytics.selectors import DEVICE_COUNT, Selection
from analytics.summaries import Question
from analytics.windows import DEFAULT_SPAN, SPANS, Span, common_zone
from devices.metrics import METRIC_CHOICES
from devices.models import Kind
from locations.models import Location

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

        `everywhere`: the asker may see every location, so that all of them need no list.
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
