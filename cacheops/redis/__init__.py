"""The only package that imports the Redis driver: clients, retries, errors, pool statistics.

Retries are made here and not by the driver: its cluster client does not wait between tries, its pooled client
multiplies the tries of a command by those of its connection, and neither stops after a given time.
"""

from cacheops.redis.clients import RegionCluster, RegionLock, RegionRedis, ServerPool
from cacheops.redis.cluster import ClusterServers
from cacheops.redis.connection import Command
from cacheops.redis.errors import is_transient, translate
from cacheops.redis.optimized_client import OptimizedRedisClient
from cacheops.redis.pooled_transport import PooledTransport
from cacheops.redis.push_channel import PushChannel
from cacheops.redis.registry import servers
from cacheops.redis.replicated import ReplicatedServers
from cacheops.redis.topology import Servers

__all__ = [
    "ClusterServers",
    "Command",
    "OptimizedRedisClient",
    "PooledTransport",
    "PushChannel",
    "RegionCluster",
    "RegionLock",
    "RegionRedis",
    "ReplicatedServers",
    "ServerPool",
    "Servers",
    "is_transient",
    "servers",
    "translate",
]
