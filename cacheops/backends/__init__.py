"""CACHES backends: one alias a region, on Redis (cluster; primary with readers) or in the process's memory."""

from cacheops.backends.client import ClusterClient, PairClient
from cacheops.backends.memory import MemoryCache
from cacheops.backends.redis import RegionCache
from cacheops.backends.serializer import TypedSerializer

__all__ = ["ClusterClient", "MemoryCache", "PairClient", "RegionCache", "TypedSerializer"]
