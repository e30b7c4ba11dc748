"""Parts of answers, kept in this process under the name of all that they show (docs/how-to/fast-pages.md)."""

from hashlib import blake2b
from typing import Any

import msgspec
from django.db.models import Model, QuerySet

ALIAS = "parts"  # in CACHES


def state(value: Any) -> str:
    """Name a value by all that it holds: the same data, the same name. What is kept under it is never out of date."""
    return blake2b(_encode(value), digest_size=16).hexdigest()


def _items(value: Any) -> list[Any]:
    """Return what a model instance or a queryset holds. Raise NotImplementedError for other things."""
    if isinstance(value, Model):
        return [getattr(value, field.attname) for field in value._meta.concrete_fields]
    if isinstance(value, QuerySet):
        return list(value)
    raise NotImplementedError(f"A part of a page can't be named by a {type(value).__name__}.")


_encode = msgspec.msgpack.Encoder(enc_hook=_items).encode
