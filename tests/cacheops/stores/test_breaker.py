"""The circuit breaker, with a clock of the test's."""

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from cacheops.exceptions import CommandRefused, InvalidOption, StoreUnavailable
from cacheops.stores.circuit_breaker import CacheCircuitBreaker, CircuitOpen, CircuitState
from cacheops.stores.reply import OnResult, ReadyReply


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


def test_one_of_many_threads_probes(breaker: CacheCircuitBreaker, clock: Clock) -> None:
    fail(breaker, 3)
    clock.now = 10.0
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


class LostReply:
    def result(self) -> Any:
        raise StoreUnavailable

    def on_result(self, callback: OnResult[Any]) -> None:
        callback(StoreUnavailable())


class TestGuard:
    """What stands around a request always reports the outcome."""

    def test_an_open_circuit_is_not_entered(self, breaker: CacheCircuitBreaker) -> None:
        fail(breaker, 3)
        with pytest.raises(CircuitOpen, match="us-west-2 has not answered lately"), breaker.guard("us-west-2"):
            raise AssertionError

    def test_answers_refusals_and_failures(self, breaker: CacheCircuitBreaker, clock: Clock) -> None:
        reports: list[Any] = []
        guard = breaker.guard(on_failure=lambda error: reports.append(str(error)))
        breaker.watchers["test"] = lambda error: reports.append(f"opened by {error}" if error else "closed")
        for error in [StoreUnavailable("a"), CommandRefused("no"), *map(StoreUnavailable, "bcd")]:
            with pytest.raises(type(error)), guard:
                raise error
        clock.now = 10.0
        with guard:
            pass
        assert reports == ["a", "b", "c", "opened by d", "d", "closed"]

    def test_an_error_of_the_callers_leaves_the_probe_to_the_next(
        self, breaker: CacheCircuitBreaker, clock: Clock
    ) -> None:
        fail(breaker, 3)
        clock.now = 10.0
        with pytest.raises(ValueError), breaker.guard():
            raise ValueError
        assert [breaker.allows() for _ in range(2)] == [True, False]

    @pytest.mark.parametrize("at", ["send", "result"])
    def test_a_reply_that_is_awaited_later_is_reported(
        self, breaker: CacheCircuitBreaker, clock: Clock, at: str
    ) -> None:
        def away() -> Any:
            raise StoreUnavailable

        for _ in range(3):
            with pytest.raises(StoreUnavailable):
                breaker.guard().send(away if at == "send" else LostReply).result()
        assert breaker.state is CircuitState.OPEN
        clock.now = 10.0
        reply = breaker.guard().send(lambda: ReadyReply("found"))
        assert breaker.state is CircuitState.HALF_OPEN
        assert reply.result() == "found"
        assert breaker.state is CircuitState.CLOSED

    def test_what_nobody_waits_for_is_reported_and_never_a_probe(
        self, breaker: CacheCircuitBreaker, clock: Clock
    ) -> None:
        results: list[Any] = []
        for _ in range(3):
            assert breaker.guard().send_nowait(LostReply, results.append)
        assert len(results) == 3
        assert breaker.state is CircuitState.OPEN
        clock.now = 10.0
        assert not breaker.guard().send_nowait(lambda: ReadyReply(1), results.append)
        assert breaker.allows()  # the probe is still there to be taken

    def test_what_is_urgent_goes_on_in_a_pause(self, pausing: CacheCircuitBreaker) -> None:
        fail(pausing, 1)
        with pytest.raises(CircuitOpen), pausing.guard():
            pass
        with pausing.guard(urgent=True):
            pass
        assert pausing.failures == 0
