"""A circuit breaker: when a store does not answer, stop asking for a while. (Nygard, "Release It!", 2007)"""

import threading
import time
from collections.abc import Callable
from enum import Enum
from typing import TypeVar

from cacheops.exceptions import StoreUnavailable

T = TypeVar("T")


class CircuitState(Enum):
    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


class CircuitOpen(StoreUnavailable):
    """The store was not asked, because it did not answer lately."""


class CacheCircuitBreaker:
    """Opens after `failure_threshold` failures in a row; lets one probe through after `recovery_timeout` seconds.

    Only StoreUnavailable counts as a failure: a bug in the caller, or a command that the server refuses, does not open
    it. Safe for threads. `clock` is monotonic, in seconds.
    """

    def __init__(
        self, failure_threshold: int = 5, recovery_timeout: float = 60.0, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.failure_threshold = failure_threshold
        self.recovery_timeout = recovery_timeout
        self._clock = clock
        self._lock = threading.Lock()
        self._failures = 0
        self._opened_at: float | None = None
        self._probing = False

    @property
    def state(self) -> CircuitState:
        if self._opened_at is None:
            return CircuitState.CLOSED
        if self._probing or self._clock() - self._opened_at >= self.recovery_timeout:
            return CircuitState.HALF_OPEN
        return CircuitState.OPEN

    def allows(self) -> bool:
        """Say whether the store may be asked now. A caller that hears yes must tell how it went."""
        if self._opened_at is None:  # the usual case takes no lock
            return True
        with self._lock:
            if self._opened_at is None:
                return True
            if self._clock() - self._opened_at < self.recovery_timeout:
                return False
            # Should this caller never tell, another may try after the same time.
            self._probing, self._opened_at = True, self._clock()
            return True

    def succeeded(self) -> bool:
        """Note an answer; return whether it has closed the circuit."""
        return self.reset() if self._failures or self._opened_at is not None else False

    def failed(self) -> bool:
        """Note that no answer came; return whether the circuit was closed until now and is open."""
        with self._lock:
            self._failures += 1
            was_closed = self._opened_at is None
            if self._probing or self._failures >= self.failure_threshold:
                self._opened_at = self._clock()
            self._probing = False
            return was_closed and self._opened_at is not None

    def reset(self) -> bool:
        """Close the circuit; return whether it was open."""
        with self._lock:
            was_open = self._opened_at is not None
            self._failures, self._opened_at, self._probing = 0, None, False
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
