"""The address of a service that sentinels watch: redis+sentinel://[user:password@]host[:port],host[:port]/service[/db].

`rediss+sentinel://` speaks TLS to the sentinels and to the servers. The name and the password before the hosts are the
servers'; `?sentinel_username=…&sentinel_password=…` are the sentinels'.
"""

import re
from dataclasses import dataclass, field
from typing import Self
from urllib.parse import parse_qsl, unquote, urlencode

from cacheops.exceptions import InvalidOption

SCHEMES = {"redis+sentinel": "redis", "rediss+sentinel": "rediss"}
PORT = 26379
OF_SENTINELS = "sentinel_"  # how parameters begin that are for the sentinels
KNOWN = ("username", "password")
_HOST = re.compile(r"(\[[0-9a-fA-F:.]+\]|[^\s:\[\]]+)(?::([0-9]{1,5}))?")


@dataclass(frozen=True, slots=True)
class SentinelAddress:
    """Where the sentinels are, and how their service's servers are reached. Secrets stay out of the repr."""

    sentinels: tuple[tuple[str, int], ...]
    service: str
    tls: bool
    authority: tuple[tuple[str, str], ...] = field(repr=False)  # username, password of the sentinels
    _url: tuple[str, str] = field(repr=False)  # what stands before and after the host of a server

    @classmethod
    def parse(cls, url: str) -> Self:
        """Return what an address says. Raise InvalidOption, with no secret in its text, where it can't be read."""
        scheme, _, rest = url.partition("://")
        rest, _, query = rest.partition("?")
        authority, _, path = rest.partition("/")
        credentials, at, hosts = authority.rpartition("@")
        service, _, database = path.partition("/")
        if not service or "/" in database or not (database.isdecimal() or not database):
            raise _invalid("it does not end with /service, or /service/0 where 0 is the number of the database")
        given = parse_qsl(query)
        own = {name.removeprefix(OF_SENTINELS): value for name, value in given if name.startswith(OF_SENTINELS)}
        if unknown := set(own) - set(KNOWN):
            raise _invalid(f"sentinel_username and sentinel_password are known, and no sentinel_{min(unknown)}")
        more = urlencode([(name, value) for name, value in given if not name.startswith(OF_SENTINELS)])
        return cls(
            sentinels=tuple(_host(text) for text in hosts.split(",")),
            service=unquote(service),
            tls=scheme.startswith("rediss"),
            authority=tuple(own.items()),
            _url=(f"{SCHEMES[scheme]}://{credentials}{at}", f"/{database or 0}{'?' if more else ''}{more}"),
        )

    def server(self, host: str = "", port: int | None = None) -> str:
        """Return the address of one of the service's servers, as the driver takes it; without a host that of any."""
        shown = f"[{host}]" if ":" in host else host
        return self._url[0] + (f"{shown}:{port}" if port else shown) + self._url[1]


def is_sentinel(url: str) -> bool:
    """Return whether an address names sentinels."""
    return url.partition("://")[0] in SCHEMES


def _host(text: str) -> tuple[str, int]:
    found = _HOST.fullmatch(text.strip())
    port = int(found[2] or PORT) if found else 0
    if found is None or not 0 < port < 65536:
        raise _invalid(f"{text!r} is no host:port")
    return found[1].strip("[]"), port


def _invalid(problem: str) -> InvalidOption:
    return InvalidOption(
        f"LOCATION is no address of sentinels: {problem}. Write redis+sentinel://host:26379,host:26379/service/0, "
        "rediss+sentinel:// for TLS."
    )
