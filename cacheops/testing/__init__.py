"""Helpers for the tests of projects and of stores: assertions about hits, new servers, and the contract of a store."""

from cacheops.testing.assertions import CacheAssertions, assert_hits, assert_misses
from cacheops.testing.servers import begin_empty

__all__ = ["CacheAssertions", "assert_hits", "assert_misses", "begin_empty"]
