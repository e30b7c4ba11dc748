"""What a location's list of devices can be narrowed to."""

from django import forms

from devices.models import Kind, Status
from devices.selectors import DeviceFilter


class DeviceFilterForm(forms.Form):
    search = forms.CharField(required=False, max_length=120, widget=forms.TextInput(attrs={"type": "search"}))
    kind = forms.ChoiceField(required=False, choices=[("", "All kinds"), *Kind.choices])
    status = forms.ChoiceField(required=False, choices=[("", "Any status"), *Status.choices])

    def chosen(self, location_id: int) -> DeviceFilter:
        """Return the filter. A field that makes no sense does not narrow, so that old links go on working."""
        self.is_valid()
        texts = {name: self.cleaned_data.get(name, "") for name in ("search", "kind", "status")}
        return DeviceFilter(location_id=location_id, **texts)
