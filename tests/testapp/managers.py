"""Managers and querysets as projects have them; and the app that gives every manager the fast path, for a block."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Self

from django.apps import AppConfig
from django.db.models import Manager, Model, QuerySet

from cacheops.fastpath.apps import QUERYSET_CLASS
from cacheops.queryset import CachedQuerySet


@contextmanager
def fastpath_app() -> Iterator[None]:
    """Have every manager the fast path within the block, as with "cacheops.fastpath" in INSTALLED_APPS."""
    AppConfig.create("cacheops.fastpath").ready()
    try:
        yield
    finally:
        delattr(Manager, QUERYSET_CLASS)  # its base has Django's


class OfGermany(Manager[Any]):
    """Shows a part of the rows."""

    def get_queryset(self) -> QuerySet[Any]:
        return super().get_queryset().filter(country="de")


class Ordered(Manager[Any]):
    def get_queryset(self) -> QuerySet[Any]:
        return super().get_queryset().order_by("-name")


class Narrowing:
    """Mixed into a queryset class: what it is asked for is not all that it asks."""

    def filter(self, *args: Any, **kwargs: Any) -> Self:
        found: Self = super().filter(*args, **kwargs).exclude(name="Ada")  # type: ignore[misc]
        return found


class Living:
    """Mixed into a queryset class: conditions are narrowed on their way, below filter() and exclude()."""

    def _filter_or_exclude(self, negate: bool, args: Any, kwargs: Any) -> Self:
        found: Self = super()._filter_or_exclude(negate, args, {**kwargs, "country": "de"})  # type: ignore[misc]
        return found


class Marking:
    """Mixed into a queryset class: changes what it has fetched."""

    _result_cache: Any

    def _fetch_all(self) -> None:
        super()._fetch_all()  # type: ignore[misc]
        for one in self._result_cache:
            if isinstance(one, Model):
                one.marked = True  # type: ignore[attr-defined]


class NarrowingQuerySet(Narrowing, QuerySet[Any]):
    pass


class NarrowingCachedQuerySet(Narrowing, CachedQuerySet[Any]):
    pass


class LivingQuerySet(Living, QuerySet[Any]):
    pass


class LivingCachedQuerySet(Living, CachedQuerySet[Any]):
    pass


class MarkingQuerySet(Marking, QuerySet[Any]):
    pass


class MarkingCachedQuerySet(Marking, CachedQuerySet[Any]):
    pass


def manager(made: Manager[Any], model: type[Model]) -> Manager[Any]:
    """Return a manager as if it stood in the model's class."""
    made.model = model
    return made
