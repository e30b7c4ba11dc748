"""The circuit breaker, with a clock of the test's."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from cacheops.exceptions import CommandRefused, InvalidOption, StoreUnavailable
from cacheops.stores.circuit_breaker import CacheCircuitBreaker, CircuitState


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def breaker(clock: Clock) -> CacheCircuitBreaker:
    return CacheCircuitBreaker(failure_threshold=3, recovery_timeout=10.0, clock=clock)


def fail(breaker: CacheCircuitBreaker, times: int) -> list[bool]:
    return [breaker.failed() for _ in range(times)]


def test_it_opens_after_failures_in_a_row(breaker: CacheCircuitBreaker) -> None:
    assert fail(breaker, 3) == [False, False, True]
    assert breaker.state is CircuitState.OPEN
    assert not breaker.allows()


def test_a_success_between_starts_the_count_again(breaker: CacheCircuitBreaker) -> None:
    fail(breaker, 2)
    assert not breaker.succeeded()  # it was closed all the time
    fail(breaker, 2)
    assert breaker.state is CircuitState.CLOSED


def test_one_probe_goes_through_after_a_while(breaker: CacheCircuitBreaker, clock: Clock) -> None:
    fail(breaker, 3)
    clock.now = 9.9
    assert not breaker.allows()
    clock.now = 10.0
    assert [breaker.allows() for _ in range(3)] == [True, False, False]
    assert breaker.state is CircuitState.HALF_OPEN
    assert breaker.succeeded()
    assert breaker.state is CircuitState.CLOSED


def test_a_failed_probe_opens_it_for_as_long_again(breaker: CacheCircuitBreaker, clock: Clock) -> None:
    fail(breaker, 3)
    clock.now = 10.0
    assert breaker.allows()
    assert not breaker.failed()  # it was open already
    clock.now = 19.0
    assert not breaker.allows()
    clock.now = 20.0
    assert breaker.allows()


def test_a_call_falls_back_while_the_store_does_not_answer(breaker: CacheCircuitBreaker) -> None:
    def away() -> Any:
        raise StoreUnavailable

    assert [breaker.call(away, lambda: "fallback") for _ in range(5)] == ["fallback"] * 5
    assert breaker.call(lambda: "cache", lambda: "fallback") == "fallback"  # open: not even asked
    breaker.reset()
    assert breaker.call(lambda: "cache", lambda: "fallback") == "cache"


@pytest.mark.parametrize("error", [CommandRefused, ValueError])
def test_other_errors_do_not_count(breaker: CacheCircuitBreaker, error: type[Exception]) -> None:
    def broken() -> Any:
        raise error

    for _ in range(5):
        with pytest.raises(error):
            breaker.call(broken, lambda: None)
    assert breaker.state is CircuitState.CLOSED


def test_the_fallbacks_own_error_is_no_failure_of_the_store(breaker: CacheCircuitBreaker) -> None:
    def away() -> Any:
        raise StoreUnavailable

    def broken() -> Any:
        raise ValueError

    for _ in range(2):
        with pytest.raises(ValueError):
            breaker.call(away, broken)
    assert breaker.state is CircuitState.CLOSED


@pytest.fixture
def pausing(clock: Clock) -> CacheCircuitBreaker:
    return CacheCircuitBreaker(failure_threshold=3, recovery_timeout=60.0, clock=clock, pause=1.0)


def test_with_a_pause_a_page_of_many_look_ups_waits_once(pausing: CacheCircuitBreaker, clock: Clock) -> None:
    assert pausing.allows()
    pausing.failed()
    assert not any(pausing.allows() for _ in range(100))
    assert pausing.state is CircuitState.CLOSED
    clock.now = 1.0
    assert [pausing.allows() for _ in range(3)] == [True, False, False]


def test_failures_under_way_at_one_time_count_once(pausing: CacheCircuitBreaker, clock: Clock) -> None:
    for now in (0.0, 1.0):
        clock.now = now
        assert pausing.allows()
        assert fail(pausing, 8) == [False] * 8  # eight threads had asked
    assert pausing.state is CircuitState.CLOSED
    clock.now = 2.0
    assert pausing.allows()
    assert pausing.failed()
    assert (pausing.state, pausing.retry_in) == (CircuitState.OPEN, 60.0)


def test_an_invalidation_does_not_wait_for_a_pause_but_for_an_open_circuit(
    pausing: CacheCircuitBreaker, clock: Clock
) -> None:
    pausing.failed()
    assert pausing.allows(urgent=True)
    clock.now = 1.0
    pausing.failed()
    clock.now = 2.0
    pausing.failed()
    assert not pausing.allows(urgent=True)
    clock.now = 62.0
    assert [pausing.allows(urgent=True) for _ in range(2)] == [True, False]


def test_one_of_many_threads_probes() -> None:
    breaker = CacheCircuitBreaker(failure_threshold=1, recovery_timeout=0.01)
    breaker.failed()
    time.sleep(0.02)
    breaker.recovery_timeout = 60.0
    together = threading.Barrier(16)

    def ask(_: int) -> bool:
        together.wait()
        return breaker.allows()

    with ThreadPoolExecutor(16) as threads:
        assert sum(threads.map(ask, range(16))) == 1


@pytest.mark.parametrize("wrong", [{"failure_threshold": 0}, {"recovery_timeout": -1.0}, {"pause": -1.0}])
def test_what_can_not_work_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(InvalidOption, match="CACHEOPS_BREAKER_THRESHOLD"):
        CacheCircuitBreaker(**wrong)
