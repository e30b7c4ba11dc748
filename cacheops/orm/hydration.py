"""Instances and values from rows, several times as fast as Django makes them, where the result is the same.

`Model.__init__` takes most of the time of a list that the cache answers: it looks at every field for what a caller may
have left out. A row leaves nothing out. Models that have something to say about it, by an `__init__`, a `from_db`, a
descriptor or a signal, are made by Django's way.
"""

import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import msgspec
from django.db.models import JSONField, Model
from django.db.models.base import ModelState
from django.db.models.expressions import Col
from django.db.models.fields.related_descriptors import ForeignKeyDeferredAttribute
from django.db.models.query_utils import DeferredAttribute
from django.db.models.signals import post_init, pre_init

from cacheops.engine import memo

STORING = (DeferredAttribute, ForeignKeyDeferredAttribute)  # descriptors that keep a value in the instance as it is


class Maker:
    """Stands where Django's iterables have a model class, of which they want `from_db` and `_meta`."""

    def __init__(self, model: type[Model]) -> None:
        self.model = model
        self._meta = model._meta

    def from_db(self, db: str, field_names: Sequence[str], values: Sequence[Any], **options: Any) -> Model:
        """Return an instance as `model.from_db` makes it."""
        model = self.model
        if (pre_init.receivers and pre_init.has_listeners(model)) or (
            post_init.receivers and post_init.has_listeners(model)
        ):
            return model.from_db(db, field_names, values, **options)
        instance: Any = object.__new__(model)
        state = ModelState()
        state.adding, state.db = False, db
        if options:
            state.__dict__.update({name: value for name, value in options.items() if value is not None})
        attributes = instance.__dict__
        attributes["_state"] = state
        attributes.update(zip(field_names, values, strict=True))
        return instance


@memo()
def maker_of(model: type[Model]) -> Any:
    """Return what makes a model's instances: the model itself, where its own way must be gone."""
    plain = (
        model.__init__ is Model.__init__
        and model.__new__ is object.__new__
        and model.__setattr__ is object.__setattr__
        and inspect.getattr_static(model, "from_db") is vars(Model)["from_db"]
        and all(type(inspect.getattr_static(model, field.attname)) in STORING for field in model._meta.concrete_fields)
    )
    return Maker(model) if plain else model


def with_makers(klass_info: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """Return a compiler's klass_info, its models replaced by their makers."""
    if klass_info is None:
        return None
    related = klass_info.get("related_klass_infos")
    found = {**klass_info, "model": maker_of(klass_info["model"])}
    if related is not None:
        found["related_klass_infos"] = [with_makers(one) for one in related]
    return found


def dict_maker(names: Sequence[str]) -> Callable[[Iterable[Sequence[Any]]], list[dict[str, Any]]]:
    """Return what makes dictionaries with these keys from rows, in a fifth of the time of dict(zip(names, row)).

    As collections.namedtuple does, by code that is written for them. Of the names only their repr() stands in it.
    """
    values = [f"v{place}" for place in range(len(names))]
    items = ", ".join(f"{name!r}: {value}" for name, value in zip(names, values, strict=True))
    made: Callable[[Iterable[Sequence[Any]]], list[dict[str, Any]]] = eval(
        f"lambda rows: [{{{items}}} for [{', '.join(values)}] in rows]", {"__builtins__": {}}
    )
    return made


def with_fast_json(converters: Mapping[int, tuple[list[Any], Any]]) -> dict[int, tuple[list[Any], Any]]:
    """Return a compiler's converters with a faster one for JSON."""
    return {
        place: ([_quick(converter, expression) for converter in found], expression)
        for place, (found, expression) in converters.items()
    }


def _quick(converter: Any, expression: Any) -> Any:
    field: Any = getattr(converter, "__self__", None)
    known = type(field) is JSONField and field.decoder is None and type(expression) is Col
    return json_converter(converter) if known and converter == field.from_db_value else converter


def json_converter(django: Any) -> Any:
    """Return a converter that reads JSON as Django's does; what the quick parser does not take is left to Django's."""

    def convert(value: Any, expression: Any, connection: Any) -> Any:
        if type(value) is str:
            try:
                return msgspec.json.decode(value)
            except msgspec.DecodeError:  # NaN, or half of a surrogate pair
                pass
        return django(value, expression, connection)

    return convert
