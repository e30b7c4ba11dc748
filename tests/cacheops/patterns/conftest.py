"""A cache of each kind that the patterns must work on, with keys of its own."""

import uuid
from typing import Any

import pytest
from django.core.cache import CacheHandler
from django.core.cache.backends.base import BaseCache

from tests.servers import on_servers

KINDS = ("memory", *on_servers("us-east-1", "us-west-2", "us-east-2"))


@pytest.fixture(params=KINDS)
def cache(request: Any, settings: Any) -> BaseCache:
    """Return the cache of a region (a cluster, two pairs), and one in memory."""
    prefix = uuid.uuid4().hex
    if request.param == "memory":
        entry: dict[str, Any] = {"BACKEND": "cacheops.backends.MemoryCache", "LOCATION": prefix}
    else:
        entry = settings.CACHES[request.param]
    return CacheHandler({"default": {**entry, "KEY_PREFIX": prefix}})["default"]
