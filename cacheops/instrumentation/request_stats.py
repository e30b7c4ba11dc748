"""Counts of the cache look-ups of one request or command."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass


@dataclass(slots=True)
class RequestStats:
    """Counts of cache look-ups within one block."""

    hits: int = 0  # answered by a cache
    misses: int = 0  # asked a cache, which did not hold it
    bypasses: int = 0  # went past the cache by rule, or because it did not answer
    unchecked: int = 0  # answered by a cache while the database was away
    lagging: int = 0  # may lack what was acknowledged lately: the buffer that holds it did not answer


_current: ContextVar[RequestStats | None] = ContextVar("cacheops_request_stats", default=None)


@contextmanager
def collect_request_stats() -> Iterator[RequestStats]:
    """Count the look-ups made within the block, in this thread or task."""
    stats = RequestStats()
    token = _current.set(stats)
    try:
        yield stats
    finally:
        _current.reset(token)


def count(hits: int = 0, misses: int = 0, bypasses: int = 0, unchecked: int = 0, lagging: int = 0) -> None:
    """Add to the counts of the innermost block, if there is one."""
    stats = _current.get()
    if stats is not None:
        stats.hits += hits
        stats.misses += misses
        stats.bypasses += bypasses
        stats.unchecked += unchecked
        stats.lagging += lagging
