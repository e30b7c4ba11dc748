"""The servers of a region by their options, each once a process."""

import threading

from cacheops.engine import Component, register_component
from cacheops.redis.cluster import ClusterServers
from cacheops.redis.discovery import DiscoveredServers
from cacheops.redis.options import ServerOptions
from cacheops.redis.replicated import ReplicatedServers
from cacheops.redis.sentinel import SentinelServers
from cacheops.redis.topology import Servers


class ServersInUse(Component):
    """The servers in use by this process: equal options share their connections, different options never do."""

    def __init__(self) -> None:
        self.known: dict[ServerOptions, Servers] = {}
        self.lock = threading.Lock()


in_use = register_component(ServersInUse())


def servers(options: ServerOptions) -> Servers:
    """Return the servers for these options, the same object each time. Nothing is sent yet."""
    with in_use.lock:
        found = in_use.known.get(options)
        if found is None:
            found = in_use.known[options] = _new_servers(options)
    return found


def _new_servers(options: ServerOptions) -> Servers:
    if options.by_sentinels:
        return SentinelServers(options)
    if options.cluster is None:
        return DiscoveredServers(options, servers)
    return ClusterServers(options) if options.cluster else ReplicatedServers(options)
