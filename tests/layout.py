"""What the platform's own clients know of a cluster that has just started."""

from typing import Any

from cacheops.regions import regions
from tests.waiting import until


def wait_for_replicas() -> None:
    """Have this region's client know the replicas.

    A cluster's node names a replica to clients once it has heard of the replica's offset in the stream, by gossip: two
    seconds or three after the start (isReplicaAvailable in Redis' cluster.c).
    """
    store: Any = regions.local.store

    def known() -> bool:
        store.servers.refresh()
        return "slave" in {info.get("role") for info in store.inspection.nodes()}

    until(known, "the cluster's nodes name their replicas")
