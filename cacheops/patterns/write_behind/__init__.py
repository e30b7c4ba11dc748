"""Writes acknowledged before they are in the database (docs/how-to/write-behind.md). Classes: cacheops.patterns."""

from cacheops.patterns.write_behind.cache import state

__all__ = ["state"]
