"""django-redis clients for a region's servers: the same operations on a primary with readers and on a cluster.

django-redis has no client for a cluster and keeps one pool an address, whatever the options; its batches, `incr`,
`touch` and `clear` fail on a cluster or under an access list, or lose digits, tries or the race. They are made anew
here on cacheops.redis; its commands for sets, hashes and sorted sets work as they are, on one key each.
"""

from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property
from typing import Any

from django.core.cache.backends.base import DEFAULT_TIMEOUT, BaseCache
from django_redis.client import DefaultClient
from django_redis.util import CacheKey

from cacheops import redis
from cacheops.backends.common import MISSING
from cacheops.backends.glob import escaped
from cacheops.backends.scripts import EXTEND, INCREMENT, REPLACE
from cacheops.exceptions import CorruptEntry, InvalidOption
from cacheops.redis.options import ServerOptions, urls_in

SCAN_BATCH = 1000  # keys looked at in one round trip: about 0.3 ms of the server's time
INT64 = range(-(2**63), 2**63)  # what INCRBY can count
OWN_OPTIONS = {
    *("CLIENT_CLASS", "STORE", "IGNORE_EXCEPTIONS", "PAUSE_AFTER_FAILURE", "NEAR_BYTES", "CLOSE_CONNECTION"),
    *("SERIALIZER", "COMPRESSOR", "PICKLE_VERSION", "MAX_ENTRIES", "CULL_FREQUENCY"),
}


class RegionClient(DefaultClient):
    """A region's servers; their address says that sentinels know them, or the first use whether they are a cluster."""

    cluster: bool | None = None

    def __init__(self, server: Any, params: dict[str, Any], backend: BaseCache) -> None:
        super().__init__(urls_in(server), params, backend)
        unknown = set(self._options) - OWN_OPTIONS - ServerOptions.setting_names()
        if unknown:
            hint = " LOCATION names sentinels: redis+sentinel://host,host/service/0." if "SENTINELS" in unknown else ""
            raise InvalidOption(
                f"CACHES OPTIONS has {', '.join(sorted(unknown))}, which RegionCache does not know.{hint}"
            )
        self.server_options = ServerOptions.from_settings(self._server, self._options, cluster=self.cluster)

    @cached_property
    def servers(self) -> redis.Servers:
        return redis.servers(self.server_options)

    @cached_property
    def transport(self) -> redis.PooledTransport:
        return redis.PooledTransport(self.servers)

    def connect(self, index: int = 0) -> Any:
        """Return the raw client, for django-redis' own commands; `index` is always that of the primary."""
        return self.servers.client

    def get_next_client_index(self, write: bool = True, tried: list[int] | None = None) -> int:
        """Send django-redis' own commands to the primary, or the cluster."""
        return 0

    def disconnect(self, index: int = 0, client: Any = None) -> None:
        """Close the connections that are idle."""
        for node in self.servers.nodes():
            node.connection_pool.disconnect(inuse_connections=False)

    # Keys and values

    def make_key(self, key: str, version: int | None = None, prefix: str | None = None) -> CacheKey:
        if isinstance(key, CacheKey):
            return key
        backend = self._backend
        full = backend.key_func(
            key, backend.key_prefix if prefix is None else prefix, backend.version if version is None else version
        )
        backend.validate_key(full)
        return CacheKey(full)

    def make_pattern(self, pattern: str, version: int | str | None = None, prefix: str | None = None) -> str:
        backend = self._backend
        wanted = escaped(str(backend.version if version is None else version))
        return str(backend.key_func(pattern, escaped(backend.key_prefix if prefix is None else prefix), wanted))

    def encode(self, value: Any, *, allow_int: bool = True) -> bytes | int:
        return super().encode(value, allow_int=allow_int and type(value) is int and value in INT64)

    def decode(self, value: bytes) -> Any:
        if value[:1] in b"-0123456789":  # most values are none: spares them a failed int()
            return super().decode(value)
        return self._serializer.loads(self._compressor.decompress(value))

    def _milliseconds(self, timeout: float | None) -> int | None:
        if timeout is DEFAULT_TIMEOUT:
            timeout = self._backend.default_timeout
        return None if timeout is None else int(timeout * 1000)

    # One key

    def get(self, key: str, default: Any = None, version: int | None = None) -> Any:
        nkey = self.make_key(key, version)
        value = self.transport.read(("GET", nkey))
        return default if value is None else self._decoded(value, default)

    def _decoded(self, value: bytes, default: Any) -> Any:
        """Return a value; the default for bytes that TypedSerializer does not know: an earlier release's, say."""
        try:
            return self.decode(value)
        except CorruptEntry:
            return default

    def set(
        self,
        key: str,
        value: Any,
        timeout: float | None = DEFAULT_TIMEOUT,
        version: int | None = None,
        nx: bool = False,
        xx: bool = False,
    ) -> bool:
        nkey = self.make_key(key, version)
        expiry = self._milliseconds(timeout)
        if expiry is not None and expiry <= 0:  # expires at once: as good as deleted, but `nx` leaves what is there
            return not self.has_key(nkey) if nx else bool(self.delete(nkey))
        command = self._set_command(nkey, self.encode(value), expiry)
        if nx or xx:
            command = (*command, "NX" if nx else "XX")
        return bool(self.transport.run(command, nkey))

    def _set_command(self, nkey: str, encoded: bytes | int, expiry: int | None) -> redis.Command:
        if expiry is None:
            return ("SET", nkey, encoded)
        return ("SET", nkey, encoded, "PX", expiry) if expiry > 0 else ("UNLINK", nkey)

    def has_key(self, key: str, version: int | None = None) -> bool:
        nkey = self.make_key(key, version)
        return bool(self.transport.read(("EXISTS", nkey)))

    def delete(self, key: str, version: int | None = None, prefix: str | None = None) -> int:
        nkey = self.make_key(key, version, prefix)
        return int(self.transport.run(("UNLINK", nkey), nkey))

    def touch(self, key: str, timeout: float | None = DEFAULT_TIMEOUT, version: int | None = None) -> bool:
        nkey = self.make_key(key, version)
        expiry = self._milliseconds(timeout)
        if expiry is None:  # PERSIST alone says no of a key that never expires, though it is there
            return bool(self.transport.run_many([("EXISTS", nkey), ("PERSIST", nkey)])[0])
        return bool(self.transport.run(("PEXPIRE", nkey, expiry), nkey))

    def get_and_touch(self, key: str, timeout: float, default: Any = None, version: int | None = None) -> Any:
        nkey = self.make_key(key, version)
        value = self.transport.run(("GETEX", nkey, "PX", self._milliseconds(timeout)), nkey)
        return default if value is None else self._decoded(value, default)

    def extend(self, key: str, limit: float, factor: float, version: int | None = None) -> bool:
        nkey = self.make_key(key, version)
        return bool(self.transport.run(("EVAL", EXTEND, 1, nkey, self._milliseconds(limit), factor), nkey))

    def set_max(self, key: str, value: Any, timeout: float, version: int | None = None) -> bool:
        nkey = self.make_key(key, version)
        while True:
            held = self.transport.run(("GET", nkey), nkey)
            if held is not None and self._decoded(held, value) > value:
                return False
            new = self.encode(value), "PX", self._milliseconds(timeout)
            if self.transport.run(("EVAL", REPLACE, 1, nkey, held or b"", *new), nkey):
                return True

    def ttl(self, key: str, version: int | None = None) -> int | None:
        """Return the seconds left; None for a key that never expires, 0 for one that is not there."""
        return self._left("TTL", key, version)

    def pttl(self, key: str, version: int | None = None) -> int | None:
        """Return the milliseconds left; None for a key that never expires, 0 for one that is not there."""
        return self._left("PTTL", key, version)

    def _left(self, command: str, key: str, version: int | None) -> int | None:
        nkey = self.make_key(key, version)
        left = int(self.transport.read((command, nkey)))
        return None if left == -1 else max(left, 0)

    def incr(self, key: str, delta: int = 1, version: int | None = None, ignore_key_check: bool = False) -> int:
        """Add to a number without a race. Raises ValueError when the key is not there, unless that is not checked."""
        nkey = self.make_key(key, version)
        answer = self.transport.run(("EVAL", INCREMENT, 1, nkey, delta), nkey)
        if answer is None and ignore_key_check:
            self.set(key, 0, None, version, nx=True)  # INCRBY takes no more than 64 bits
            return self.incr(key, delta, version)
        if answer is None:
            raise ValueError(f"Key '{key}' not found")
        return int(answer) if isinstance(answer, bytes) else self._incr_by_replacing(key, nkey, delta)

    def _incr_by_replacing(self, key: str, nkey: CacheKey, delta: int) -> Any:
        """Add to what the server cannot count: a float, a bool, an integer beyond 64 bits."""
        while True:
            held = self.transport.run(("GET", nkey), nkey)
            if held is None:
                raise ValueError(f"Key '{key}' not found")
            value = self.decode(held) + delta
            if self.transport.run(("EVAL", REPLACE, 1, nkey, held, self.encode(value), "KEEPTTL"), nkey):
                return value

    def decr(self, key: str, delta: int = 1, version: int | None = None) -> int:
        return self.incr(key, -delta, version)

    def incr_version(self, key: str, delta: int = 1, version: int | None = None) -> int:
        """Move a value to another version of its key, with its expiry; the two may live on different servers."""
        version = self._backend.version if version is None else version
        old, new = self.make_key(key, version), self.make_key(key, version + delta)
        value, left = self.transport.run_many([("GET", old), ("PTTL", old)])
        if value is None:
            raise ValueError(f"Key '{key}' not found")
        self.transport.run(self._set_command(new, value, left if left >= 0 else None), new)
        self.transport.run(("UNLINK", old), old)
        return version + delta

    # Many keys

    def get_many(self, keys: Iterable[str], version: int | None = None) -> dict[str, Any]:
        names = {self.make_key(key, version): key for key in keys}
        held = zip(names, self.transport.values(list(names)), strict=True)
        found = {names[nkey]: self._decoded(value, MISSING) for nkey, value in held if value is not None}
        return {key: value for key, value in found.items() if value is not MISSING}

    def set_many(
        self, data: Mapping[str, Any], timeout: float | None = DEFAULT_TIMEOUT, version: int | None = None
    ) -> list[str]:
        expiry = self._milliseconds(timeout)
        self.transport.run_many(
            [self._set_command(self.make_key(key, version), self.encode(value), expiry) for key, value in data.items()]
        )
        return []

    def add_many(
        self, data: Mapping[str, Any], timeout: float | None = DEFAULT_TIMEOUT, version: int | None = None
    ) -> int:
        expiry = self._milliseconds(timeout)
        if expiry is not None and expiry <= 0:  # expires at once
            return 0
        commands = [
            (*self._set_command(self.make_key(key, version), self.encode(value), expiry), "NX")
            for key, value in data.items()
        ]
        return sum(answer is not None for answer in self.transport.run_many(commands))

    def delete_many(self, keys: Iterable[str], version: int | None = None) -> int:
        return sum(self.transport.run_many([("UNLINK", self.make_key(key, version)) for key in keys]))

    # By pattern: SCAN on every primary, never KEYS or FLUSHDB

    def clear(self) -> None:
        """Delete the keys of this alias, all versions; those of other prefixes stay."""
        self.delete_matching(self.whole_alias())

    def whole_alias(self) -> str:
        """Return the pattern of all keys of this alias, of every version."""
        return str(self._backend.key_func("*", escaped(self._backend.key_prefix), "*"))

    def delete_pattern(
        self, pattern: str, version: int | None = None, prefix: str | None = None, itersize: int | None = None
    ) -> int:
        return self.delete_matching(self.make_pattern(pattern, version, prefix), itersize)

    def delete_matching(self, full_pattern: str, itersize: int | None = None) -> int:
        """Delete what matches, batch by batch, and return how many keys there were."""
        return sum(
            sum(self.transport.run_many([("UNLINK", key) for key in batch]))
            for batch in self.servers.scan(full_pattern, itersize or SCAN_BATCH)
        )

    def iter_keys(self, search: str, itersize: int | None = None, version: int | None = None) -> Iterator[str]:
        for batch in self.servers.scan(self.make_pattern(search, version), itersize or SCAN_BATCH):
            yield from (self._own_part(key.decode(), version) for key in batch)

    def _own_part(self, full: str, version: int | None) -> str:
        """Return the caller's part of a full key; django-redis' way fails where the prefix has a colon."""
        head = self._backend.make_key("", version)
        return full.removeprefix(head) if full.startswith(head) else self.reverse_key(full)

    def keys(self, search: str, version: int | None = None) -> list[str]:
        return list(self.iter_keys(search, version=version))

    # Locks

    def lock(
        self,
        key: str,
        version: int | None = None,
        timeout: float | None = None,
        sleep: float = 0.1,
        blocking: bool = True,
        blocking_timeout: float | None = None,
        thread_local: bool = True,
    ) -> redis.RegionLock:
        """Return a lock; give a `timeout`, or a holder that dies keeps it for ever."""
        return self.servers.lock(
            self.make_key(key, version),
            timeout=timeout,
            sleep=sleep,
            blocking=blocking,
            blocking_timeout=blocking_timeout,
            thread_local=thread_local,
        )


class PairClient(RegionClient):
    """A primary with readers: the first LOCATION takes the writes; READ_FROM says who answers reads."""

    cluster = False


class ClusterClient(RegionClient):
    """A cluster: LOCATION names servers to ask for its layout."""

    cluster = True
