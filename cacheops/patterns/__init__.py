"""The specification's caching patterns, as parts (docs/how-to/patterns.md)."""

from cacheops.patterns.batch import BatchCacheOperations

__all__ = ["BatchCacheOperations"]
