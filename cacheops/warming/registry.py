"""What can be warmed: the targets that apps have registered, and every model that is cached."""

import difflib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from django.apps import apps
from django.db import models

from cacheops.engine import Registrations, register_component
from cacheops.exceptions import InvalidOption
from cacheops.orm.fastpath.get import get_plan
from cacheops.profiles import profile_of
from cacheops.queryset import CachedQuerySet
from cacheops.warming.calls import Reads
from cacheops.warming.replica import cached_alias
from cacheops.warming.tasks import Rows, Task

BATCH = 1000  # keys; the entries of a batch are leased in one round trip a server

Tasks = Callable[[Sequence[Any]], Iterable[Task]]


@dataclass(frozen=True)
class Warmer:
    """One target: `tasks` returns what to fill for some keys. These are a model's, or listed by the warmer itself."""

    name: str
    tasks: Tasks
    model: type[models.Model] | None = None
    keys: Callable[[], Iterable[Any]] | None = None  # of a warmer without a model: values that JSON can hold
    help: str = ""
    batch: int = BATCH  # keys at a time: the bars move, and a run can be interrupted, between two batches


_warmers: Registrations[Warmer] = register_component(Registrations())


def register_warmer(
    name: str,
    tasks: Tasks,
    *,
    model: type[models.Model] | None = None,
    keys: Callable[[], Iterable[Any]] | None = None,
    help: str = "",
    batch: int = BATCH,
) -> Warmer:
    """Let `warm_cache NAME` fill what `tasks` returns, for a model's rows, the hottest first, or for keys of its own.

    Raise InvalidOption where neither or both are given. A name registered before is replaced.
    """
    if (model is None) == (keys is None):
        raise InvalidOption(f"The warmer {name!r} needs either a model or a list of keys.")
    warmer = _warmers[name] = Warmer(name, tasks, model, keys, help, batch)
    return warmer


def registered() -> list[Warmer]:
    return list(_warmers.values())


def find_warmers(names: Sequence[str]) -> list[Warmer]:
    """Return the warmers of these names, or of models' labels; all registered ones for no name.

    Raise InvalidOption for a name that is neither, with those that are like it.
    """
    if not names:
        return registered()
    return list(dict.fromkeys(_find(name) for name in names))


def _find(name: str) -> Warmer:
    if name in _warmers:
        return _warmers[name]
    for model in cached_models():
        if name.lower() == model._meta.label_lower:
            return model_warmer(model)
    known = [*_warmers, *(model._meta.label for model in cached_models())]
    by_lower = {one.lower(): one for one in known}
    near = [by_lower[one] for one in difflib.get_close_matches(name.lower(), by_lower, n=3)]
    near += [one for one in known if one.lower().endswith(f".{name.lower()}") and one not in near]
    advice = f"Did you mean {' or '.join(near)}?" if near else f"Known: {', '.join(_warmers)}, and every cached model."
    raise InvalidOption(f"{name!r} is nothing that can be warmed. {advice}")


def cached_models() -> Iterator[type[models.Model]]:
    """Yield the models whose `get` is cached."""
    for model in apps.get_models():
        profile = profile_of(model)
        if profile is not None and "get" in profile.ops and model._meta.managed:
            yield model


def model_warmer(model: type[models.Model]) -> Warmer:
    """Return the warmer of a model's rows, by primary key and by each of its unique fields."""
    return Warmer(model._meta.label, lambda keys: [rows_of(model, keys)], model, help="its rows")


def rows_of(model: type[models.Model], keys: Sequence[Any], by: Sequence[str] | None = None) -> Task:
    """Return the task that fills `get` of a model's rows: as rows, or one by one where `get` has no fast path."""
    unique = [
        field.name for field in model._meta.concrete_fields if field.unique and not field.primary_key and not field.null
    ]
    using = cached_alias(model)
    manager = model._default_manager.using(using)
    if keys and _has_fast_get(manager, keys[0]):
        return Rows(model, keys, using, unique if by is None else by)
    return Reads([partial(manager.get, pk=key) for key in keys])


def _has_fast_get(manager: Any, key: Any) -> bool:
    """Say whether a manager's `get(pk=…)` is that of all rows, and made of a plan."""
    queryset: CachedQuerySet[Any] = CachedQuerySet(manager.model, using=manager.db)
    return CachedQuerySet._is_whole(manager.all()) and get_plan(queryset, manager.db, "pk", key) is not None
