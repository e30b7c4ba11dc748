"""Any value that a cached function returns, as what an entry can hold, and back.

Beyond what rows hold: model instances (with annotations, and what was selected or prefetched beside them), querysets
(as lists), sets, safe strings, responses. A change of what is packed is one of the entries' format (rows.FORMAT).
"""

import enum
import inspect
from functools import cached_property
from typing import Any

from django.apps import apps
from django.db import models
from django.db.models.fields.files import FieldFile
from django.http import HttpResponse
from django.utils.functional import cached_property as django_cached_property
from django.utils.safestring import mark_safe

from cacheops.encoding import rows
from cacheops.encoding.prefetch import CACHE, prefetched_items, put_back
from cacheops.exceptions import CorruptEntry, UnencodableValue, shortened

_PLAIN = (bool, int, float, str, bytes, type(None))
_CONTAINERS: dict[type, str] = {list: "list", tuple: "tuple", set: "set", frozenset: "frozenset"}

Seen = dict[int, int]  # the id of an instance -> its place among those met: one may be held twice, or hold itself


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


def pack(value: Any, seen: Seen | None = None) -> Any:
    """Return a value in terms of what rows can hold. Raise UnencodableValue, naming the type, for one that can't be."""
    kind = type(value)
    if kind in _PLAIN:
        return value
    seen = {} if seen is None else seen
    if kind in _CONTAINERS:
        return (_CONTAINERS[kind], [pack(item, seen) for item in value])
    if kind is dict:
        return ("dict", [(pack(key, seen), pack(item, seen)) for key, item in value.items()])
    if isinstance(value, str) and hasattr(value, "__html__"):
        return ("safe", str.__str__(value))  # Django's SafeString, or Markup of Jinja2
    if isinstance(value, models.Model):
        return _pack_instance(value, seen)
    if isinstance(value, models.QuerySet):
        return ("list", [pack(item, seen) for item in value])
    if isinstance(value, HttpResponse):
        return _pack_response(value)
    return ("value", value)  # a date, a decimal, a UUID …: the entry's own encoding says whether it can hold it


def unpack(packed: Any, made: list[models.Model] | None = None) -> Any:
    """Return the value that `pack` was given."""
    if not isinstance(packed, tuple):
        return packed
    made = [] if made is None else made
    kind, content = packed[0], packed[1]
    if kind == "value":
        return content
    if kind == "dict":
        return {unpack(key, made): unpack(item, made) for key, item in content}
    if kind == "safe":
        return mark_safe(content)
    if kind == "instance":
        return _unpack_instance(content, made)
    if kind == "same":
        return made[content]
    if kind == "response":
        return _unpack_response(content)
    for container, name in _CONTAINERS.items():
        if kind == name:
            return container(unpack(item, made) for item in content)
    raise CorruptEntry(f"A cached value has the unknown kind {kind!r}.")


# --- instances --------------------------------------------------------------------------------------------------------


def _pack_instance(instance: models.Model, seen: Seen) -> tuple[str, Any]:
    if id(instance) in seen:
        return ("same", seen[id(instance)])
    seen[id(instance)] = len(seen)
    deferred = instance.get_deferred_fields()
    loaded = [field.attname for field in instance._meta.concrete_fields if field.attname not in deferred]
    values = [(name, ("value", _from_database(getattr(instance, name)))) for name in loaded]
    state = instance._state
    attributes = _pack_attributes(instance, frozenset(loaded), seen)
    related = [(name, pack(one, seen)) for name, one in state.fields_cache.items()]
    prefetched = [(name, pack(items, seen)) for name, items in prefetched_items(instance)]
    named = instance._meta.label_lower, state.db, state.adding
    return ("instance", [*named, values, attributes, related, prefetched])


def _pack_attributes(instance: models.Model, fields: frozenset[str], seen: Seen) -> list[tuple[str, Any]]:
    """Pack what an instance has beside its fields: annotations, `to_attr` of Prefetch, what was set by hand."""
    found = []
    for name, value in vars(instance).items():
        if name in fields or name in ("_state", CACHE):
            continue
        met = len(seen)
        try:
            packed = pack(value, seen)
            rows.encode_rows([(packed,)])
        except UnencodableValue as error:
            if not _makes(instance, name):
                raise UnencodableValue(f"its attribute {name!r}: {error}") from error
            for one in list(seen)[met:]:
                del seen[one]
        else:
            found.append((name, packed))
    return found


def _makes(instance: models.Model, name: str) -> bool:
    """Say whether a model makes an attribute by itself: when it is asked for, or with each new instance."""
    model = type(instance)
    made = inspect.getattr_static(model, name, None)
    return isinstance(made, cached_property | django_cached_property) or name in vars(model())


def _from_database(value: Any) -> Any:
    """Return an attribute as the database would give it back: a choice as its value, a stored file as its name."""
    if isinstance(value, FieldFile) and vars(value)["_committed"]:
        return value.name
    return value.value if isinstance(value, enum.Enum) else value


def _unpack_instance(content: Any, made: list[models.Model]) -> models.Model:
    label, database, adding, values, attributes, related, prefetched = content
    model = apps.get_model(label)
    instance = model.from_db(database, [name for name, _ in values], [unpack(value) for _, value in values])
    made.append(instance)
    instance._state.adding = adding
    for name, value in attributes:
        instance.__dict__[name] = unpack(value, made)
    for name, value in related:
        instance._state.fields_cache[name] = unpack(value, made)
    for name, items in prefetched:
        put_back(instance, name, unpack(items, made))
    return instance


# --- responses --------------------------------------------------------------------------------------------------------


def _pack_response(response: HttpResponse) -> tuple[str, Any]:
    if response.streaming:
        raise UnencodableValue("A streaming response can't be cached: return an HttpResponse.")
    if not getattr(response, "is_rendered", True):
        raise UnencodableValue("A response that is not rendered can't be cached: return response.render().")
    if response.cookies:
        raise UnencodableValue("A response that sets cookies can't be cached: they are for one visitor.")
    headers = [(name, value) for name, value in response.items()]
    return ("response", [response.status_code, response.reason_phrase, headers, response.content])


def _unpack_response(content: Any) -> HttpResponse:
    status, reason, headers, body = content
    response = HttpResponse(body, status=status, reason=reason)
    for name, value in headers:
        response[name] = value
    return response
