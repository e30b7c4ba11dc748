"""The servers of a region by their options, each once a process."""

import threading
from typing import ClassVar

from cacheops.redis.cluster import ClusterServers
from cacheops.redis.options import ServerOptions
from cacheops.redis.replicated import ReplicatedServers
from cacheops.redis.topology import Servers


class _Registry:
    """The servers in use by this process: equal options share their connections, different options never do."""

    known: ClassVar[dict[ServerOptions, Servers]] = {}
    lock: ClassVar[threading.Lock] = threading.Lock()


def servers(options: ServerOptions) -> Servers:
    """Return the servers for these options, the same object each time. Nothing is sent yet."""
    with _Registry.lock:
        found = _Registry.known.get(options)
        if found is None:
            found = _Registry.known[options] = (
                ClusterServers(options) if options.cluster else ReplicatedServers(options)
            )
    return found
