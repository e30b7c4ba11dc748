"""Results as plain values, types included: two results are the same only if Python could not tell them apart."""

from typing import Any

from django.db.models import Model, QuerySet


def plain(value: Any, within: tuple[int, ...] = ()) -> Any:
    """Return a result as nested tuples with the name of every value's type; `within` are the objects around it."""
    if id(value) in within:
        return "around"
    inner = (*within, id(value))
    if isinstance(value, Model):
        return _instance(value, inner)
    if isinstance(value, QuerySet):
        value = list(value)
    kind = type(value).__name__
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return ("named", value._fields, tuple(plain(item, inner) for item in value))
    if isinstance(value, list | tuple):
        return (kind, tuple(plain(item, inner) for item in value))
    if isinstance(value, dict):
        return (kind, tuple((plain(key, inner), plain(item, inner)) for key, item in value.items()))
    return (kind, repr(value))  # repr tells 1.0 from 1, Decimal("1.0") from Decimal("1.00"), one zone from another


def _instance(instance: Model, within: tuple[int, ...]) -> Any:
    def named(values: Any) -> Any:
        return tuple((name, plain(value, within)) for name, value in values)

    state = instance._state
    values = [pair for pair in vars(instance).items() if pair[0] not in ("_state", "_prefetched_objects_cache")]
    prefetched = getattr(instance, "_prefetched_objects_cache", {})
    return (
        type(instance).__name__,
        state.db,
        state.adding,
        named(values),
        named(sorted(state.fields_cache.items())),
        named(sorted(prefetched.items())),
    )
