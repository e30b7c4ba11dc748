"""How to reach one region's servers: a value, so that equal options can share one set of connections."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, Self

from redis.connection import parse_url

from cacheops.exceptions import InvalidOption
from cacheops.redis.sentinel_address import SentinelAddress, is_sentinel

READ_SOURCES = ("primary", "readers")


def urls_in(location: str | Sequence[str]) -> tuple[str, ...]:
    """Return the addresses in a CACHES entry's LOCATION: by comma, but for one whose own hosts are."""
    if isinstance(location, str):
        return (location,) if is_sentinel(location) else tuple(location.split(","))
    return tuple(location)


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerOptions:
    """Addresses and connection settings. Times are in seconds; addresses and secrets stay out of the repr."""

    urls: tuple[str, ...] = field(repr=False)  # the primary, then readers; start nodes of a cluster; or of sentinels
    cluster: bool | None = False  # None: whoever uses them first asks
    read_from: str = "primary"  # a replica may lack what the caller has just written: see the decision 0003
    username: str = field(default="", repr=False)
    password: str = field(default="", repr=False)
    max_connections: int = 50  # for each server
    pool_wait: float = 1.0  # for a free connection: a burst of short commands passes in far less
    socket_timeout: float = 5.0
    socket_connect_timeout: float = 5.0
    socket_keepalive: bool = True
    health_check_interval: int = 30  # an idle connection is tried with PING before it is used again
    decode_responses: bool = False  # of raw clients; cached values are bytes all the same
    retries: int = 3
    retry_backoff_base: float = 0.01
    retry_backoff_cap: float = 0.5
    retry_budget: float = 5.0  # no new try after this: a frozen server costs one time-out, not one a try
    ca_certs: str = ""  # file with the authorities to trust, for rediss:// addresses
    client_cert: str = ""  # file with this client's own certificate, where the servers ask for one
    client_key: str = field(default="", repr=False)  # file with its key
    address_map: tuple[tuple[str, str], ...] = ()  # announced "host:port" -> the one to use

    def __post_init__(self) -> None:
        if not self.urls:
            raise InvalidOption("LOCATION is empty: name the servers, as redis://host:port/0.")
        self._check_addresses()
        if self.read_from not in READ_SOURCES:
            raise InvalidOption(f"READ_FROM is {self.read_from!r}: use 'primary' or 'readers'.")
        if self.address_map and self.cluster is False:
            raise InvalidOption("ADDRESS_MAP is for clusters only: give a pair's reachable addresses in LOCATION.")
        if bool(self.client_cert) != bool(self.client_key):
            raise InvalidOption("CLIENT_CERT and CLIENT_KEY belong together: name both files, or none.")
        for name in ("max_connections", "socket_timeout", "socket_connect_timeout"):
            if getattr(self, name) <= 0:
                raise InvalidOption(f"{name.upper()} is {getattr(self, name)}: it must be above 0.")
        for name in ("pool_wait", "health_check_interval", "retries", "retry_backoff_base", "retry_budget"):
            if getattr(self, name) < 0:
                raise InvalidOption(f"{name.upper()} is {getattr(self, name)}: it must not be below 0.")

    def _check_addresses(self) -> None:
        """Raise InvalidOption, with no secret in its text, for an address that can't be read."""
        try:
            for url in self.urls:
                SentinelAddress.parse(url) if is_sentinel(url) else parse_url(url)
        except ValueError:
            raise InvalidOption(
                "LOCATION has an address that can't be read: use redis://user:password@host:6379/0, rediss:// for TLS, "
                "unix:///path, or redis+sentinel://host:26379,host:26379/service/0."
            ) from None
        if self.by_sentinels and len(self.urls) > 1:
            raise InvalidOption("LOCATION has an address of sentinels and others: one names all of them, by comma.")
        if self.by_sentinels and self.cluster:
            raise InvalidOption("CLIENT_CLASS is a cluster's, and LOCATION names sentinels, which watch none: omit it.")

    @property
    def by_sentinels(self) -> bool:
        """Whether sentinels say which servers there are."""
        return any(map(is_sentinel, self.urls))

    @property
    def tls(self) -> bool:
        return self.urls[0].startswith("rediss")

    @property
    def reads_readers(self) -> bool:
        return self.read_from == "readers"

    @classmethod
    def from_settings(cls, urls: Sequence[str], options: Mapping[str, Any], *, cluster: bool | None) -> Self:
        """Return the options of a CACHES entry: MAX_CONNECTIONS sets max_connections, and so on."""
        names = {item.name.upper(): item.name for item in fields(cls) if item.name not in ("urls", "cluster")}
        values = {names[key]: value for key, value in options.items() if key in names}
        if "address_map" in values:
            values["address_map"] = tuple(sorted(values["address_map"].items()))
        return cls(urls=tuple(urls), cluster=cluster, **values)

    @classmethod
    def setting_names(cls) -> set[str]:
        """Return the names that a CACHES entry's OPTIONS may use for connections."""
        return {item.name.upper() for item in fields(cls)} - {"URLS", "CLUSTER"}
