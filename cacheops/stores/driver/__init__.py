"""The only package that imports the Redis driver: clients, retries, errors, pool figures.

Retries are made here and not by the driver: its cluster client does not wait between tries, its pooled client
multiplies the tries of a command by those of its connection, and neither stops after a given time.
"""

from cacheops.stores.driver.base import Servers
from cacheops.stores.driver.clients import PoolFigures, RegionCluster, RegionLock, RegionRedis
from cacheops.stores.driver.cluster import ClusterServers
from cacheops.stores.driver.errors import DRIVER_ERRORS, TIMED_OUT, has_moved, is_cut, is_transient, translate
from cacheops.stores.driver.exchange import Command
from cacheops.stores.driver.line import Flight, Line
from cacheops.stores.driver.pair import PairServers
from cacheops.stores.driver.servers import servers

__all__ = [
    "DRIVER_ERRORS",
    "TIMED_OUT",
    "ClusterServers",
    "Command",
    "Flight",
    "Line",
    "PairServers",
    "PoolFigures",
    "RegionCluster",
    "RegionLock",
    "RegionRedis",
    "Servers",
    "has_moved",
    "is_cut",
    "is_transient",
    "servers",
    "translate",
]
