"""Settings of django-cacheops that are not of this engine, and what to write instead."""

from collections.abc import Callable
from typing import Any
from urllib.parse import quote


def sentinels_in(given: Any) -> str:
    """Return the LOCATION for django-cacheops' setting of sentinels; an example where it can't be read."""
    try:
        hosts = ",".join(f"{host}:{port}" for host, port in given["locations"])
        address = f"{hosts}/{quote(given['service_name'], safe='')}/{int(given.get('db', 0))}"
    except (AttributeError, KeyError, TypeError, ValueError):
        address = "host:26379,host:26379/service/0"
    return f"'LOCATION': 'redis+sentinel://{address}'"


SERVERS: dict[str, Callable[[Any], str]] = {
    "CACHEOPS_REDIS": lambda given: "'LOCATION': 'redis://host:6379/0'",
    "CACHEOPS_SENTINEL": sentinels_in,
}
FILES: dict[str, Callable[[Any], str]] = {
    "FILE_CACHE_DIR": lambda given: f"'LOCATION': {str(given)!r}",
    "FILE_CACHE_TIMEOUT": lambda given: f"'TIMEOUT': {given!r}",
}
GONE = {
    "CACHEOPS_CLIENT_CLASS": "Remove it: OPTIONS['STORE'] in CACHES names a store of one's own",
    "CACHEOPS_DEGRADE_ON_FAILURE": "Remove it: reads always go on; CACHEOPS_ON_UNREACHABLE says what a write does",
    "CACHEOPS_INSIDEOUT": "Remove it: entries always carry the versions of what they depend on",
    "CACHEOPS_LONG_DISJUNCTION": "Use CACHEOPS_MAX_TAGS",
    "CACHEOPS_LRU": "Remove it: any maxmemory-policy of the server is right",
    "CACHEOPS_SERIALIZER": "Remove it: rows have an encoding of their own, which is no pickle",
    "CACHEOPS_SKIP_FIELDS": "Remove it: conditions on fields of any kind are told apart",
}


def instead_of(name: str, given: Any) -> str:
    """Return what to do about a setting of django-cacheops; "" for another name."""
    if name in SERVERS:
        return f"Remove it, and name the servers in CACHES: {SERVERS[name](given)}."
    if name in FILES:
        return f"Remove it, and write it to the alias 'file_cache' in CACHES: {FILES[name](given)}."
    return f"{GONE[name]}." if name in GONE else ""
