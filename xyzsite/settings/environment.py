"""Variables of the environment, read so that one which can not be meant is named, with what is expected instead.

Values are not shown: addresses hold passwords.
"""

import logging
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Any
from urllib.parse import urlsplit

import environ
from django.core.exceptions import ImproperlyConfigured

from cacheops.exceptions import InvalidOption
from cacheops.redis.options import urls_in
from cacheops.redis.sentinel_address import SentinelAddress, is_sentinel

DATABASE_SCHEMES = ("postgres", "postgresql", "psql", "pgsql", "sqlite")  # those whose backends call the cache
REDIS_SCHEMES = ("redis", "rediss")
KINDS = {int: "a whole number", float: "a number", dict: "name=value pairs, by comma"}


class Env(environ.Env):
    """Reads variables, and names the one that can not be read as what it is to be."""

    def get_value(self, var: str, cast: Any = None, default: Any = environ.Env.NOTSET, **options: Any) -> Any:
        try:
            return super().get_value(var, cast, default, **options)
        except (TypeError, ValueError) as error:
            raise ImproperlyConfigured(f"{var} must be {KINDS.get(cast, 'another kind of value')}.") from error


def database_at(variable: str, url: str) -> dict[str, Any]:
    """Return the DATABASES entry of the address that a variable holds. Raise ImproperlyConfigured for another text."""
    scheme, separator, _ = url.partition("://")
    try:
        if separator and scheme in DATABASE_SCHEMES:
            return dict(environ.Env.db_url_config(url))
    except ValueError:
        pass  # a port that is no number
    raise ImproperlyConfigured(
        f"{variable} must be the address of a database: postgres://user:password@host:5432/name, or sqlite:////file."
    )


def redis_addresses(env: environ.Env, variable: str) -> list[str]:
    """Return the addresses that a variable lists. Raise ImproperlyConfigured where one of them is none."""
    addresses = [url for url in urls_in(env.str(variable, default="")) if url]
    if not all(map(_is_redis_address, addresses)):
        raise ImproperlyConfigured(
            f"{variable} must be addresses by comma, each as redis://user:password@host:6379/0, or rediss:// for TLS; "
            "or one of sentinels, as redis+sentinel://host:26379,host:26379/service/0."
        )
    return addresses


def _is_redis_address(url: str) -> bool:
    try:
        if is_sentinel(url):
            return bool(SentinelAddress.parse(url))
        parts = urlsplit(url)
        return parts.scheme in REDIS_SCHEMES and bool(parts.hostname) and parts.port != 0
    except (InvalidOption, ValueError):
        return False


def log_level(variable: str, name: str) -> str:
    """Return the name of a level. Raise ImproperlyConfigured for another text."""
    known = logging.getLevelNamesMapping()
    if name not in known:
        raise ImproperlyConfigured(f"{variable} must be one of {', '.join(sorted(known, key=known.__getitem__))}.")
    return name


def at_least(least: int, variable: str, number: int) -> int:
    """Return a number. Raise ImproperlyConfigured for one below the least that works."""
    if number < least:
        raise ImproperlyConfigured(f"{variable} must be {least} or more.")
    return number


def networks(variable: str, texts: list[str]) -> list[IPv4Network | IPv6Network]:
    """Return the networks that a variable lists. Raise ImproperlyConfigured where one of them is none."""
    try:
        return [ip_network(text) for text in texts]
    except ValueError as error:
        raise ImproperlyConfigured(
            f"{variable} must be networks or addresses by comma, such as 10.0.0.0/8 or 2001:db8::1."
        ) from error
