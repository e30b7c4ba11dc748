"""What RegionCache has of django-redis, and a cache in memory has not: each is refused with what to use."""

from collections.abc import Callable
from typing import Any, NoReturn

from cacheops.exceptions import NotInMemory

ON_SERVERS = "Use cacheops.backends.RegionCache, on a Redis."
EXPIRY = "Use expire(key, seconds) or touch(key, seconds)."
# fmt: off
HASHES = ("hdel", "hexists", "hkeys", "hlen", "hset")
SETS = (
    "sadd", "scard", "sdiff", "sdiffstore", "sinter", "sinterstore", "sismember", "smembers", "smismember",
    "smove", "spop", "srandmember", "srem", "sscan", "sscan_iter", "sunion", "sunionstore",
)
SORTED_SETS = (
    "zadd", "zcard", "zcount", "zincrby", "zpopmax", "zpopmin", "zrange", "zrangebyscore", "zrank", "zrem",
    "zremrangebyscore", "zrevrange", "zrevrangebyscore", "zscore",
)
# fmt: on
REFUSED: dict[str, str] = {
    **dict.fromkeys(("expire_at", "pexpire", "pexpire_at"), EXPIRY),
    **dict.fromkeys((*HASHES, *SETS, *SORTED_SETS), ON_SERVERS),
}


def _refusal(name: str) -> Callable[..., NoReturn]:
    def refuse(self: Any, *args: Any, **kwargs: Any) -> NoReturn:
        raise NotInMemory(f"MemoryCache has no {name}(): {REFUSED[name]}")

    refuse.__name__ = name
    return refuse


class RedisOnly:
    """Mixed into a cache in memory."""

    @property
    def client(self) -> NoReturn:
        raise NotInMemory(f"MemoryCache has no client: it has no server. {ON_SERVERS}")


for _name in REFUSED:
    setattr(RedisOnly, _name, _refusal(_name))
