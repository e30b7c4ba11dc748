"""What a person may see: rows, and the values that stand in the names of keys."""

from typing import Any

from django.db import models

from cacheops.conf import conf
from cacheops.orm.schema import models_by_table
from cacheops.protocol.keys import (
    BY_NAME,
    ENTRY,
    GENERATION,
    LOADER,
    METRICS,
    OUTDATED,
    REGISTRY,
    RELAY,
    TAG,
    USAGE,
    WRITE_BEHIND,
    parse,
)
from cacheops.protocol.tags import WHOLE_TABLE

HIDDEN = "…"
INTERNAL = (METRICS, USAGE, WRITE_BEHIND, RELAY)  # keys without anybody's data


def may_view(user: Any, model: type[models.Model] | None) -> bool:
    """Return whether a person may see rows of a model, by the admin's rule: who may change may look."""
    if user.is_superuser:
        return True
    if model is None:
        return False
    app, name = model._meta.app_label, model._meta.model_name
    return user.has_perm(f"{app}.view_{name}") or user.has_perm(f"{app}.change_{name}")


def shown_key(key: str, user: Any) -> str:
    """Return a key as a person may see it.

    Tags hold column values, keys by name hold ids and session keys: these are for those who may view the model, the
    latter for superusers only.
    """
    if user.is_superuser or not key:
        return key
    parsed = parse(key)
    if parsed is None or not parsed.prefix.startswith(conf.metrics_prefix):
        return HIDDEN
    if parsed.database in INTERNAL or parsed.kind in (REGISTRY, OUTDATED):
        return key
    if parsed.kind in (ENTRY, LOADER) and parsed.database != BY_NAME:  # they end with a digest
        return key
    if parsed.kind == TAG and (
        parsed.name in (WHOLE_TABLE, GENERATION) or may_view(user, models_by_table().get(parsed.table))
    ):
        return key
    return key.removesuffix(parsed.name) + without_values(parsed.name)


def without_values(tag: str) -> str:
    """Return the columns of a tag without their values."""
    columns = [part.partition("=")[0] for part in tag.split("&") if "=" in part]
    return "&".join(f"{column}={HIDDEN}" for column in columns) or HIDDEN
