"""An ORM cache for Django that keeps its promise: a cached read is never older than its beginning.

The public names are below. They are imported on first use, because models need Django to be set up.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cacheops.compat.simple import cache, file_cache
    from cacheops.decorators import cached, cached_as, cached_view, cached_view_as
    from cacheops.exceptions import CacheMiss, CacheopsError
    from cacheops.fragments import CacheopsLibrary, invalidate_fragment
    from cacheops.invalidation import invalidate_all, invalidate_model, invalidate_obj, no_invalidation
    from cacheops.orm.samples import RowsOf, TimeBucket
    from cacheops.panel.explain import explain
    from cacheops.profiles import near, stale_ok
    from cacheops.queryset import CachedManager, CachedQuerySet, keys_of
    from cacheops.reading.options import bypassed, is_bypassed
    from cacheops.reading.record import ReadRecord, record_reads
    from cacheops.regions.read_scope import after, position
    from cacheops.signals import cache_invalidated, cache_read, rows_changed

__all__ = [
    "CacheMiss",
    "CachedManager",
    "CachedQuerySet",
    "CacheopsError",
    "CacheopsLibrary",
    "ReadRecord",
    "RowsOf",
    "TimeBucket",
    "after",
    "bypassed",
    "cache",
    "cache_invalidated",
    "cache_read",
    "cached",
    "cached_as",
    "cached_view",
    "cached_view_as",
    "explain",
    "file_cache",
    "invalidate_all",
    "invalidate_fragment",
    "invalidate_model",
    "invalidate_obj",
    "is_bypassed",
    "keys_of",
    "near",
    "no_invalidation",
    "position",
    "record_reads",
    "rows_changed",
    "stale_ok",
]

_NAMES = {
    "compat.simple": ("cache", "file_cache"),
    "decorators": ("cached", "cached_as", "cached_view", "cached_view_as"),
    "exceptions": ("CacheMiss", "CacheopsError"),
    "fragments": ("CacheopsLibrary", "invalidate_fragment"),
    "invalidation": ("invalidate_all", "invalidate_model", "invalidate_obj", "no_invalidation"),
    "orm.samples": ("RowsOf", "TimeBucket"),
    "panel.explain": ("explain",),
    "profiles": ("near", "stale_ok"),
    "queryset": ("CachedManager", "CachedQuerySet", "keys_of"),
    "reading.options": ("bypassed", "is_bypassed"),
    "reading.record": ("ReadRecord", "record_reads"),
    "regions.read_scope": ("after", "position"),
    "signals": ("cache_invalidated", "cache_read", "rows_changed"),
}
_MODULES = {name: module for module, names in _NAMES.items() for name in names}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        import_module(f"{__name__}.compat.gone").refuse(name)
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
