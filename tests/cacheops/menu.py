"""A template library as a project would write it."""

from collections.abc import Callable
from typing import Any

from cacheops import CacheopsLibrary, cached, cached_as

register = CacheopsLibrary()


@register.decorator_tag(takes_context=True)
def cache_menu(context: dict[str, Any], name: str) -> Callable[..., Any]:
    if context["staff"]:
        return lambda func: func
    return cached(timeout=60, extra=("menu", name))


@register.decorator_tag
def follow(places: Any) -> Callable[..., Any]:
    return cached_as(places, timeout=60)


def prefix_of(query: Any) -> str:
    """Return the beginning of keys, as a project's CACHEOPS_PREFIX may."""
    return f"{query.db}:{'-'.join(query.tables)}"
