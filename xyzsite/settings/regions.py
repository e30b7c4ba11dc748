"""The regions, and one CACHES alias for each, from the environment.

A region's servers come from these variables (NAME is the region in capitals, its dashes as underscores):

    REDIS_URL_NAME          redis:// or rediss:// address of the primary, or start nodes of the cluster, by comma;
                            or redis+sentinel:// address of the sentinels that name the primary
    REDIS_READER_URL_NAME   addresses of readers, by comma; optional, a primary with readers only
    REDIS_CLUSTER_NAME      true where the region's servers run in cluster mode
    REDIS_REPLICAS_NAME     how many replicas each primary has; a write waits until they know what it invalidates
    REDIS_ADDRESS_MAP_NAME  announced=reachable pairs by comma, where a cluster is reached through tunnels; optional

Without REDIS_URL_NAME the region's cache lives in the memory of the process.
"""

from collections.abc import Collection, Mapping
from typing import Any

import environ
from django.core.exceptions import ImproperlyConfigured

from cacheops.redis.sentinel_address import is_sentinel
from xyzsite.settings.environment import redis_addresses

HOME_REGION = "us-east-1"
REGIONS = {
    "us-east-1": "US East (N. Virginia)",
    "us-west-2": "US West (Oregon)",
    "us-east-2": "US East (Ohio)",
}
# Seconds. A page waits for its own region's cache, which answers in under a millisecond, and once only (docs/decisions/
# 0013). Other regions are far, and asked by commands and the panel.
LOCAL_WAIT = 0.05
FAR_WAIT = 1.0
# Rendered parts of pages, named by the data that they show, in the process.
PARTS = {"BACKEND": "django.core.cache.backends.locmem.LocMemCache", "LOCATION": "parts", "TIMEOUT": 3600}


def variable(name: str, region: str) -> str:
    """Return the variable that holds `name` for a region: ("REDIS_URL", "us-west-2") -> REDIS_URL_US_WEST_2."""
    return f"{name}_{region.upper().replace('-', '_')}"


def caches_from_environment(env: environ.Env, own_region: str) -> dict[str, dict[str, Any]]:
    """Return Django's CACHES: one alias a region; "default", the servers of the process's own region; and "parts".

    Raises ImproperlyConfigured when `own_region` is no region of ours.
    """
    if own_region not in REGIONS:
        raise ImproperlyConfigured(f"XYZ_REGION is {own_region!r}; it must be one of {', '.join(REGIONS)}.")
    caches = {region: region_cache(env, region, LOCAL_WAIT if region == own_region else FAR_WAIT) for region in REGIONS}
    return {"default": caches[own_region], **caches, "parts": PARTS}


def region_cache(env: environ.Env, region: str, wait: float = FAR_WAIT) -> dict[str, Any]:
    """Return the CACHES entry of one region, whose servers are waited for so many seconds."""
    primaries = redis_addresses(env, variable("REDIS_URL", region))
    if not primaries:
        return {
            "BACKEND": "cacheops.backends.MemoryCache",
            "LOCATION": region,
            "KEY_PREFIX": "xyz",
            "OPTIONS": {"MAX_ENTRIES": env.int("MEMORY_CACHE_MAX_ENTRIES", default=10_000)},
        }
    readers = redis_addresses(env, variable("REDIS_READER_URL", region))
    cluster = env.bool(variable("REDIS_CLUSTER", region), default=False)
    _check_topology(region, cluster=cluster, sentinels=is_sentinel(primaries[0]), readers=bool(readers))
    return {
        "BACKEND": "cacheops.backends.RegionCache",
        "LOCATION": primaries + readers,
        "KEY_PREFIX": "xyz",
        "OPTIONS": {
            "CLIENT_CLASS": "cacheops.backends.ClusterClient" if cluster else "cacheops.backends.PairClient",
            "ADDRESS_MAP": env.dict(variable("REDIS_ADDRESS_MAP", region), default={}),
            "READ_FROM": env.str("REDIS_READ_FROM", default="primary"),
            "IGNORE_EXCEPTIONS": env.bool("REDIS_IGNORE_EXCEPTIONS", default=True),
            "PAUSE_AFTER_FAILURE": env.float("REDIS_PAUSE_AFTER_FAILURE", default=1),
            "MAX_CONNECTIONS": env.int("REDIS_MAX_CONNECTIONS", default=50),
            "POOL_WAIT": env.float("REDIS_POOL_WAIT", default=1),
            "SOCKET_TIMEOUT": env.float("REDIS_SOCKET_TIMEOUT", default=wait),
            "SOCKET_CONNECT_TIMEOUT": env.float("REDIS_SOCKET_CONNECT_TIMEOUT", default=wait),
            "SOCKET_KEEPALIVE": env.bool("REDIS_SOCKET_KEEPALIVE", default=True),
            "HEALTH_CHECK_INTERVAL": env.int("REDIS_HEALTH_CHECK_INTERVAL", default=30),
            "RETRIES": env.int("REDIS_RETRIES", default=3),
            "RETRY_BACKOFF_BASE": env.float("REDIS_RETRY_BACKOFF_BASE", default=0.01),
            "RETRY_BACKOFF_CAP": env.float("REDIS_RETRY_BACKOFF_CAP", default=0.5),
            "RETRY_BUDGET": env.float("REDIS_RETRY_BUDGET", default=wait),
            "SERIALIZER": "cacheops.backends.TypedSerializer",  # no pickle: who can write there could run code here
            "DECODE_RESPONSES": env.bool("REDIS_DECODE_RESPONSES", default=False),
            "CA_CERTS": env.str("REDIS_CA_CERTS", default=""),
        },
    }


def _check_topology(region: str, *, cluster: bool, sentinels: bool, readers: bool) -> None:
    """Raise ImproperlyConfigured where a region's variables contradict each other."""
    if readers and (cluster or sentinels):
        finds = (
            "sentinels, which find the replicas themselves"
            if sentinels
            else "a cluster, which finds its replicas itself"
        )
        raise ImproperlyConfigured(f"{variable('REDIS_READER_URL', region)} is set for {finds}: remove it.")
    if cluster and sentinels:
        raise ImproperlyConfigured(
            f"{variable('REDIS_CLUSTER', region)} is set for sentinels, which watch none: remove it."
        )


def regions_with_servers(caches: dict[str, dict[str, Any]], own_region: str) -> tuple[str, ...]:
    """Return the regions whose entries other processes share; only the own one where there are no servers."""
    shared = tuple(region for region in REGIONS if client_class(caches, region))
    return shared if own_region in shared else (own_region,)


def follower_regions(env: environ.Env, own_region: str, databases: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the regions that cache their replica of the primary database: those named, and the own one with a replica.

    Raises ImproperlyConfigured for one that can't be.
    """
    named = env.list("FOLLOWER_REGIONS", default=[])
    possible = [region for region in REGIONS if region != HOME_REGION]
    if not set(named) <= set(possible):
        raise ImproperlyConfigured(f"FOLLOWER_REGIONS must be some of {', '.join(possible)}, by comma.")
    has_replica = "replica" in databases and databases["default"]["ENGINE"].endswith("postgresql")
    return tuple(region for region in possible if region in named or (region == own_region and has_replica))


def regions_by_database(shared: tuple[str, ...], followers: Collection[str]) -> dict[str, tuple[str, ...]]:
    """Return which regions cache the primary, where writers mark, and which the replica, where relays tell."""
    primary = tuple(region for region in shared if region not in followers)
    return {"default": primary or (HOME_REGION,), "replica": tuple(followers)}


def replicas_from_environment(env: environ.Env, caches: dict[str, dict[str, Any]]) -> dict[str, int]:
    """Return how many replicas a mark must reach, by region: one by default, where there are any."""
    found = {}
    for region in REGIONS:
        client = client_class(caches, region)
        servers = caches[region]["LOCATION"] if client else []
        has_replica = client.endswith("ClusterClient") or len(servers) > 1 or any(map(is_sentinel, servers))
        found[region] = env.int(variable("REDIS_REPLICAS", region), default=int(has_replica))
    return found


def client_class(caches: dict[str, dict[str, Any]], region: str) -> str:
    """Return the class that reaches a region's servers; "" where it has none."""
    name: str = caches[region]["OPTIONS"].get("CLIENT_CLASS", "")
    return name
