"""Assertions about hits and loads within a block."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager

from cacheops.instrumentation.request_stats import RequestStats, collect_request_stats


@contextmanager
def assert_hits(count: int) -> Iterator[RequestStats]:
    """Fail unless the block's reads were answered by the cache, `count` of them, and none by the database."""
    with collect_request_stats() as stats:
        yield stats
    loaded = stats.misses + stats.bypasses
    assert (stats.hits, loaded) == (count, 0), f"{stats.hits} hits and {loaded} loads; {count} hits and none expected"


@contextmanager
def assert_misses(count: int) -> Iterator[RequestStats]:
    """Fail unless the database answered `count` cached reads of the block: misses and bypasses."""
    with collect_request_stats() as stats:
        yield stats
    loaded = stats.misses + stats.bypasses
    assert loaded == count, f"{loaded} loads and {stats.hits} hits; {count} loads expected"


class CacheAssertions:
    """Mixed into a TestCase: the same, under names like Django's."""

    def assertNumCacheHits(self, count: int) -> AbstractContextManager[RequestStats]:
        """Fail unless the block's reads were answered by the cache, `count` of them, and none by the database."""
        return assert_hits(count)

    def assertNumCacheMisses(self, count: int) -> AbstractContextManager[RequestStats]:
        """Fail unless the database answered `count` cached reads of the block: misses and bypasses."""
        return assert_misses(count)
