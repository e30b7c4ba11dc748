"""What one request, or one command, asked of the cache: counted where it happens, read where it is shown."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass


@dataclass(slots=True)
class Tally:
    """Counts of cache look-ups since the tally was opened."""

    hits: int = 0  # answered by a cache
    misses: int = 0  # asked a cache, which did not hold it
    bypasses: int = 0  # went past the cache by rule, or because it did not answer


_current: ContextVar[Tally | None] = ContextVar("cacheops_tally", default=None)


@contextmanager
def tallied() -> Iterator[Tally]:
    """Count the look-ups made within the block, in this thread or task."""
    tally = Tally()
    token = _current.set(tally)
    try:
        yield tally
    finally:
        _current.reset(token)


def count(hits: int = 0, misses: int = 0, bypasses: int = 0) -> None:
    """Add to the open tally, if there is one."""
    tally = _current.get()
    if tally is not None:
        tally.hits += hits
        tally.misses += misses
        tally.bypasses += bypasses
