"""Any value that a cached function returns, as what an entry can hold, and back.

Beyond what rows hold: model instances (concrete fields), querysets (as lists), sets, safe strings, responses.
"""

import enum
from typing import Any

from django.apps import apps
from django.db import models
from django.http import HttpResponse
from django.utils.safestring import mark_safe

from cacheops import rows
from cacheops.exceptions import CorruptEntry, UnencodableValue
from cacheops.keys import shortened

_PLAIN = (bool, int, float, str, bytes, type(None))
_CONTAINERS: dict[type, str] = {list: "list", tuple: "tuple", set: "set", frozenset: "frozenset"}


def encoded(value: Any) -> bytes:
    """Return a value's bytes: an entry of one row and column. Raise UnencodableValue for what would not come back."""
    try:
        return rows.encode([(pack(value),)], b"", 0.0, 0.0, 0.0)
    except (UnencodableValue, RecursionError) as error:
        raise UnencodableValue(
            f"{shortened(value)} can't be cached ({error}): store plain values, dates, decimals, UUIDs, model "
            "instances, and lists, sets and dictionaries of them."
        ) from error


def decoded(payload: bytes) -> Any:
    """Return the value that `encoded` was given. Raise CorruptEntry for other bytes."""
    found = rows.decode(payload).rows()
    if len(found) != 1 or len(found[0]) != 1:
        raise CorruptEntry("The bytes of a cached value hold rows of a query.")
    return unpack(found[0][0])


def pack(value: Any) -> Any:
    """Return a value in terms of what rows can hold. Raise UnencodableValue, naming the type, for one that can't be."""
    kind = type(value)
    if kind in _PLAIN:
        return value
    if kind in _CONTAINERS:
        return (_CONTAINERS[kind], [pack(item) for item in value])
    if kind is dict:
        return ("dict", [(pack(key), pack(item)) for key, item in value.items()])
    if isinstance(value, str) and hasattr(value, "__html__"):
        return ("safe", str.__str__(value))  # Django's SafeString, or Markup of Jinja2
    if isinstance(value, models.Model):
        return _pack_instance(value)
    if isinstance(value, models.QuerySet):
        return ("list", [pack(item) for item in value])
    if isinstance(value, HttpResponse):
        return _pack_response(value)
    return ("value", value)  # a date, a decimal, a UUID …: the entry's own encoding says whether it can hold it


def unpack(packed: Any) -> Any:
    """Return the value that `pack` was given."""
    if not isinstance(packed, tuple):
        return packed
    kind, content = packed[0], packed[1]
    if kind == "value":
        return content
    if kind == "dict":
        return {unpack(key): unpack(item) for key, item in content}
    if kind == "safe":
        return mark_safe(content)
    if kind == "instance":
        return _unpack_instance(content)
    if kind == "response":
        return _unpack_response(content)
    for container, name in _CONTAINERS.items():
        if kind == name:
            return container(unpack(item) for item in content)
    raise CorruptEntry(f"A cached value has the unknown kind {kind!r}.")


def _pack_instance(instance: models.Model) -> tuple[str, Any]:
    deferred = instance.get_deferred_fields()
    loaded = [field for field in instance._meta.concrete_fields if field.attname not in deferred]
    values = [(field.attname, ("value", _from_database(getattr(instance, field.attname)))) for field in loaded]
    return ("instance", [instance._meta.label_lower, instance._state.db, values])


def _from_database(value: Any) -> Any:
    """Return an attribute as the database would give it back: a member of a choices' enumeration as its value."""
    return value.value if isinstance(value, enum.Enum) else value


def _unpack_instance(content: Any) -> models.Model:
    label, database, values = content
    model = apps.get_model(label)
    return model.from_db(database, [name for name, _ in values], [unpack(value) for _, value in values])


def _pack_response(response: HttpResponse) -> tuple[str, Any]:
    if response.streaming:
        raise UnencodableValue("A streaming response can't be cached: return an HttpResponse.")
    headers = [(name, value) for name, value in response.items()]
    return ("response", [response.status_code, response.reason_phrase, headers, response.content])


def _unpack_response(content: Any) -> HttpResponse:
    status, reason, headers, body = content
    response = HttpResponse(body, status=status, reason=reason)
    for name, value in headers:
        response[name] = value
    return response
