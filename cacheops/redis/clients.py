"""The driver's clients with our retries and errors, and the statistics of their pools."""

import contextlib
import threading
import time
from collections.abc import Callable, Collection, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from functools import partial
from typing import Any

import redis
from redis.backoff import NoBackoff
from redis.cluster import ClusterNode, LoadBalancingStrategy, RedisCluster
from redis.connection import BlockingConnectionPool, parse_url
from redis.exceptions import LockError, NoScriptError
from redis.lock import Lock
from redis.observability.attributes import DB_CLIENT_CONNECTION_STATE, ConnectionState
from redis.retry import Retry
from redis.sentinel import SentinelConnectionPool

from cacheops.exceptions import LockLost, LockNotAcquired, StoreUnavailable
from cacheops.redis.errors import DRIVER_ERRORS, RetryPolicy, translate
from cacheops.redis.identity import Recognition
from cacheops.redis.options import ServerOptions
from cacheops.redis.recovery import Recovery

# Seconds for a server to say that it lives, when looking for one that knows the layout; less where calls may take less.
PROBE_TIMEOUT = 0.5

# A connection of a region does not name its library: CLIENT SETINFO is three round trips, 0.2 s across the country.
UNNAMED: dict[str, Any] = {"driver_info": None}


class _Retrying:
    """For a client of the driver: retries by our policy, and our errors."""

    policy: RetryPolicy

    def execute_command(self, *args: Any, **options: Any) -> Any:
        run: Callable[[], Any] = partial(super().execute_command, *args, **options)  # type: ignore[misc]
        started = time.monotonic()
        try:
            return run()
        except NoScriptError:  # the driver's own scripts answer this by loading themselves
            raise
        except DRIVER_ERRORS as error:
            return self.policy.call(run, self._recover, self.refresh_soon, error, started, unless=(NoScriptError,))

    def _recover(self, error: Exception, failures: int) -> None:
        self.refresh()

    def refresh(self) -> None:
        """Make the next try another server's, if it is another that serves now. Raises nothing."""

    def refresh_soon(self) -> None:
        """Do the same without making the caller wait."""
        self.refresh()


class RegionRedis(_Retrying, redis.Redis):
    """A client of one server that retries by our policy and raises our errors."""

    @classmethod
    def to(
        cls,
        url: str,
        options: ServerOptions,
        *,
        reader: bool = False,
        pool_class: type[BlockingConnectionPool] = BlockingConnectionPool,
        **more: Any,
    ) -> "RegionRedis":
        """Return a client with a pool of its own. Nothing is sent yet.

        `reader` says that a replica may answer; `more` are arguments of the pool's class.
        """
        settings = connection_settings(options)
        recognition = Recognition(options, Recovery(options, url, settings), reader=reader)
        connecting = settings | UNNAMED | {"redis_connect_func": recognition.connect}
        pool = pool_class.from_url(url, timeout=options.pool_wait, **connecting, **more)
        client = cls(connection_pool=pool)
        client.policy = RetryPolicy(options)
        return client

    def refresh(self) -> None:
        """Connect anew: after a failover the same name leads to another server."""
        self.connection_pool.disconnect(inuse_connections=False)


class RegionCluster(_Retrying, RedisCluster):
    """A client of a cluster that retries by our policy and raises our errors."""

    def __init__(self, options: ServerOptions) -> None:
        addresses = [(parts["host"], parts.get("port", 6379)) for parts in map(parse_url, options.urls)]
        self._start = [ClusterNode(host, port) for host, port in addresses]
        addresses = [(node.host, node.port) for node in self._start]  # as the driver writes them
        self._mapped = dict(options.address_map)
        self._refreshing = threading.Lock()
        self._refreshed_at = time.monotonic()
        self._probe_timeout = min(PROBE_TIMEOUT, options.socket_timeout)
        self.policy = RetryPolicy(options)
        settings = connection_settings(options)
        recognition = Recognition(options, Recovery(options, options.urls[0], settings))
        settings = settings | UNNAMED
        self._sample = redis.ConnectionPool.from_url(  # says how to connect, to probe
            options.urls[0], redis_connect_func=recognition.connect, **settings
        )
        living = self._first_to_answer(self._start)  # the driver would ask one after the other, frozen ones too
        if living is None:
            raise StoreUnavailable(f"None of the {len(self._start)} start nodes of the cluster answers.")
        try:
            super().__init__(
                url=options.urls[addresses.index((living.host, living.port))],
                # partial: the cluster client drops a health_check_interval that is given to it
                connection_pool_class=partial(
                    BlockingConnectionPool, health_check_interval=options.health_check_interval
                ),
                timeout=options.pool_wait,
                require_full_coverage=False,  # one shard's loss leaves the others in service
                load_balancing_strategy=LoadBalancingStrategy.RANDOM_REPLICA if options.reads_readers else None,
                address_remap=self.reachable if self._mapped else None,
                redis_connect_func=recognition.recognise,  # after what the driver itself does
                **settings,
            )
        except DRIVER_ERRORS as error:
            raise translate(error) from error

    def refresh(self) -> None:
        """Ask a living server who serves what; threads that come while one asks share its answer.

        The addresses of the settings are asked too: every server known by now may have been replaced.
        """
        asked_at = time.monotonic()
        with self._refreshing:
            if self._refreshed_at > asked_at:
                return
            living = self._first_to_answer({node.name: node for node in [*self.get_nodes(), *self._start]}.values())
            if living is not None:
                self.nodes_manager.startup_nodes = {living.name: living}  # the driver would wait for frozen ones
                with contextlib.suppress(*DRIVER_ERRORS):  # it died meanwhile: the next try will say so
                    self.nodes_manager.initialize()
            self._refreshed_at = time.monotonic()

    @property
    def known_for(self) -> float:
        """Seconds since the layout was last asked for."""
        return time.monotonic() - self._refreshed_at

    def refresh_soon(self) -> None:
        """Refresh in the background: who has waited for a frozen server shall not wait for the others, too."""
        if not self._refreshing.locked():
            with contextlib.suppress(RuntimeError):  # the interpreter ends, and starts no threads any more
                threading.Thread(target=self.refresh, name="cacheops-refresh", daemon=True).start()

    def _first_to_answer(self, nodes: Collection[ClusterNode]) -> ClusterNode | None:
        """Ask all at once: in a region that swallows everything, one after the other would take seconds."""
        asking = ThreadPoolExecutor(len(nodes), thread_name_prefix="cacheops-probe")
        try:
            asked = {asking.submit(self._answers, node): node for node in nodes}
            return next((asked[done] for done in as_completed(asked) if done.result()), None)
        except RuntimeError:  # the interpreter ends, and starts no threads any more
            return None
        finally:
            asking.shutdown(wait=False)

    def _answers(self, node: ClusterNode) -> bool:
        limits = {"socket_timeout": self._probe_timeout, "socket_connect_timeout": self._probe_timeout}
        kwargs = self._sample.connection_kwargs | limits | {"host": node.host, "port": node.port}
        connection = self._sample.connection_class(**kwargs)
        try:
            connection.connect()
            connection.send_command("PING", check_health=False)
            connection.read_response()
        except DRIVER_ERRORS:
            return False
        finally:
            connection.disconnect()
        return True

    def reachable(self, address: tuple[str, int]) -> tuple[str, int]:
        """Return the reachable address for an announced one: ("10.0.0.7", 6379) -> ("127.0.0.1", 16379)."""
        host, _, port = self._mapped.get(f"{address[0]}:{address[1]}", "").rpartition(":")
        return (host, int(port)) if host else address


class _Token(threading.local):
    """A lock's token in each thread. The driver's has none in threads that did not make the lock: AttributeError."""

    token: bytes | None = None


class RegionLock(Lock):
    """The driver's lock with our errors, taken safely: whoever asks again after a lost answer may hold it already."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        if self.thread_local:
            self.local = _Token()

    def do_acquire(self, token: Any) -> bool:
        milliseconds = int(self.timeout * 1000) if self.timeout else None
        held = self.redis.set(self.name, token, nx=True, get=True, px=milliseconds)
        return held is None or self.redis.get_encoder().encode(held) == token

    def __enter__(self) -> "RegionLock":
        if self.acquire():
            return self
        raise LockNotAcquired(f"Lock {self.name!r} is held by another, and the time to wait for it is over.")

    def release(self) -> None:
        with self._ours():
            super().release()

    def extend(self, additional_time: float, replace_ttl: bool = False) -> Any:
        with self._ours():
            return super().extend(additional_time, replace_ttl)

    def reacquire(self) -> Any:
        with self._ours():
            return super().reacquire()

    @contextlib.contextmanager
    def _ours(self) -> Iterator[None]:
        try:
            yield
        except LockError as error:
            raise LockLost(f"Lock {self.name!r}: {error}") from error


@dataclass(frozen=True, slots=True)
class ServerPool:
    """The connections of this process to one server, now."""

    server: str  # host:port, or the path of a Unix socket
    limit: int  # most connections that the pool opens
    idle: int
    in_use: int


def address_of(client: redis.Redis) -> str:
    """Return a server's host:port, or the path of its Unix socket; the service that sentinels have not named yet."""
    pool = client.connection_pool
    if isinstance(pool, SentinelConnectionPool):
        return "{}:{}".format(*pool.master_address) if pool.master_address else str(pool.service_name)
    where = pool.connection_kwargs
    return where["path"] if "path" in where else f"{where['host']}:{where['port']}"


def pool_stats(client: redis.Redis) -> ServerPool:
    """Return the statistics of a client's pool, from what the driver offers publicly."""
    pool = client.connection_pool
    counts = {attributes[DB_CLIENT_CONNECTION_STATE]: count for count, attributes in pool.get_connection_count()}
    return ServerPool(
        address_of(client), pool.max_connections, counts[ConnectionState.IDLE.value], counts[ConnectionState.USED.value]
    )


def connection_settings(options: ServerOptions) -> dict[str, Any]:
    """Return the driver's keyword arguments for a pool, or a cluster's pools."""
    settings: dict[str, Any] = {
        "max_connections": options.max_connections,
        "socket_timeout": options.socket_timeout,
        "socket_connect_timeout": options.socket_connect_timeout,
        "socket_keepalive": options.socket_keepalive,
        "health_check_interval": options.health_check_interval,
        "decode_responses": options.decode_responses,
        "protocol": 2,  # what cacheops/redis/connection.py reads
        "retry": Retry(NoBackoff(), 0),  # RetryPolicy tries again, on the whole command
    }
    if options.urls[0].startswith("unix:"):
        del settings["socket_keepalive"]  # of TCP
    if options.username:
        settings["username"] = options.username
    if options.password:
        settings["password"] = options.password
    if options.ca_certs and options.tls:
        settings["ssl_ca_certs"] = options.ca_certs
    if options.client_cert and options.tls:
        settings["ssl_certfile"], settings["ssl_keyfile"] = options.client_cert, options.client_key
    return settings
