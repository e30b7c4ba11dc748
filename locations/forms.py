"""What a list of locations can be narrowed to."""

from django import forms

from locations.selectors import LocationFilter
from xyzsite.models import Region


class LocationFilterForm(forms.Form):
    search = forms.CharField(required=False, max_length=120, widget=forms.TextInput(attrs={"type": "search"}))
    region = forms.ChoiceField(required=False, choices=[("", "All regions"), *Region.choices])

    def chosen(self) -> LocationFilter:
        """Return the filter. A field that makes no sense does not narrow, so that old links go on working."""
        self.is_valid()
        return LocationFilter(self.cleaned_data.get("search", ""), self.cleaned_data.get("region", ""))
