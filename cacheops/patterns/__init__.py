"""The specification's caching patterns, as parts (docs/how-to/patterns.md)."""

from cacheops.patterns.aside import AsideEntry, CacheAsideManager
from cacheops.patterns.batch import BatchCacheOperations
from cacheops.patterns.keys import CacheKeyBuilder, filter_digest
from cacheops.patterns.write_behind.cache import Acknowledged, NewestItems, WriteBehindCache, WriteBehindState
from cacheops.patterns.write_behind.worker import Flusher
from cacheops.patterns.write_through import WriteThroughCache
from cacheops.stores.circuit_breaker import CacheCircuitBreaker, CircuitState

__all__ = [
    "Acknowledged",
    "AsideEntry",
    "BatchCacheOperations",
    "CacheAsideManager",
    "CacheCircuitBreaker",
    "CacheKeyBuilder",
    "CircuitState",
    "Flusher",
    "NewestItems",
    "WriteBehindCache",
    "WriteBehindState",
    "WriteThroughCache",
    "filter_digest",
]
