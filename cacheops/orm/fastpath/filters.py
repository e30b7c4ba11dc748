"""The conditions of a `filter()` that need no query to be known: of own columns, by plain values."""

import enum
from collections.abc import Mapping
from typing import Any, NamedTuple

from django.db import models

from cacheops.engine import memo
from cacheops.orm.schema import PLAIN_TYPES, compared_as


class Conditions(NamedTuple):
    """Those of one filter(): what many have in common, and the values."""

    shape: tuple[Any, ...]  # names, sorted; the type of each value, or the value where it is True or False
    values: list[Any]  # in the order of the names, which is that of the parameters


def conditions_of(model: type[models.Model], given: Mapping[str, Any]) -> Conditions | None:
    """Return the conditions of filter(**given); None where one is not of an own column and a plain value."""
    names = sorted(given)
    values = [given[name] for name in names]
    kinds = []
    for name, value in zip(names, values, strict=True):
        kind, plain = type(value), plain_kind(model, name)
        if plain is None or (kind is not plain and not (isinstance(value, plain) and isinstance(value, enum.Enum))):
            return None
        kinds.append(value if kind is bool else kind)  # True and False make different SQL
    return Conditions((*names, *kinds), values)


@memo(4096)
def plain_kind(model: type[models.Model], name: str) -> type | None:
    """Return the type of the values that a condition on an own column takes as they are."""
    for field in (model._meta.concrete_model or model)._meta.local_concrete_fields:
        if name in (field.name, field.attname) or (name == "pk" and field.primary_key):
            return PLAIN_TYPES.get(type(compared_as(field)))
    return None
