"""What tests of projects and of stores use: assertions about hits, and the contract that every store keeps."""

from cacheops.testing.assertions import assert_hits, assert_misses

__all__ = ["assert_hits", "assert_misses"]
