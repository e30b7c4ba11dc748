"""What prefetch_related() has put beside an instance's managers: taken apart to be stored, and put back."""

import copy
from typing import Any

from django.db import models

from cacheops.engine import memo
from cacheops.exceptions import UnencodableValue

CACHE = "_prefetched_objects_cache"  # Django's name, in an instance's __dict__


def prefetched_items(instance: models.Model) -> list[tuple[str, list[Any]]]:
    """Return the prefetched rows by the name that Django keeps them under.

    Raise UnencodableValue for those of a queryset that is not the manager's: it could not be made again.
    """
    kept: dict[str, models.QuerySet[Any]] = getattr(instance, CACHE, {})
    if not kept:
        return []
    plain = copy.copy(instance)
    setattr(plain, CACHE, {})
    for name, queryset in kept.items():
        if not _alike(queryset, _made_by_manager(plain, name)):
            raise UnencodableValue(
                f"{instance._meta.label}.{name} was prefetched with a queryset of its own: give Prefetch a to_attr."
            )
    return [(name, list(queryset)) for name, queryset in kept.items()]


def put_back(instance: models.Model, name: str, items: list[Any]) -> None:
    """Let the manager answer with these rows, as after prefetch_related()."""
    queryset: Any = _made_by_manager(instance, name)
    queryset._result_cache = items
    instance.__dict__.setdefault(CACHE, {})[name] = queryset


def _made_by_manager(instance: models.Model, name: str) -> "models.QuerySet[Any]":
    accessor = _accessors(type(instance)).get(name)
    if accessor is None:
        raise UnencodableValue(f"{instance._meta.label} has prefetched {name!r}, which is no relation of its own.")
    found: models.QuerySet[Any] = getattr(instance, accessor).get_queryset()
    return found


@memo()
def _accessors(model: type[models.Model]) -> dict[str, str]:
    """Return the attributes that hold managers, by the names that Django keeps prefetched rows under."""
    found: dict[str, str] = {}
    for field in model._meta.get_fields():
        if isinstance(field, models.ForeignObjectRel):
            accessor = field.get_accessor_name()
            if accessor and field.multiple:
                found[field.field.related_query_name() if field.many_to_many else accessor] = accessor
        elif field.many_to_many or field.one_to_many:
            found[field.name] = field.name
    return found


def _alike(one: Any, other: Any) -> bool:
    if type(one) is not type(other) or one.db != other.db or one._iterable_class is not other._iterable_class:
        return False
    ours, theirs = vars(one.query), vars(other.query)
    return all(ours.get(name) == theirs.get(name) for name in (ours.keys() | theirs.keys()) - {"base_table"})
