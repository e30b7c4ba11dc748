"""Forms of a person's own account."""

from datetime import datetime, timedelta

from django import forms
from django.contrib.auth.forms import AuthenticationForm, PasswordChangeForm
from django.utils import timezone

from xyzsite.models import User


class SignInForm(AuthenticationForm):
    """Django's, with its errors told to who cannot see them turn red."""

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
