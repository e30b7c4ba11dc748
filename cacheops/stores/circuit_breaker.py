"""A circuit breaker: when a region's servers do not answer, stop asking for a while. (Nygard, "Release It!", 2007)"""

import threading
import time
from collections.abc import Callable
from enum import Enum
from functools import partial
from types import TracebackType
from typing import Generic, TypeVar

from cacheops.conf import conf
from cacheops.engine import Component, register_component
from cacheops.exceptions import InvalidOption, ServerRefused, StoreError, StoreUnavailable
from cacheops.instrumentation.counters import counters
from cacheops.instrumentation.minute_log import MinuteLog
from cacheops.stores.reply import OnResult, Reply

PAUSE = 1.0  # seconds after an unanswered call until one caller asks again, where PAUSE_AFTER_FAILURE says nothing
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
        self.log = MinuteLog()  # of whoever asks this store
        self.watchers: dict[str, Callable[[StoreUnavailable | None], None]] = {}  # told what opened it; None: closed
        self._clock = clock
        self._lock = threading.Lock()
        self._failures = 0
        self.reason = ""  # of the last failure
        self._next_try: float | None = None  # when one caller may ask; None: all may
        self._probing = False  # that caller was let through, and has not reported yet

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

    def guard(
        self,
        name: str = "",
        *,
        on_failure: "Callable[[StoreUnavailable], None] | None" = None,
        urgent: bool = False,
    ) -> "Guard":
        """Return the guard of requests to the store; the only way to ask this circuit and to report to it.

        `on_failure` is called with each error. `urgent` does not wait for a pause to end, only for an open circuit: for
        invalidation.
        """
        return Guard(self, name, on_failure, urgent)

    def is_usable(self, *, urgent: bool = False) -> bool:
        """Return whether the store may be asked without this being a probe."""
        return self._next_try is None or (urgent and self._failures < self.failure_threshold)

    def allows(self, *, urgent: bool = False) -> bool:
        """Return whether the store may be asked now. If True, the caller must report the outcome, as a guard does."""
        with self._lock:
            if self.is_usable(urgent=urgent):
                return True
            now = self._clock()
            if self._next_try is not None and now < self._next_try:
                return False
            # Should this caller not report (its thread was killed), another may try after the same time.
            self._probing, self._next_try = True, now + self._interval()
            return True

    def _interval(self) -> float:
        return self.pause if self._failures < self.failure_threshold else self.recovery_timeout

    def succeeded(self) -> bool:
        """Record an answer; return whether it has closed the circuit."""
        return self.reset() if self._failures else False

    def abandoned(self) -> None:
        """Record that a caller ended without an answer or a failure: if it was the probe, another may ask at once."""
        with self._lock:
            if self._probing:
                self._probing, self._next_try = False, self._clock()

    def failed(self) -> bool:
        """Record that no answer came; return whether this has opened the circuit."""
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

    def tell(self, error: StoreUnavailable | None) -> None:
        """Tell the watchers what has opened this circuit; None when an answer has closed it."""
        for watcher in list(self.watchers.values()):
            watcher(error)

    def refused(self, name: str, error: ServerRefused) -> None:
        """Count a refusal, which is an answer: the circuit stays as it is. Log one line a kind and minute."""
        counters.event("refusals", **{error.kind: 1})
        self.log.warning(error.kind, "%s refuses; what it was to do is left out, or done later: %s", name, error)

    def reset(self) -> bool:
        """Close the circuit; return whether it was open."""
        with self._lock:
            was_open = self._failures >= self.failure_threshold
            self._failures, self._next_try, self._probing = 0, None, False
            return was_open

    def call(self, cache_operation: Callable[[], T], fallback_operation: Callable[[], T]) -> T:
        """Return what the cache operation returns, or the fallback's result while the store does not answer."""
        try:
            with self.guard():
                return cache_operation()
        except StoreUnavailable:
            pass  # the fallback's own errors are raised without this one as their context
        return fallback_operation()


class Guard:
    """Asks a circuit before a request, and always reports the outcome to it.

    As a context manager it stands around requests whose answers are taken within the block: it raises CircuitOpen
    instead of entering. StoreUnavailable is a failure, CommandRefused an answer; any other error says nothing of the
    store. A guard keeps no state: one serves all threads, and blocks may overlap, but not nest.
    """

    __slots__ = ("_name", "_on_failure", "_urgent", "circuit")

    def __init__(
        self,
        circuit: CacheCircuitBreaker,
        name: str,
        on_failure: Callable[[StoreUnavailable], None] | None,
        urgent: bool,
    ) -> None:
        self.circuit = circuit
        self._name = name
        self._on_failure = on_failure
        self._urgent = urgent

    def __enter__(self) -> None:
        circuit = self.circuit
        if circuit._next_try is not None and not circuit.allows(urgent=self._urgent):
            raise CircuitOpen(
                f"{self._name or 'The store'} has not answered lately; it is asked again when its circuit closes. The "
                f"last error: {circuit.reason}"
            )

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if error is not None or self.circuit._failures:
            self.report(error)

    def report(self, error: BaseException | None) -> None:
        """Report the outcome of a request: None for an answer."""
        if isinstance(error, ServerRefused):
            self.circuit.refused(self._name, error)
        if error is None or (isinstance(error, StoreError) and not isinstance(error, StoreUnavailable)):
            if self.circuit.succeeded():
                self.circuit.tell(None)
        elif isinstance(error, StoreUnavailable) and not isinstance(error, CircuitOpen):
            self.circuit.reason = str(error)
            if self.circuit.failed():
                self.circuit.tell(error)
            if self._on_failure is not None:
                self._on_failure(error)
        else:
            self.circuit.abandoned()

    def send(self, send: Callable[[], Reply[T]]) -> Reply[T]:
        """Send a request and return a reply that reports the outcome: it must be waited for. Raise CircuitOpen."""
        self.__enter__()
        try:
            return _GuardedReply(self, send())
        except BaseException as error:
            self.report(error)
            raise

    def send_nowait(self, send: Callable[[], Reply[T]], on_result: OnResult[T]) -> bool:
        """Send a request that is not waited for, unless it would be a probe; return whether it was sent.

        Its outcome may be known much later, when this thread next uses the store.
        """
        if not self.circuit.is_usable(urgent=self._urgent):
            return False
        _GuardedReply(self, send()).on_result(on_result)
        return True


class _GuardedReply(Generic[T]):
    """A reply whose outcome is reported to a circuit."""

    __slots__ = ("_guard", "_reply")

    def __init__(self, guard: Guard, reply: Reply[T]) -> None:
        self._guard = guard
        self._reply = reply

    def result(self) -> T:
        try:
            found = self._reply.result()
        except BaseException as error:
            self._guard.report(error)
            raise
        self._guard.report(None)
        return found

    def on_result(self, callback: OnResult[T]) -> None:
        self._reply.on_result(partial(self._report_and_pass_on, callback))

    def _report_and_pass_on(self, callback: OnResult[T], outcome: T | StoreError) -> None:
        self._guard.report(outcome if isinstance(outcome, StoreError) else None)
        callback(outcome)


class Circuits(Component):
    """The circuits of this process: one a region's servers, whoever asks them."""

    def __init__(self) -> None:
        self.known: dict[tuple[tuple[str, ...], float], CacheCircuitBreaker] = {}
        self.lock = threading.Lock()

    def settings_changed(self) -> None:
        self.known.clear()


circuits = register_component(Circuits())


def circuit_of(addresses: tuple[str, ...], pause: float) -> CacheCircuitBreaker:
    """Return the circuit of the servers at these addresses; the engine and the region's cache share it."""
    found = circuits.known.get((addresses, pause))
    if found is None:
        made = CacheCircuitBreaker(conf.breaker_threshold, conf.breaker_recovery, pause=pause)
        with circuits.lock:
            found = circuits.known.setdefault((addresses, pause), made)
    return found
