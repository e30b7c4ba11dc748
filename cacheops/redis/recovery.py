"""Purge what an unknown server has brought back, then accept it: nothing of before may be read (R21, R22).

One process does it for all, in a thread, as it may take longer than a request may wait: a second for 400,000 keys.
"""

import logging
import os
import threading
from collections.abc import Sequence
from typing import Any, cast

import redis
from redis.exceptions import ConnectionError, ResponseError

from cacheops.conf import conf
from cacheops.engine import Component, register_component
from cacheops.instrumentation.counters import counters
from cacheops.redis.errors import DRIVER_ERRORS
from cacheops.redis.identity import ACCEPT, RECORD, KeySet, Verdict, explained, key_sets
from cacheops.redis.options import ServerOptions

logger = logging.getLogger("cacheops")

BATCH = 1000  # keys looked at in one round trip: some 0.3 ms of the server's time
LOCK_MILLISECONDS = 10_000  # after which another process goes on where one has died; each batch extends it


class Runs(Component):
    """The recoveries of this process: one a server, by its addresses and run_id."""

    def __init__(self) -> None:
        self.known: dict[tuple[tuple[str, ...], str], _Run] = {}
        self.lock = threading.Lock()


runs = register_component(Runs())


class Recovery:
    """Recovers the servers at one address, or of one cluster. `url` says how to connect."""

    def __init__(self, options: ServerOptions, url: str, settings: dict[str, Any]) -> None:
        self._options = options
        self._url = url
        self._settings = settings

    def __call__(self, connection: Any, key: str, verdict: Verdict) -> None:
        """Start to recover a server, and wait for it as long as for an answer. Raise the driver's error why not."""
        name = (self._options.urls, verdict.run_id)
        with runs.lock:
            run = runs.known.get(name)
            if run is None or not run.is_alive():
                sets = [one for one in key_sets(self._options.urls).values() if one.name in verdict.unpurged]
                run = runs.known[name] = _Run(self._client(connection), key, verdict, sets)
                run.start()
        run.join(self._options.socket_timeout)
        if run.error is not None:
            raise run.error

    def _client(self, connection: Any) -> redis.Redis:
        """Return a client of the server that a connection leads to, which does not recognise it."""
        pool = redis.ConnectionPool.from_url(self._url, **self._settings | {"decode_responses": False})
        if hasattr(connection, "port"):  # none at a Unix socket
            pool.connection_kwargs.update(host=connection.host, port=connection.port)
        return redis.Redis(connection_pool=pool)


class _Run(threading.Thread):
    """The recovery of one server by this process. `error` is set where it failed, or another process is at it."""

    def __init__(self, client: redis.Redis, key: str, verdict: Verdict, sets: Sequence[KeySet]) -> None:
        super().__init__(name="cacheops-recovery", daemon=True)
        self.error: Exception | None = None
        self._client = client
        self._key = key
        self._verdict = verdict
        self._sets = sets
        self._lock = f"{key}:lock:{verdict.run_id}"  # of this process: an older snapshot brings none of its locks
        self._token = os.urandom(8).hex()

    def run(self) -> None:
        try:
            if not self._client.set(self._lock, self._token, nx=True, px=LOCK_MILLISECONDS):
                raise ConnectionError("The server has come back or is new; another process purges it.")
            try:
                self._recover()
            finally:
                if self._holds_lock():
                    self._client.delete(self._lock)
        except ResponseError as error:
            self.error = explained(error)
        except DRIVER_ERRORS as error:
            self.error = error
        finally:
            self._client.close()

    def _holds_lock(self) -> bool:
        """Return whether the lock is still this one's, and extend it."""
        return self._client.getex(self._lock, px=LOCK_MILLISECONDS) == self._token.encode()

    def _recover(self) -> None:
        purged = sum(self._purge(one) for one in self._sets)
        run_id, history, names = self._verdict.run_id, self._verdict.history, [one.name for one in self._sets]
        grace = round(conf.mark_seconds * 1000)
        accepted = self._client.eval(ACCEPT, 1, self._key, run_id, history, grace, *names)
        if not accepted:
            raise ConnectionError("Another server has taken over, or this one follows another.")
        counters.event("recovery", servers=1, keys=purged)
        logger.warning(
            "The server %s (run_id %s) was started from older data, or is new: %d keys of %s were purged, and nothing "
            "is leased on it for %g s.",
            self._server(),
            run_id,
            purged,
            ", ".join(names),
            conf.mark_seconds,
        )

    def _server(self) -> str:
        kwargs = self._client.connection_pool.connection_kwargs
        return f"{kwargs['host']}:{kwargs['port']}" if "host" in kwargs else kwargs["path"]

    def _purge(self, keys: KeySet) -> int:
        """Purge what matches, and return how many keys that were."""
        purged, cursor = 0, None
        while cursor != 0:
            if not self._holds_lock():
                raise ConnectionError("Another process purges the server, as this one was too slow.")
            cursor, found = self._client.scan(cursor or 0, match=keys.pattern, count=BATCH)
            with self._client.pipeline(transaction=False) as pipeline:
                for key in cast("list[bytes]", found):
                    command = keys.command(key)
                    if command is not None and not key.startswith(RECORD.encode()):
                        pipeline.execute_command(*command)
                purged += sum(pipeline.execute())
        return purged
