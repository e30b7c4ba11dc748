"""Writes acknowledged before they are in the database (docs/how-to/write-behind.md)."""

from cacheops.patterns.write_behind.cache import Acknowledged, NewestItems, WriteBehindCache, WriteBehindState, state

__all__ = ["Acknowledged", "NewestItems", "WriteBehindCache", "WriteBehindState", "state"]
