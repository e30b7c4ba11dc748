"""What a person may see: rows, and the values that stand in the names of keys."""

from typing import Any

from django.db import models

from cacheops.conf import conf
from cacheops.orm.schema import models_by_table

HIDDEN = "…"
OURS = ("metrics", "write-behind")  # keys of the engine's own, without anybody's data
DIGESTS = ("e", "l")  # kinds of keys that end with a digest
NAMELESS = ("r", "o", "s", "b", "n")


def may_view(user: Any, model: type[models.Model] | None) -> bool:
    """Say whether a person may see rows of a model, by the admin's rule: who may change may look."""
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
    base, found, rest = key.partition("}:")
    prefix, braced, inner = base.partition("{")
    if not found or not braced or not prefix.startswith(conf.metrics_prefix):
        return key if key.startswith(f"{conf.metrics_prefix}:u:") else HIDDEN
    database, _, table = inner.partition(".")
    kind, _, name = rest.partition(":")
    if database in OURS or kind in NAMELESS or (kind in DIGESTS and database != "+"):
        return key
    if kind == "t" and (name in ("", "*") or may_view(user, models_by_table().get(table))):
        return key
    return f"{base}}}:{kind}:{without_values(name)}"


def without_values(tag: str) -> str:
    """Return the columns of a tag without their values."""
    columns = [part.partition("=")[0] for part in tag.split("&") if "=" in part]
    return "&".join(f"{column}={HIDDEN}" for column in columns) or HIDDEN
