"""CACHES backends: one alias a region, on Redis (cluster; primary with readers) or in the process's memory."""

from django.core.cache.backends.locmem import LocMemCache


class MemoryCache(LocMemCache):
    """The embedded form: no server, one process."""
