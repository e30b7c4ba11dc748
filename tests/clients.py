"""What tests ask the local regions with: plain clients that report each error."""

from typing import Any
from urllib.parse import urlsplit

import redis
from redis.backoff import NoBackoff
from redis.cluster import ClusterNode, RedisCluster
from redis.exceptions import RedisClusterException
from redis.retry import Retry

from tests.waiting import until
from xyzsite.localregions.manager import LocalRegions
from xyzsite.settings.regions import variable

# One key in each shard: slots 3300 and 12182 (Redis Cluster specification, key distribution model).
KEYS = {1: "b", 2: "foo"}


# What a client raises when servers do not answer; the cluster's exception is no RedisError.
FAILURES = (redis.RedisError, RedisClusterException)


def pair(
    regions: LocalRegions, region: str, *, seen_from: str = "", reader: bool = False, **options: Any
) -> redis.Redis:
    """Return a client of a region's stable address that reports each error."""
    name = variable("REDIS_READER_URL" if reader else "REDIS_URL", region)
    url = regions.environment(seen_from or region)[name]
    options = {"socket_timeout": 0.5, "retry": Retry(NoBackoff(), 0), "decode_responses": True} | options
    return redis.Redis.from_url(url, **options)


def cluster(regions: LocalRegions, *, seen_from: str = "us-east-1", **options: Any) -> RedisCluster:
    """Return a client of the cluster; from another region it knows the nodes by their links."""
    environment = regions.environment(seen_from)
    pairs = [each.split("=") for each in environment.get("REDIS_ADDRESS_MAP_US_EAST_1", "").split(",") if each]
    links = {address(announced): address(link) for announced, link in pairs}
    first, *others = environment["REDIS_URL_US_EAST_1"].split(",")
    return RedisCluster.from_url(
        first,
        startup_nodes=[ClusterNode(*address(urlsplit(url).netloc.rpartition("@")[2])) for url in others],
        socket_timeout=0.5,
        socket_connect_timeout=0.5,
        decode_responses=True,
        address_remap=lambda announced: links.get(announced, announced),
        **options,
    )


def node(row: dict[str, Any], patience: float = 0.5) -> redis.Redis:
    """Return a client of one server, whatever its role, that waits so many seconds for an answer."""
    host, port = address(row["address"])
    return redis.Redis(host, port, socket_timeout=patience, retry=Retry(NoBackoff(), 0), decode_responses=True)


def address(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    return host, int(port)


def row(regions: LocalRegions, name: str) -> dict[str, Any]:
    """Return what status says of a node."""
    return next(row for row in regions.status() if row["node"] == name)


def primary(regions: LocalRegions, region: str, shard: int = 1) -> dict[str, Any]:
    """Return the row of a shard's primary; wait for one, as there is none until a replica has taken over."""
    return until(lambda: rows_of(regions, region, shard, "primary"), f"a primary of {region}")[0]


def replica(regions: LocalRegions, region: str, shard: int = 1) -> dict[str, Any]:
    """Return the row of a shard's replica."""
    return rows_of(regions, region, shard, "replica")[0]


def rows_of(regions: LocalRegions, *wanted: str | int) -> list[dict[str, Any]]:
    """Return the rows of a region's shard in a role."""
    return [row for row in regions.status() if (row["region"], row["shard"], row["role"]) == wanted]


def write(client: Any, key: str, value: str) -> bool:
    """Tell whether a write was taken."""
    try:
        return bool(client.set(key, value))
    except FAILURES:
        return False
