"""The specification's caching patterns, as parts (docs/how-to/patterns.md)."""

from cacheops.patterns.aside import AsideEntry, CacheAsideManager
from cacheops.patterns.batch import BatchCacheOperations
from cacheops.patterns.keys import CacheKeyBuilder, filter_digest
from cacheops.patterns.write_behind.cache import Acknowledged, WriteBehindCache, WriteBehindState
from cacheops.patterns.write_through import WriteThroughCache

__all__ = [
    "Acknowledged",
    "AsideEntry",
    "BatchCacheOperations",
    "CacheAsideManager",
    "CacheKeyBuilder",
    "WriteBehindCache",
    "WriteBehindState",
    "WriteThroughCache",
    "filter_digest",
]
