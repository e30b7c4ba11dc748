"""The specification's caching patterns, as parts (docs/how-to/patterns.md)."""

from cacheops.patterns.aside import AsideEntry, CacheAsideManager
from cacheops.patterns.batch import BatchCacheOperations

__all__ = ["AsideEntry", "CacheAsideManager", "BatchCacheOperations"]
