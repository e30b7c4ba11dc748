"""Hinted handoff: deletes that a process keeps for a region's servers while they do not take writes.

A write that fails open would leave the old value in place, to be served when the servers are back: a session that was
signed out would live on. So a delete of its key is kept, and sent before anything else is asked. (The name is from
DeCandia et al., "Dynamo: Amazon's Highly Available Key-value Store", SOSP 2007.)
"""

import logging
import threading
import time
from collections.abc import Iterable

from cacheops.engine import Component, register_component
from cacheops.exceptions import StoreUnavailable
from cacheops.redis import PooledTransport
from cacheops.redis.options import ServerOptions
from cacheops.stores.circuit_breaker import Guard, circuit_of

logger = logging.getLogger("cacheops.backends")

LOG_EVERY = 60.0  # seconds between two lines about one outage
MAX_HINTS = 10_000  # keys; an outage with more writes ends with the alias cleared
DELETE_BATCH = 1000  # keys looked at in one round trip of a clear


class HintedHandoff:
    """The deletes kept for one region's servers, shared by all threads. When to ask, the servers' circuit says."""

    def __init__(self, addresses: tuple[str, ...], pause: float) -> None:
        self.failing = False  # the servers do not answer
        self.due = False  # they did not, or there are deletes to send
        self._addresses = addresses
        self._pause = pause
        self._lock = threading.Lock()
        self._guard: Guard | None = None
        self._failures = 0
        self._began = self._logged = 0.0
        self._keys: set[str] = set()
        self._patterns: set[str] = set()

    @staticmethod
    def of(options: ServerOptions, pause: float) -> "HintedHandoff":
        """Return the state of these servers; `pause` is in seconds."""
        with handoffs.lock:
            return handoffs.known.setdefault((options, pause), HintedHandoff(options.urls, pause))

    @property
    def guard(self) -> Guard:
        """Return the guard of the servers' circuit, which the engine's store shares: one outage is found out once."""
        circuit = circuit_of(self._addresses, self._pause)
        guard = self._guard
        if guard is None or guard.circuit is not circuit:
            guard = self._guard = circuit.guard(f"Cache {self}", on_failure=self._failed)
        return guard

    def _failed(self, error: StoreUnavailable) -> None:
        """Record that no answer came; say so in the log, once a minute."""
        now = time.monotonic()
        with self._lock:
            if not self.failing:
                self.failing, self.due, self._began, self._failures = True, True, now, 0
                self._logged = now - LOG_EVERY
            self._failures += 1
            if now - self._logged < LOG_EVERY:
                return
            self._logged = now
        logger.warning("Cache %s: going on without it, %d calls unanswered so far: %s", self, self._failures, error)

    def hint(self, keys: Iterable[str], whole_alias: str) -> None:
        """Keep deletes of keys whose old values must not be served; `whole_alias` is the pattern of all its keys."""
        with self._lock:
            self.due = True
            self._keys.update(keys)
            if len(self._keys) > MAX_HINTS:
                self._keys.clear()
                self._patterns.add(whole_alias)

    def replay(self, transport: PooledTransport) -> None:
        """Send the deletes. Raise StoreError when the servers still do not take them; all are kept then."""
        with self._lock:
            keys, patterns = list(self._keys), list(self._patterns)
        for pattern in patterns:
            for batch in transport.servers.scan(pattern, DELETE_BATCH):
                transport.run_many([("UNLINK", key) for key in batch])
        transport.run_many([("UNLINK", key) for key in keys])
        with self._lock:
            self._keys.difference_update(keys)
            self._patterns.difference_update(patterns)

    def answered(self) -> None:
        """Record that the servers answer; the outage ends unless other threads have added deletes by now."""
        with self._lock:
            if self._keys or self._patterns:
                return
            was_failing, self.failing, self.due = self.failing, False, False
            lasted = time.monotonic() - self._began
        if not was_failing:
            return
        logger.warning("Cache %s: answers again after %.1f s", self, lasted)

    def __str__(self) -> str:
        return self._addresses[0].rpartition("@")[2]  # no password in the log


class HintedHandoffs(Component):
    """What is known of the servers of this process's caches."""

    def __init__(self) -> None:
        self.known: dict[tuple[ServerOptions, float], HintedHandoff] = {}
        self.lock = threading.Lock()


handoffs = register_component(HintedHandoffs())
