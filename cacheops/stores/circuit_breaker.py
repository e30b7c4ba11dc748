"""A circuit breaker: when a region's servers do not answer, stop asking for a while. (Nygard, "Release It!", 2007)"""

import threading
import time
from collections.abc import Callable
from enum import Enum
from typing import ClassVar, TypeVar

from cacheops.conf import conf, on_change
from cacheops.exceptions import InvalidOption, StoreUnavailable

T = TypeVar("T")


class CircuitState(Enum):
    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


class CircuitOpen(StoreUnavailable):
    """The store was not asked, because it did not answer lately."""


class CacheCircuitBreaker:
    """Opens after `failure_threshold` failures in a row; lets one probe through after each `recovery_timeout` seconds.

    With a `pause` (seconds), one caller asks in each pause from the first failure on, and the others go on without:
    a page with many look-ups waits once. The failures of callers that were under way at the time count as one.

    Only StoreUnavailable counts as a failure: a bug in the caller, or a command that the server refuses, does not open
    it. Safe for threads. `clock` is monotonic, in seconds.
    """

    def __init__(
        self,
        failure_threshold: int = 5,
        recovery_timeout: float = 60.0,
        clock: Callable[[], float] = time.monotonic,
        *,
        pause: float = 0.0,
    ) -> None:
        if failure_threshold < 1 or recovery_timeout < 0 or pause < 0:
            raise InvalidOption(
                f"A circuit breaker can't have the threshold {failure_threshold}, the recovery {recovery_timeout} s "
                f"and the pause {pause} s: use a threshold of 1 or more (CACHEOPS_BREAKER_THRESHOLD) and times of 0 "
                "or more (CACHEOPS_BREAKER_RECOVERY, PAUSE_AFTER_FAILURE)."
            )
        self.failure_threshold = failure_threshold
        self.recovery_timeout = recovery_timeout
        self.pause = min(pause, recovery_timeout)
        self._clock = clock
        self._lock = threading.Lock()
        self._failures = 0
        self._next_try: float | None = None  # when one caller may ask; None: all may
        self._probing = False  # that caller was let through, and has not told yet

    @property
    def state(self) -> CircuitState:
        if self._failures < self.failure_threshold:
            return CircuitState.CLOSED
        if self._probing or self.retry_in == 0:
            return CircuitState.HALF_OPEN
        return CircuitState.OPEN

    @property
    def failures(self) -> int:
        """How many in a row there were."""
        return self._failures

    @property
    def retry_in(self) -> float:
        """Seconds until the next caller is let through; 0 where there is nothing to wait for."""
        next_try = self._next_try
        return 0.0 if next_try is None else max(0.0, next_try - self._clock())

    def allows(self, *, urgent: bool = False) -> bool:
        """Say whether the store may be asked now. A caller that hears yes must tell how it went.

        `urgent`: does not wait for a pause to end, only for an open circuit: of an invalidation.
        """
        if self._next_try is None:  # the usual case takes no lock
            return True
        with self._lock:
            if self._next_try is None or (urgent and self._failures < self.failure_threshold):
                return True
            now = self._clock()
            if now < self._next_try:
                return False
            # Should this caller never tell, another may try after the same time.
            self._probing, self._next_try = True, now + self._interval()
            return True

    def _interval(self) -> float:
        return self.pause if self._failures < self.failure_threshold else self.recovery_timeout

    def succeeded(self) -> bool:
        """Note an answer; return whether it has closed the circuit."""
        return self.reset() if self._failures else False

    def failed(self) -> bool:
        """Note that no answer came; return whether this has opened the circuit."""
        with self._lock:
            now = self._clock()
            if self._next_try is not None and now < self._next_try and not self._probing:
                return False  # it was under way when another failed
            was_closed = self._failures < self.failure_threshold
            self._failures += 1
            self._probing = False
            interval = self._interval()
            opened = self._failures >= self.failure_threshold
            self._next_try = now + interval if interval > 0 or opened else None
            return was_closed and opened

    def reset(self) -> bool:
        """Close the circuit; return whether it was open."""
        with self._lock:
            was_open = self._failures >= self.failure_threshold
            self._failures, self._next_try, self._probing = 0, None, False
            return was_open

    def call(self, cache_operation: Callable[[], T], fallback_operation: Callable[[], T]) -> T:
        """Return what the cache operation returns, or the fallback's result while the store does not answer."""
        if not self.allows():
            return fallback_operation()
        try:
            result = cache_operation()
        except StoreUnavailable:
            self.failed()
        except BaseException:
            self.succeeded()  # it answered: the trouble is another
            raise
        else:
            self.succeeded()
            return result
        return fallback_operation()


class _Circuits:
    """The circuits of this process: one a region's servers, whoever asks them."""

    known: ClassVar[dict[tuple[tuple[str, ...], float], CacheCircuitBreaker]] = {}
    lock: ClassVar[threading.Lock] = threading.Lock()


def circuit_of(addresses: tuple[str, ...], pause: float) -> CacheCircuitBreaker:
    """Return the circuit of the servers at these addresses; the engine and the region's cache share it."""
    found = _Circuits.known.get((addresses, pause))
    if found is None:
        made = CacheCircuitBreaker(conf.breaker_threshold, conf.breaker_recovery, pause=pause)
        with _Circuits.lock:
            found = _Circuits.known.setdefault((addresses, pause), made)
    return found


on_change(_Circuits.known.clear)
