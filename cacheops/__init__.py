"""An ORM cache for Django that keeps its promise: a cached read is never older than its beginning.

The public names are below; they are imported when they are first used, because models need Django to be set up.
"""

from importlib import import_module
from typing import Any

_HOMES = {
    "CachedManager": "cacheops.queryset",
    "CachedQuerySet": "cacheops.queryset",
    "CacheopsError": "cacheops.exceptions",
    "CacheopsLibrary": "cacheops.fragments",
    "bypassed": "cacheops.reading.options",
    "cache_invalidated": "cacheops.signals",
    "cache_read": "cacheops.signals",
    "cached": "cacheops.decorators",
    "cached_as": "cacheops.decorators",
    "cached_view": "cacheops.decorators",
    "cached_view_as": "cacheops.decorators",
    "invalidate_all": "cacheops.invalidation",
    "invalidate_fragment": "cacheops.fragments",
    "invalidate_model": "cacheops.invalidation",
    "invalidate_obj": "cacheops.invalidation",
    "no_invalidation": "cacheops.invalidation",
    "stale_ok": "cacheops.profiles",
}

__all__ = sorted(_HOMES)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
