"""`.clone()`, `.inplace()` and `.cloning()` of querysets."""

from typing import Any

from django.db.models import Manager, QuerySet

from cacheops.engine import memo


class InPlace:
    """Mixed into a class of querysets: methods change the queryset they are called on, and return it."""

    _result_cache: Any
    _sticky_filter: bool
    query: Any

    def _chain(self) -> Any:
        self._result_cache = None
        if self._sticky_filter:
            self.query.filter_is_sticky, self._sticky_filter = True, False
        return self


@memo()
def in_place(kind: type[QuerySet[Any]]) -> type[QuerySet[Any]]:
    return type(f"InPlace{kind.__name__}", (InPlace, kind), {"_cloning": kind})


def clone(self: QuerySet[Any]) -> QuerySet[Any]:
    """Return a copy."""
    found: QuerySet[Any] = self._clone()  # type: ignore[attr-defined]
    return found


def inplace(self: QuerySet[Any]) -> QuerySet[Any]:
    """Return a queryset whose methods change it, and return it."""
    found = clone(self)
    if not isinstance(found, InPlace):
        found.__class__ = in_place(type(found))
    return found


def cloning(self: QuerySet[Any]) -> QuerySet[Any]:
    """Return a queryset whose methods return others, as those of Django do."""
    found = clone(self)
    found.__class__ = getattr(type(self), "_cloning", type(self))
    return found


def managed_inplace(self: Manager[Any]) -> QuerySet[Any]:
    return inplace(self.get_queryset())
