"""The cache of a region on Redis servers. Django's contract, django-redis' extras, and pages that outlive an outage."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from functools import cached_property
from typing import Any, ParamSpec, TypeVar

from django.conf import settings
from django.core.cache import caches
from django.core.cache.backends.base import DEFAULT_TIMEOUT
from django.utils.module_loading import import_string
from django_redis.cache import RedisCache

from cacheops.backends.client import RegionClient
from cacheops.backends.common import MISSING, RegionCacheMixin
from cacheops.backends.hinted_handoff import HintedHandoff
from cacheops.conf import conf
from cacheops.exceptions import ServerRefused, StoreUnavailable
from cacheops.instrumentation.request_stats import count
from cacheops.protocol.keys import GENERATION, TAG, parse
from cacheops.redis import Command, ServerPool, servers
from cacheops.redis.identity import KeySet, add_key_sets
from cacheops.redis.options import ServerOptions, urls_in
from cacheops.stores.base import Store
from cacheops.stores.circuit_breaker import PAUSE
from cacheops.stores.redis import NEAR_BYTES, RedisStore
from cacheops.stores.scripts import purge_tag

P = ParamSpec("P")
T = TypeVar("T")

UNANSWERED: Any = object()
CLIENT_CLASS = "cacheops.backends.client.RegionClient"  # finds out whether the servers are a cluster
RETRIES = 2  # of the store's commands: one on a new connection, one after asking who is primary now


class RegionCache(RegionCacheMixin, RedisCache):
    """One region's cache.

    With IGNORE_EXCEPTIONS (the default) a region that does not answer, or refuses whoever asks, looks like an empty
    cache that keeps nothing; docs/decisions/0003 says why, call by call. clear, delete_pattern, iter_keys, locks and
    the commands for sets, hashes and sorted sets raise StoreUnavailable or ServerRefused even so.
    """

    client: RegionClient

    def __init__(self, server: str | list[str], params: dict[str, Any]) -> None:
        options = params.get("OPTIONS", {})
        super().__init__(server, {**params, "OPTIONS": {"CLIENT_CLASS": CLIENT_CLASS, **options}})
        self._ignore_exceptions = options.get("IGNORE_EXCEPTIONS", True)
        self._pause = options.get("PAUSE_AFTER_FAILURE", PAUSE)

    @cached_property
    def _handoff(self) -> HintedHandoff:
        return HintedHandoff.of(self.client.server_options, self._pause)

    def _ask(self, method: str, *args: Any, **kwargs: Any) -> Any:
        """Return what the client's method returns, or UNANSWERED when there is none and that is to be ignored."""
        call = getattr(self.client, method)
        return self._guarded(call, *args, **kwargs) if self._ignore_exceptions else call(*args, **kwargs)

    def _guarded(self, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        handoff = self._handoff
        try:
            with handoff.guard:
                if handoff.due:
                    handoff.replay(self.client.transport)
                answer = call(*args, **kwargs)
        except (StoreUnavailable, ServerRefused):
            return UNANSWERED
        if handoff.due:
            handoff.answered()
        return answer

    def _hint(self, keys: Iterable[str], version: int | None) -> None:
        """Have old values deleted: at once where the servers refused (full ones delete), or before their next use."""
        made = [self.client.make_key(key, version) for key in keys]
        self._handoff.hint(made, self.client.whole_alias())
        if not self._handoff.failing:
            self._guarded(lambda: None)

    def get(self, key: str, default: Any = None, version: int | None = None) -> Any:
        return self._counted(self._ask("get", key, MISSING, version), default)

    def get_and_touch(self, key: str, timeout: float, default: Any = None, version: int | None = None) -> Any:
        """Return a key's value, and let it live for `timeout` seconds from now, in one step."""
        return self._counted(self._ask("get_and_touch", key, timeout, MISSING, version), default)

    def _counted(self, value: Any, default: Any) -> Any:
        if value is MISSING:
            count(misses=1)
            return default
        if value is UNANSWERED:
            count(bypasses=1)
            return default
        count(hits=1)
        return value

    def get_many(self, keys: Iterable[str], version: int | None = None) -> dict[str, Any]:
        wanted = list(keys)
        found = self._ask("get_many", wanted, version)
        if found is UNANSWERED:
            count(bypasses=len(wanted))
            return {}
        count(hits=len(found), misses=len(set(wanted)) - len(found))
        return found

    def has_key(self, key: str, version: int | None = None) -> bool:
        return self._ask("has_key", key, version) is True

    def set(
        self,
        key: str,
        value: Any,
        timeout: float | None = DEFAULT_TIMEOUT,
        version: int | None = None,
        nx: bool = False,
        xx: bool = False,
    ) -> bool:
        """Return whether the value was stored; nx stores only a new key, xx only one that is there."""
        stored = self._ask("set", key, value, timeout, version, nx=nx, xx=xx)
        if stored is UNANSWERED and not nx:
            self._hint([key], version)
        return stored is True

    def add(self, key: str, value: Any, timeout: float | None = DEFAULT_TIMEOUT, version: int | None = None) -> bool:
        return self.set(key, value, timeout, version, nx=True)

    def set_many(
        self, data: Mapping[str, Any], timeout: float | None = DEFAULT_TIMEOUT, version: int | None = None
    ) -> list[str]:
        failed = self._ask("set_many", data, timeout, version)
        if failed is UNANSWERED:
            self._hint(data, version)
            return list(data)
        return failed

    def add_many(
        self, data: Mapping[str, Any], timeout: float | None = DEFAULT_TIMEOUT, version: int | None = None
    ) -> int:
        """Store what is not there, in one round trip a server; return how many were stored."""
        added = self._ask("add_many", data, timeout, version)
        return 0 if added is UNANSWERED else added

    def delete(self, key: str, version: int | None = None) -> bool:
        deleted = self._ask("delete", key, version)
        if deleted is UNANSWERED:
            self._hint([key], version)
            return False
        return bool(deleted)

    def delete_many(self, keys: Iterable[str], version: int | None = None) -> int:
        unwanted = list(keys)
        deleted = self._ask("delete_many", unwanted, version)
        if deleted is UNANSWERED:
            self._hint(unwanted, version)
            return 0
        return deleted

    def touch(self, key: str, timeout: float | None = DEFAULT_TIMEOUT, version: int | None = None) -> bool:
        return self._ask("touch", key, timeout, version) is True

    def extend(self, key: str, limit: float, factor: float, version: int | None = None) -> bool:
        """Lengthen what a key has left by a factor, up to `limit` seconds, in one step; return whether it is there."""
        return self._ask("extend", key, limit, factor, version) is True

    def set_max(self, key: str, value: Any, timeout: float, version: int | None = None) -> bool:
        """Store a value for `timeout` seconds, unless a larger one is there; return whether it was stored."""
        return self._ask("set_max", key, value, timeout, version) is True

    def incr(self, key: str, delta: int = 1, version: int | None = None, ignore_key_check: bool = False) -> int:
        """Add `delta`. Raises ValueError when the key is not there, unless ignore_key_check: it counts from 0 then."""
        return self._found(key, self._ask("incr", key, delta, version, ignore_key_check))

    def decr(self, key: str, delta: int = 1, version: int | None = None) -> int:
        return self.incr(key, -delta, version)

    def incr_version(self, key: str, delta: int = 1, version: int | None = None) -> int:
        return self._found(key, self._ask("incr_version", key, delta, version))

    def _found(self, key: str, answer: Any) -> int:
        if answer is UNANSWERED:
            raise ValueError(f"Key '{key}' not found: the region's servers do not answer, or refuse")
        return answer

    def ttl(self, key: str, version: int | None = None) -> int | None:
        """Return the seconds left; None for a key that never expires, 0 for one that is not there."""
        left = self._ask("ttl", key, version)
        return 0 if left is UNANSWERED else left

    def pttl(self, key: str, version: int | None = None) -> int | None:
        """Return the milliseconds left; None for a key that never expires, 0 for one that is not there."""
        left = self._ask("pttl", key, version)
        return 0 if left is UNANSWERED else left

    def clear(self) -> None:
        """Delete this alias' keys, all versions. Raise StoreError rather than leave what was to go."""
        self.client.clear()

    def delete_pattern(
        self, pattern: str, version: int | None = None, prefix: str | None = None, itersize: int | None = None
    ) -> int:
        """Delete the keys that match and return how many. Raise StoreError rather than leave some."""
        return self.client.delete_pattern(pattern, version, prefix, itersize=itersize)

    def iter_keys(self, search: str, itersize: int | None = None, version: int | None = None) -> Iterator[str]:
        return self.client.iter_keys(search, itersize, version)

    def pool_figures(self) -> list[ServerPool]:
        """Return the connections that this process holds to each of the region's servers."""
        return self.client.servers.pool_stats()

    def known_pools(self) -> list[ServerPool]:
        """Return the same, and ask no server: none of a cluster whose nodes are not known yet."""
        servers = self.client.servers
        return servers.pool_stats() if servers.is_known else []

    def begin_empty(self) -> bool:
        """Record that the servers are empty and new; return whether all of them are."""
        return self.client.servers.begin()

    def end_grace(self) -> bool:
        """Let entries be leased on the servers at once; return whether all of them are recognised."""
        return self.client.servers.end_grace()

    @staticmethod
    def make_store(alias: str, config: Mapping[str, Any]) -> Store:
        """Return the engine's store on the servers of a CACHES alias. Raise InvalidOption where there can be none."""
        given = config.get("OPTIONS", {})
        timeout = conf.timeout if alias == conf.local_region else conf.remote_timeout
        cluster = import_string(given.get("CLIENT_CLASS", CLIENT_CLASS)).cluster
        options = replace(
            ServerOptions.from_settings(urls_in(config["LOCATION"]), given, cluster=cluster),
            socket_timeout=timeout,
            socket_connect_timeout=timeout,
            decode_responses=False,
            retries=RETRIES,
            retry_backoff_base=0.0,
            retry_budget=timeout,  # a frozen server costs one time-out
        )
        near_bytes = given.get("NEAR_BYTES", NEAR_BYTES)
        return RedisStore(alias, servers(options), conf.wait_replicas.get(alias, 0), conf.wait_seconds, near_bytes)


def keys_of_aliases(urls: tuple[str, ...]) -> Iterator[KeySet]:
    """Yield the keys of each alias in CACHES on servers at these addresses."""
    for alias, config in settings.CACHES.items():
        if urls_in(config.get("LOCATION", "")) == urls:
            client = getattr(caches.create_connection(alias), "client", None)
            if isinstance(client, RegionClient):
                pattern = client.whole_alias()
                yield KeySet(pattern, pattern, _purge)


def _purge(key: bytes) -> Command | None:
    """Return the deletion of a key of an alias; None for the engine's, which a short prefix would match as well."""
    return ("UNLINK", key) if parse(key.decode(errors="replace")) is None else None


def generations_at(urls: tuple[str, ...]) -> Iterator[KeySet]:
    """Yield the generations on servers at these addresses, of every prefix: all entries depend on them."""
    located = (settings.CACHES.get(alias, {}).get("LOCATION", "") for alias in conf.regions)
    if urls in map(urls_in, located):
        yield KeySet("generations", f"*:{{*}}:{TAG}:\\{GENERATION}", purge_tag)


add_key_sets("aliases", keys_of_aliases)
add_key_sets("generations", generations_at)
