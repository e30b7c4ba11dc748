"""Settings of django-cacheops that say where servers are, and what to write for their value here."""

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


SERVERS_ELSEWHERE: dict[str, Callable[[Any], str]] = {
    "CACHEOPS_REDIS": lambda given: "'LOCATION': 'redis://host:6379/0'",
    "CACHEOPS_SENTINEL": sentinels_in,
}
