"""Assertions about hits and loads within a block."""

from collections.abc import Iterator
from contextlib import contextmanager

from cacheops.instrumentation.request_stats import Tally, tallied


@contextmanager
def assert_hits(count: int) -> Iterator[Tally]:
    """Fail unless the block's reads were answered by the cache, `count` of them, and none by the database."""
    with tallied() as tally:
        yield tally
    loaded = tally.misses + tally.bypasses
    assert (tally.hits, loaded) == (count, 0), f"{tally.hits} hits and {loaded} loads; {count} hits and none expected"


@contextmanager
def assert_misses(count: int) -> Iterator[Tally]:
    """Fail unless the database answered `count` cached reads of the block: misses and bypasses."""
    with tallied() as tally:
        yield tally
    loaded = tally.misses + tally.bypasses
    assert loaded == count, f"{loaded} loads and {tally.hits} hits; {count} loads expected"
