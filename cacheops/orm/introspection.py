"""What the classes of a query's nodes are known by: their names, what their instances compute, who makes their SQL."""

from functools import cached_property
from typing import Any

from django.utils.functional import cached_property as django_cached_property

from cacheops.engine import memo

PLAIN = frozenset({str, int, bool, float, bytes, type(None)})
_EXACT = frozenset({str, int, bytes, type(None)})  # of which only equal ones are equal to one another


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


@memo(None)
def name_of(kind: type) -> str:
    """Return a class's name; of one outside of Django with what it holds itself, such as the function that it calls.

    Functions make classes of one name, and a release may change one.
    """
    own = [base for base in kind.__mro__ if not base.__module__.startswith(("django.", "builtins"))]
    held = {key: value for base in reversed(own) for key, value in vars(base).items() if type(value) in PLAIN}
    name = f"{kind.__module__}.{kind.__qualname__}"
    if held:
        name += repr(sorted((key, value) for key, value in held.items() if not key.startswith("__")))
    return name


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
