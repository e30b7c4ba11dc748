"""`cache_on_save` of a profile: a saved row is read at once, so that the next reader finds it."""

from contextlib import suppress
from functools import partial
from typing import Any

from django.core.exceptions import MultipleObjectsReturned, ObjectDoesNotExist
from django.db import transaction
from django.db.models import Model

from cacheops.profiles import profile_of


def cache_saved(
    sender: type[Model], *, instance: Model, using: str | None = None, raw: bool = False, **kwargs: Any
) -> None:
    """Read a saved row once it is committed (a receiver of post_save), if somebody says in which database."""
    profile, using = profile_of(sender), using or instance._state.db
    if profile is not None and profile.on_save and not raw and using is not None:
        value = instance.serializable_value(profile.on_save)
        transaction.on_commit(partial(_read, sender, profile.on_save, value, using), using=using, robust=True)


def _read(model: type[Model], name: str, value: Any, using: str) -> None:
    rows: Any = model._default_manager.using(using)
    with suppress(ObjectDoesNotExist, MultipleObjectsReturned):  # the same query as the next reader's
        rows.cache(ops="get").get(**{name: value})
