"""The forms of the pages: of one's own account, of devices and of thresholds."""

import json
from datetime import datetime, timedelta
from typing import Any, ClassVar

from django import forms
from django.contrib.auth.forms import AuthenticationForm, PasswordChangeForm
from django.core.exceptions import ValidationError
from django.http import QueryDict
from django.utils import timezone

from devices.changes import CHANGEABLE, STATE
from devices.metrics import METRIC_CHOICES
from devices.models import MAX_METADATA, MAX_NOTES, Device, Kind, Status, Threshold, validate_metadata
from locations.models import Location, LocationQuerySet
from locations.selectors import managed_by
from users.models import User


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
