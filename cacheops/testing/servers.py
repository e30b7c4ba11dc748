"""What a test suite says to servers of its own."""

from django.core.cache import caches


def begin_empty(alias: str = "default") -> bool:
    """Tell the servers of a CACHES alias that they are empty and new, so that entries are cached from the beginning.

    To be called after they were started or emptied, before the cache is used. Otherwise they may be servers that have
    lost their data, and nothing is cached on them for CACHEOPS_MARK_SECONDS. Return False where one holds keys; True
    for a cache without servers.
    """
    begin = getattr(caches[alias], "begin_empty", None)
    return bool(begin()) if begin else True
