"""The cache of a region in the process's memory: no server, one process, the extras of RegionCache."""

import pickle
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any
from weakref import WeakValueDictionary

from django.core.cache.backends.base import DEFAULT_TIMEOUT
from django.core.cache.backends.locmem import LocMemCache

from cacheops.backends.common import MISSING, RegionCacheMixin
from cacheops.backends.glob import escaped, glob_regex
from cacheops.backends.memory_lock import MemoryLock
from cacheops.backends.redis_only import RedisOnly
from cacheops.engine import Component, register_component
from cacheops.instrumentation.request_stats import count
from cacheops.stores.memory import MemoryStore


class KeyLocks(Component):
    """The locks of keys, which caches of one name share."""

    def __init__(self) -> None:
        self.by_name: dict[str, WeakValueDictionary[str, threading.Lock]] = {}


key_locks = register_component(KeyLocks())


class MemoryCache(RegionCacheMixin, RedisOnly, LocMemCache):
    """The embedded form. Aliases of one LOCATION share its entries, and MAX_ENTRIES of them."""

    _cache: OrderedDict[str, bytes]
    _expire_info: dict[str, float | None]  # seconds since the epoch; None: never
    _lock: threading.Lock
    _set: Callable[..., None]
    _delete: Callable[[str], bool]
    _has_expired: Callable[[str], bool]

    def __init__(self, name: str, params: dict[str, Any]) -> None:
        super().__init__(name, params)
        self._key_locks = key_locks.by_name.setdefault(name, WeakValueDictionary())

    @staticmethod
    def make_store(alias: str, config: Mapping[str, Any]) -> MemoryStore:
        """Return the engine's store for a CACHES alias: in this process's memory, beside the cache."""
        return MemoryStore(alias)

    def get(self, key: Any, default: Any = None, version: int | None = None) -> Any:
        value = super().get(key, MISSING, version=version)
        if value is MISSING:
            count(misses=1)
            return default
        count(hits=1)
        return value

    def set(  # type: ignore[override]  # Django's returns nothing
        self,
        key: Any,
        value: Any,
        timeout: float | None = DEFAULT_TIMEOUT,
        version: int | None = None,
        nx: bool = False,
        xx: bool = False,
    ) -> bool:
        """Return whether the value was stored; nx stores only a new key, xx only one that is there."""
        made = self.make_and_validate_key(key, version)
        pickled = pickle.dumps(value, self.pickle_protocol)
        with self._lock:
            absent = self._has_expired(made)
            if (nx and not absent) or (xx and absent):
                return False
            self._set(made, pickled, timeout)
        return True

    def incr(self, key: Any, delta: int = 1, version: int | None = None, ignore_key_check: bool = False) -> int:
        """Add `delta`. Raises ValueError when the key is not there, unless ignore_key_check: it counts from 0 then."""
        if ignore_key_check:
            self.add(key, 0, None, version)
        total: int = super().incr(key, delta, version)
        return total

    def get_and_touch(self, key: Any, timeout: float, default: Any = None, version: int | None = None) -> Any:
        """Return a key's value, and let it live for `timeout` seconds from now."""
        value = self.get(key, MISSING, version=version)
        if value is MISSING:
            return default
        self.touch(key, timeout, version)
        return value

    def extend(self, key: Any, limit: float, factor: float, version: int | None = None) -> bool:
        """Lengthen what a key has left by a factor, up to `limit` seconds, in one step; return whether it is there."""
        made = self.make_and_validate_key(key, version)
        with self._lock:
            if self._has_expired(made):
                return False
            expiry, now = self._expire_info[made], time.time()
            if expiry is not None:
                self._expire_info[made] = max(expiry, now + min(limit, (expiry - now) * factor))
            return True

    def set_max(self, key: Any, value: Any, timeout: float, version: int | None = None) -> bool:
        """Store a value for `timeout` seconds, unless a larger one is there; return whether it was stored."""
        made = self.make_and_validate_key(key, version)
        with self._lock:
            if not self._has_expired(made) and pickle.loads(self._cache[made]) > value:
                return False
            self._set(made, pickle.dumps(value, self.pickle_protocol))
            self._expire_info[made] = self.get_backend_timeout(timeout)
            return True

    def incr_version(self, key: Any, delta: int = 1, version: int | None = None) -> int:
        """Move a value to another version of its key, with its expiry."""
        version = self.version if version is None else version
        old, new = self.make_and_validate_key(key, version), self.make_and_validate_key(key, version + delta)
        with self._lock:
            if self._has_expired(old):
                raise ValueError(f"Key '{key}' not found")
            pickled, expiry = self._cache[old], self._expire_info[old]
            self._delete(old)
            self._set(new, pickled)
            self._expire_info[new] = expiry
        return version + delta

    def add_many(
        self, data: Mapping[Any, Any], timeout: float | None = DEFAULT_TIMEOUT, version: int | None = None
    ) -> int:
        """Store what is not there; return how many were stored."""
        return sum(self.add(key, value, timeout, version) for key, value in data.items())

    def delete_many(self, keys: Iterable[Any], version: int | None = None) -> int:  # type: ignore[override]
        """Delete keys and return how many there were."""
        return sum(self.delete(key, version) for key in keys)

    def clear(self) -> None:
        """Delete this alias' keys, all versions; those of other prefixes stay."""
        self._delete_matching(self.key_func("*", escaped(self.key_prefix), "*"))

    def delete_pattern(self, pattern: str, version: int | None = None, itersize: int | None = None) -> int:
        """Delete the keys that match Redis' glob pattern and return how many."""
        return self._delete_matching(self._pattern(pattern, version))

    def _delete_matching(self, full_pattern: str) -> int:
        matches = glob_regex(full_pattern).fullmatch
        with self._lock:
            return sum(self._delete(key) for key in [key for key in self._cache if matches(key)])

    def iter_keys(self, search: str, itersize: int | None = None, version: int | None = None) -> Iterator[str]:
        """Yield the keys that match Redis' glob pattern and have not expired."""
        head = self.make_key("", version)
        matches = glob_regex(self._pattern(search, version)).fullmatch
        with self._lock:
            found = [key for key in self._cache if matches(key) and not self._has_expired(key)]
        yield from (key.removeprefix(head) for key in found)

    def keys(self, search: str, version: int | None = None) -> list[str]:
        return list(self.iter_keys(search, version=version))

    def _pattern(self, pattern: str, version: int | None) -> str:
        return self.key_func(
            pattern, escaped(self.key_prefix), escaped(str(self.version if version is None else version))
        )

    def ttl(self, key: Any, version: int | None = None) -> int | None:
        """Return the seconds left; None for a key that never expires, 0 for one that is not there."""
        left = self.pttl(key, version)
        return left if left is None else round(left / 1000)

    def pttl(self, key: Any, version: int | None = None) -> int | None:
        """Return the milliseconds left; None for a key that never expires, 0 for one that is not there."""
        made = self.make_and_validate_key(key, version)
        with self._lock:
            expiry = self._expire_info.get(made, 0)
        return None if expiry is None else max(round((expiry - time.time()) * 1000), 0)

    def expire(self, key: Any, timeout: float, version: int | None = None) -> bool:
        return self.touch(key, timeout, version)

    def persist(self, key: Any, version: int | None = None) -> bool:
        """Let a key stay for ever. Returns False when it is not there, or had no expiry, as Redis does."""
        return bool(self.pttl(key, version)) and self.touch(key, None, version)

    def lock(
        self,
        key: str,
        version: int | None = None,
        timeout: float | None = None,
        sleep: float = 0.01,
        blocking: bool = True,
        blocking_timeout: float | None = None,
        thread_local: bool = True,
    ) -> MemoryLock:
        """Return a lock that the threads of this process share; it does not expire, and is no entry."""
        made = self.make_and_validate_key(key, version)
        with self._lock:
            held = self._key_locks.setdefault(made, threading.Lock())
        return MemoryLock(key, held, blocking, blocking_timeout, thread_local)
