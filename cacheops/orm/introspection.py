"""What the classes of a query's nodes are known by: their names, what their instances compute, who makes their SQL.

And what is asked of fields: whether one is its model's, whether its column can hold an integer.
"""

import sys
from functools import cached_property, reduce
from typing import Any

from django.core.exceptions import FieldDoesNotExist
from django.db.models import Field, Model
from django.utils.functional import cached_property as django_cached_property

from cacheops.engine import memo

PLAIN = frozenset({str, int, bool, float, bytes, type(None)})
_EXACT = frozenset({str, int, bytes, type(None)})  # of which only equal ones are equal to one another
# The least that a database may hold of each kind of integer, in bits. A lookup of one out of range is compiled away.
SMALL = ("SmallIntegerField", "PositiveSmallIntegerField", "SmallAutoField")
LARGE = ("BigIntegerField", "PositiveBigIntegerField", "BigAutoField")
INTEGER_BITS = dict.fromkeys(SMALL, 15) | dict.fromkeys(LARGE, 63)
OTHER_BITS = 31


class _Empty:
    held: int


_OF_ALL = frozenset(vars(_Empty)) | {"__orig_bases__", "__parameters__"}  # attributes that classes have by themselves


def exact(value: Any) -> Any:
    """Return what a plain value is known by in a key: 1, 1.0 and True are equal, and make different SQL."""
    return value if type(value) in _EXACT else (type(value).__name__, repr(value))


def writes_own_sql(kind: type) -> bool:
    """Say whether a class outside of Django makes SQL by code of its own, which may depend on anything.

    A subclass that only names a function or a template is known by its name and its attributes. So is one that says
    `cacheops_pure = True`: that its SQL depends on its attributes alone, and is no other the next time.
    """
    return not getattr(kind, "cacheops_pure", False) and any(
        not base.__module__.startswith("django.") and any(name.startswith("as_") for name in vars(base))
        for base in kind.__mro__
        if hasattr(base, "as_sql")
    )


def is_found(kind: type) -> bool:
    """Say whether a class is what its name leads to: one that a function makes may have the name of others."""
    path = kind.__qualname__.split(".")
    return reduce(lambda holder, name: getattr(holder, name, None), path, sys.modules.get(kind.__module__)) is kind


@memo(None)
def is_told_by_name(kind: type) -> bool:
    """Say whether a class's name, with what is of its own beside, tells it from all others: no functions of its own."""
    return all(
        base.__module__.startswith("django.")
        or is_found(base)
        or all(
            type(value) in PLAIN or (name == "output_field" and isinstance(value, Field))
            for name, value in vars(base).items()
            if name not in _OF_ALL
        )
        for base in kind.__mro__
    )


@memo(None)
def name_of(kind: type) -> str:
    """Return a class's name; of one outside of Django with what it holds itself, such as the function that it calls.

    Functions make classes of one name, and a release may change one. See `is_told_by_name`.
    """
    own = [base for base in kind.__mro__ if not base.__module__.startswith(("django.", "builtins"))]
    held = {key: value for base in reversed(own) for key, value in vars(base).items() if type(value) in PLAIN}
    name = f"{kind.__module__}.{kind.__qualname__}"
    if own and not is_found(kind):
        name += repr([name_of(base) for base in kind.__bases__])
    if held:
        name += repr(sorted((key, value) for key, value in held.items() if not key.startswith("__")))
    return name


def kind_of(value: Any) -> str:
    """Return the name of a value's type; of a tuple, those of its items' types."""
    return name_of(type(value)) if type(value) is not tuple else repr([kind_of(each) for each in value])


@memo(None)
def computed_names(kind: type) -> frozenset[str]:
    """Return the attributes of a class that instances keep once they are computed.

    Not `output_field`: it may have been given, and then it decides the SQL of a cast.
    """
    names = frozenset(
        name
        for base in kind.__mro__
        for name, value in vars(base).items()
        if isinstance(value, django_cached_property | cached_property)
    )
    return (names | {"_constructor_args", "_output_field_resolved_to_none"}) - {"output_field"}


def is_own(model: type[Model], field: "Field[Any, Any]") -> bool:
    """Say whether a field is one of its model's: an array's items have a field that has the array's name."""
    try:
        return model._meta.get_field(field.name) is field
    except FieldDoesNotExist:
        return False


def is_out_of_range(column: Any, value: int) -> bool:
    """Say whether a column may be unable to hold an integer."""
    name = column.output_field.get_internal_type()
    least = 0 if name.startswith("Positive") else -1 << INTEGER_BITS.get(name, OTHER_BITS)
    return not least <= value < 1 << INTEGER_BITS.get(name, OTHER_BITS)
