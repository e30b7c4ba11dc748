"""Many keys at once: one round trip to each server that holds some of them."""

from collections.abc import Iterable, Mapping
from typing import Any

from django.core.cache import caches
from django.core.cache.backends.base import BaseCache

from cacheops.conf import conf
from cacheops.encoding import objects
from cacheops.protocol.keys import checked_key


class BatchCacheOperations:
    """Reads, stores and deletes many entries of one region's cache.

    `cache` is an alias in CACHES, or the cache itself. On Redis the keys are grouped by server (a cluster's keys lie on
    several), each server gets up to 1000 of them a round trip, and all servers work at the same time.

    A region that does not answer reads as empty and stores nothing (docs/reference/caches.md).
    """

    def __init__(self, cache: str | BaseCache = "default") -> None:
        self.cache: BaseCache = caches[cache] if isinstance(cache, str) else cache

    def batch_get(self, keys: Iterable[str]) -> dict[str, Any]:
        """Return the values of the keys that are there; one whose value is None is there. Raise InvalidKey."""
        wanted = [checked_key(key) for key in keys]
        return self.cache.get_many(wanted) if wanted else {}

    def batch_set(self, key_value_pairs: Mapping[str, Any], ttl: float | str = 300) -> bool:
        """Store all for `ttl`, seconds or a TTL strategy; return whether all were stored.

        A TTL of 0 keeps nothing: the keys are deleted. Raise InvalidKey, InvalidOption for a bad TTL, and
        UnencodableValue for a value that would not come back equal; nothing is stored then.
        """
        seconds = self._checked(key_value_pairs, ttl)
        if not key_value_pairs:
            return True
        return not self.cache.set_many(dict(key_value_pairs), seconds)

    def batch_add(self, key_value_pairs: Mapping[str, Any], ttl: float | str = 300) -> int:
        """Store those whose keys are not there, for `ttl`, and return how many; the others stay as they are.

        Each key by itself: no newer value of another process is overwritten. Raise as `batch_set` does.
        """
        seconds = self._checked(key_value_pairs, ttl)
        if not key_value_pairs or not seconds:
            return 0
        add_many = getattr(self.cache, "add_many", None)
        if add_many is None:  # a cache of Django's own
            return sum(self.cache.add(key, value, seconds) for key, value in key_value_pairs.items())
        return int(add_many(dict(key_value_pairs), seconds))

    def _checked(self, key_value_pairs: Mapping[str, Any], ttl: float | str) -> float:
        """Return the TTL in seconds. Raise for what can't be stored, before anything is."""
        seconds = conf.ttl.get_ttl(ttl)
        for key, value in key_value_pairs.items():
            checked_key(key)
            objects.encoded(value)  # also where the cache would take more
        return seconds

    def batch_delete(self, keys: Iterable[str]) -> int:
        """Delete the keys and return how many there were. Raise InvalidKey."""
        unwanted = list(dict.fromkeys(checked_key(key) for key in keys))
        if not unwanted:
            return 0
        if not hasattr(self.cache, "add_many"):  # a cache of Django's own, which counts one key only
            return sum(self.cache.delete(key) for key in unwanted)
        deleted: Any = self.cache.delete_many(unwanted)  # type: ignore[func-returns-value]  # ours count
        return int(deleted)
