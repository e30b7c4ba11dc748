"""Helpers for the tests of projects and of stores: assertions about hits, and the contract of a store."""

from cacheops.testing.assertions import assert_hits, assert_misses

__all__ = ["assert_hits", "assert_misses"]
