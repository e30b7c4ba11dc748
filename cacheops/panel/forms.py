"""What a person fills in before an action, and on the look-up page."""

from collections.abc import Sequence
from typing import Any

from django import forms
from django.apps import apps
from django.core.exceptions import ObjectDoesNotExist, ValidationError
from django.db import models

from cacheops.conf import conf
from cacheops.orm.fastpath.get import is_unique
from cacheops.panel.entry_page import NotFound, condition
from cacheops.panel.query_look_up import OPERATIONS
from cacheops.panel.switches import pauses, table_of
from cacheops.profiles import profile_of
from cacheops.reading.options import bypassed
from cacheops.warming.registry import cached_models, registered
from cacheops.warming.replica import cached_alias

MAX_WARMED = 2000  # rows of a target, in a request: more is a job for manage.py warm_cache
PAUSES = {60: "1 minute", 300: "5 minutes", 900: "15 minutes", 3600: "1 hour", 14400: "4 hours", 86400: "1 day"}


def model_choices() -> list[tuple[str, str]]:
    """Return the models that the cache knows."""
    known = [model for model in apps.get_models() if profile_of(model) is not None and model._meta.managed]
    return sorted((model._meta.label_lower, model._meta.label) for model in known)


def region_choices() -> list[tuple[str, str]]:
    return [(name, name) for name in conf.regions]


def set_choices(form: forms.Form, name: str, choices: Sequence[Any]) -> None:
    field = form.fields[name]
    assert isinstance(field, forms.ChoiceField)
    field.choices = choices


class ModelField(forms.ChoiceField):
    """A model, by its label."""

    def __init__(self, **options: Any) -> None:
        super().__init__(choices=model_choices, **options)

    def clean(self, value: Any) -> type[models.Model] | None:
        label = super().clean(str(value or "").lower())
        return apps.get_model(label) if label else None


class ModelForm(forms.Form):
    """One model."""

    model = ModelField()


class PausedModelForm(forms.Form):
    """A model whose caching is paused."""

    model = ModelField()

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        paused = {pause.table for pause in pauses()}
        names = [name for name in model_choices() if table_of(apps.get_model(name[0])) in paused]
        set_choices(self, "model", names)
        if not names:
            self.fields["model"].help_text = "No model is paused."


class ObjectForm(forms.Form):
    """One row of a model, by its primary key or by a unique field."""

    model = ModelField()
    pk = forms.CharField(label="Primary key", max_length=200, help_text="Or field=value, for a unique field.")

    def clean(self) -> dict[str, Any]:
        found: dict[str, Any] = super().clean() or {}
        if "model" in found and "pk" in found:
            found["object"] = self._row(found["model"], found["pk"])
        return found

    def _row(self, model: type[models.Model], text: str) -> models.Model:
        try:
            name, value = condition(model, text)
            if name != "pk" and not is_unique(model, name):
                raise NotFound(f"{model._meta.label}.{name} is not unique: give the primary key, or a unique field.")
            with bypassed():
                row: models.Model = model._base_manager.using(cached_alias(model)).get(**{name: value})
        except NotFound as error:
            raise ValidationError(str(error)) from error
        except ObjectDoesNotExist as error:
            if name not in ("pk", model._meta.pk.attname):
                raise ValidationError(
                    f"There is no {model._meta.verbose_name} {text}: give its primary key."
                ) from error
            row = model(pk=value)  # gone, and maybe cached all the same
            row._state.db = cached_alias(model)
        except OverflowError as error:
            raise ValidationError(f"There is no {model._meta.verbose_name} {text}.") from error
        return row


class PatternForm(forms.Form):
    """Keys by name, as CacheAsideManager keeps them."""

    pattern = forms.CharField(
        max_length=200,
        help_text="Keys by name, such as device:7:*. A * stands for any text, a ? for one character.",
    )

    def clean_pattern(self) -> str:
        pattern: str = self.cleaned_data["pattern"]
        if not pattern.strip("*?"):
            raise ValidationError("This pattern matches every key: invalidate everything instead.")
        return pattern


class WarmForm(forms.Form):
    """What is warmed, where, and how much of it."""

    target = forms.ChoiceField(help_text="A target that the project names, or the rows of one model.")
    region = forms.ChoiceField()
    top = forms.IntegerField(
        label="Rows", min_value=1, max_value=MAX_WARMED, initial=500, help_text="The most used ones, then the newest."
    )

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        named = [
            (warmer.name, f"{warmer.name} ({warmer.help})" if warmer.help else warmer.name) for warmer in registered()
        ]
        labels = [(model._meta.label, model._meta.label) for model in cached_models()]
        set_choices(self, "target", [("Targets", named), ("Models", labels)])
        set_choices(self, "region", [*region_choices(), ("all", "all regions")])


class RegionForm(forms.Form):
    """One region."""

    region = forms.ChoiceField(choices=region_choices)


class PauseForm(forms.Form):
    """Which model's caching is paused, for how long, and why."""

    model = ModelField()
    seconds = forms.TypedChoiceField(label="For", coerce=int, choices=list(PAUSES.items()), initial=900)
    reason = forms.CharField(max_length=200, required=False, help_text="Shown to everybody on the panel.")


class EntriesForm(forms.Form):
    """The entries of a model in a region, and what they are narrowed to."""

    model = ModelField()
    region = forms.ChoiceField(choices=region_choices)
    older = forms.IntegerField(label="Older than, s", min_value=0, required=False)
    larger = forms.IntegerField(label="Larger than, bytes", min_value=0, required=False)
    ends = forms.IntegerField(label="Ends within, s", min_value=0, required=False)
    at = forms.CharField(max_length=300, required=False, widget=forms.HiddenInput)


class LookUpForm(forms.Form):
    """A row, or a pasted key, in one region."""

    model = ModelField(required=False)
    pk = forms.CharField(label="Primary key", max_length=200, required=False)
    where = forms.CharField(max_length=2000, required=False, widget=forms.Textarea(attrs={"rows": 2}))
    operation = forms.ChoiceField(choices=list(OPERATIONS.items()), required=False)
    key = forms.CharField(label="Key", max_length=40_000, required=False, widget=forms.Textarea(attrs={"rows": 2}))
    region = forms.ChoiceField(choices=region_choices)

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        set_choices(self, "model", [("", "–"), *model_choices()])
        known = ", ".join(conf.regions)
        self.fields["region"].error_messages["invalid_choice"] = f"There is no region %(value)s: choose of {known}."

    def clean(self) -> dict[str, Any]:
        found: dict[str, Any] = super().clean() or {}
        if not found.get("key") and not (found.get("model") and (found.get("pk") or found.get("operation"))):
            raise ValidationError("Give a model and a primary key, describe a query, or paste a key.")
        return found
