"""CACHES backends: one alias a region, on Redis (cluster; primary with readers) or in the process's memory.

They are imported on first use: those on Redis need the driver, which a project on the memory store does not install.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cacheops.backends.client import ClusterClient, PairClient
    from cacheops.backends.memory import MemoryCache
    from cacheops.backends.redis import RegionCache
    from cacheops.backends.serializer import TypedSerializer

__all__ = ["ClusterClient", "MemoryCache", "PairClient", "RegionCache", "TypedSerializer"]

_MODULES = {
    "ClusterClient": "client",
    "MemoryCache": "memory",
    "PairClient": "client",
    "RegionCache": "redis",
    "TypedSerializer": "serializer",
}

_DRIVER = ("django_redis", "hiredis", "redis")


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
    except ModuleNotFoundError as error:
        if error.name not in _DRIVER:
            raise
        raise ModuleNotFoundError(f"{error}; `pip install xyz-cacheops[redis]` brings it", name=error.name) from error
