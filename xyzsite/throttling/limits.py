"""Limits on how often something may be done, counted in windows of time.

Counts stand in the region's cache, for all its processes, and in the memory of this one: the larger holds. A region
that does not answer, or has lost its keys, so locks nobody out, and frees no guessing: each process goes on counting.
"""

import hashlib
import time
from contextlib import suppress
from dataclasses import dataclass
from math import ceil
from zlib import crc32

from django.core.cache import BaseCache, cache
from django.core.cache.backends.locmem import LocMemCache

from cacheops.exceptions import StoreError

now = time.time  # seconds since the epoch; processes share windows, so theirs must agree to about a second

# For how long a count is kept beyond its window: whoever's clock is behind is still in there.
SPARE_SECONDS = 300

# The least recently used count goes first: one that refuses somebody is looked at with each try.
process_cache = LocMemCache("throttling", {"OPTIONS": {"MAX_ENTRIES": 10_000}})


@dataclass(frozen=True, slots=True)
class Limit:
    """Up to so many `times` in a window of so many `seconds`, each caller apart; 0 times: as often as they like.

    Windows have a fixed length. They begin for each caller at another moment: not all who wait come back at once.
    """

    name: str
    times: int
    seconds: int

    def used(self, caller: str) -> int:
        """Return how often it was done in this window."""
        key, _ = self._window(caller)
        return max(_count(cache, key), _count(process_cache, key))

    def wait(self, caller: str) -> int:
        """Return the seconds until it may be done again; 0: now."""
        if not self.times or self.used(caller) < self.times:
            return 0
        return self._window(caller)[1]

    def add(self, caller: str) -> int:
        """Count one time; return the seconds to wait where that was one too many, else 0."""
        if not self.times:
            return 0
        key, left = self._window(caller)
        kept = left + SPARE_SECONDS
        used = max(_add_one(process_cache, key, kept), _add_one(cache, key, kept))
        return left if used > self.times else 0

    def _window(self, caller: str) -> tuple[str, int]:
        """Return the key of the window that a caller is in, and the seconds until the next one, 1 at least."""
        digest = hashlib.sha256(caller.encode(errors="replace")).hexdigest()  # callers may send any text as a name
        number, spent = divmod(now() + crc32(digest.encode()) % self.seconds, self.seconds)
        return f"throttle:{self.name}:{digest}:{number:.0f}", ceil(self.seconds - spent)


def _count(counts: BaseCache, key: str) -> int:
    """Return a count; 0 where the cache has none, or does not answer."""
    try:
        return int(counts.get(key, 0))
    except StoreError:  # with REDIS_IGNORE_EXCEPTIONS off
        return 0


def _add_one(counts: BaseCache, key: str, seconds: int) -> int:
    """Return a count with this time; 0 where the cache does not answer."""
    try:
        for _ in range(2):
            with suppress(ValueError):  # it is not there, or there is no answer
                return counts.incr(key)
            if counts.add(key, 1, seconds):
                return 1  # else another was first, or there is no answer
    except StoreError:  # with REDIS_IGNORE_EXCEPTIONS off
        pass
    return 0
