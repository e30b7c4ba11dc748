"""How far a replica is behind: the arithmetic, and a real one that stands still."""

import math
import os
import signal
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import SimpleNamespace

import pytest
from django.db import connections

import cacheops
from cacheops.conf import conf
from cacheops.instrumentation.request_stats import collect_request_stats
from cacheops.regions import lag as module
from cacheops.regions.lag import MAX_NOTED, UNKNOWN, LagClock, LagMeter, fresh_seconds, is_too_far, lag_meter
from cacheops.regions.read_scope import alias_for_read, position
from cacheops.relay import lag as relay_lag
from tests.replica import execute, follow, resume, run
from tests.waiting import until
from xyzsite.localregions import ports


def lsn(number: int) -> str:
    return f"{number:016X}"


def test_the_lag_is_the_age_of_the_newest_end_that_was_reached():
    clock, now = LagClock(), time.monotonic()
    assert clock.note(now - 100, lsn(50), lsn(20)) == (math.inf, 30, math.inf)  # nobody knows since when
    whole = clock.note(now - 90, lsn(50), lsn(50))
    assert whole[:2] == (0, 0)
    assert 90 <= whole.age <= 90 + time.monotonic() - now
    assert clock.note(now - 80, lsn(60), lsn(50)).bytes == 10
    assert clock.note(now - 70, lsn(70), lsn(55)).seconds >= 90
    lag = clock.note(now - 10, lsn(80), lsn(60))  # what was the end 80 seconds ago
    assert 80 <= lag.seconds < 90 + time.monotonic() - now
    assert lag.bytes == 20
    assert clock.note(now, None, lsn(60)).seconds >= 80  # its receiver has gone
    assert clock.note(now, lsn(80), lsn(80))[:2] == (0, 0)
    assert clock.note(now - 5, lsn(90), lsn(90)).age < 5  # what was known before takes nothing back


def test_a_log_that_is_still_is_no_lag_and_a_long_wait_no_heap():
    clock, now = LagClock(), time.monotonic()
    for second in range(100):
        assert clock.note(now + second - 100, lsn(5), lsn(5)).seconds == 0
    for second in range(3 * MAX_NOTED):
        clock.note(now, lsn(10 + second), lsn(5))
    assert len(clock._ends) == MAX_NOTED
    assert clock.note(now, None, lsn(5)).bytes == 3 * MAX_NOTED + 4


class CutReplica:
    """A replica that shows all that it has heard, and hears nothing from a moment on; and the clock, in seconds."""

    vendor = "postgresql"

    def __init__(self, cut_at: float, every: float) -> None:
        self.now = 0.0
        self._cut_at = cut_at
        self._every = every  # seconds between two messages of the primary

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds

    def answer(self, wrapper: object, sql: str, values: Sequence[float]) -> list[tuple[str, str | None, float | None]]:
        heard_at = min(self.now, self._cut_at) // self._every * self._every
        silence = self.now - heard_at
        return [("0/5", "0/5", silence) if silence < values[0] else ("0/5", None, None)]


@pytest.mark.parametrize("cut_at", [0.0, 3.1, 3.49, 3.5, 3.9])
@pytest.mark.parametrize("every", [0.05, 0.5])
@pytest.mark.parametrize("pause", [0.001, 0.07, 0.4])
def test_no_read_is_older_than_the_bound_by_a_receiver_that_hears_nothing(
    cut_at: float, every: float, pause: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The stale read of a row of `make faults`: a receiver was believed for half the bound beyond what it knew."""
    replica = CutReplica(cut_at, every)
    monkeypatch.setattr(module, "time", replica)
    monkeypatch.setattr(module, "connections", {"far": replica})
    monkeypatch.setattr(module, "query_driver", replica.answer)
    meter, read_at = LagMeter(), 0.0
    while replica.now < cut_at + 3 * conf.max_lag:
        lag = meter.measured("far")
        assert lag is not None
        if not is_too_far(lag):
            read_at = replica.now
        replica.now += pause
    assert cut_at <= read_at <= cut_at + conf.max_lag


def test_a_relay_has_a_moment_to_tell_what_was_just_committed(monkeypatch: pytest.MonkeyPatch) -> None:
    told = iter([None, lsn(1), lsn(1), lsn(2)])
    monkeypatch.setattr(relay_lag, "conf", SimpleNamespace(followers={"other": "default"}))
    monkeypatch.setattr(relay_lag, "name_of", str)
    monkeypatch.setattr(relay_lag, "told_until", lambda region, name: next(told))
    monkeypatch.setattr(lag_meter, "newest_end", lambda replica: (time.monotonic(), lsn(2)))
    monkeypatch.setattr(relay_lag, "WAIT", 60.0)  # the machine may be slow
    meter = relay_lag.RelayLagMeter()
    assert meter._measure(LagClock(), "other", None) == UNKNOWN  # no relay has told
    lag = meter._measure(LagClock(), "other", None)
    assert lag is not None
    assert (lag.seconds, lag.bytes) == (0, 0)


@pytest.fixture
def away(far: str) -> Iterator[str]:
    """Know a primary that is away."""
    port = ports.choose(["nobody"], {})["nobody"]
    connections.settings["away"] = {**connections["default"].settings_dict, "PORT": port}
    yield "away"
    del connections["away"]
    del connections.settings["away"]


@contextmanager
def frozen_link() -> Iterator[None]:
    """Freeze the process of the primary that sends the replica its log."""
    sender = run("default", "SELECT active_pid FROM pg_replication_slots WHERE slot_name = 'far'")
    os.kill(sender, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(sender, signal.SIGCONT)


@pytest.mark.servers
@pytest.mark.django_db
@pytest.mark.usefixtures("_django_db_helper")
class TestReplica:
    def test_one_that_stands_still_falls_behind_and_catches_up(self, lagging):
        assert lag_meter.measure(lagging).is_known
        execute("default", "SELECT pg_logical_emit_message(true, 'test', repeat('x', 1000))")
        first = until(lambda: (found := lag_meter.measure(lagging)).bytes > 1000 and found, "it has received it")
        assert 0 < first.seconds < lag_meter.measure(lagging, "default").seconds
        resume(lagging)
        until(lambda: lag_meter.measure(lagging, "default").seconds == 0, "it has caught up")
        assert lag_meter.last()[lagging][:2] == (0, 0)

    def test_one_that_is_not_known_to_follow_is_not_read(self, far, settings):
        settings.CACHEOPS_MAX_LAG = 3600
        lag_meter.clocks.clear()
        assert lag_meter.measure(far, "other") == UNKNOWN
        with cacheops.after():
            assert alias_for_read("default", far) == "default"
        until(lambda: lag_meter.measure(far, "default").seconds == 0, "the primary tells")
        with cacheops.after():
            assert alias_for_read("default", far) == far

    def test_its_receiver_is_believed_while_it_hears_the_primary(self, far, settings):
        settings.CACHEOPS_MAX_LAG = 3600
        follow(far)
        execute("default", "SELECT pg_logical_emit_message(true, 'test', 'x')")
        until(lambda: lag_meter.measure(far).seconds == 0, "it tells by itself")
        settings.CACHEOPS_MAX_LAG = 0.2
        until(lambda: is_too_far(lag_meter.measure(far)), "nobody writes, and it hears nothing")
        time.sleep(fresh_seconds())
        assert lag_meter.measured(far, "default")[:2] == (0, 0), "before it counts as too far, the primary is asked"

    def test_a_link_that_swallows_all_is_noticed_within_the_bound(self, far, settings):
        settings.CACHEOPS_MAX_LAG = 0.4
        follow(far)
        with frozen_link():
            execute("default", "SELECT pg_logical_emit_message(true, 'test', 'x')")
            until(lambda: is_too_far(lag_meter.measure(far)), "its receiver is not believed")
            with cacheops.after():
                assert alias_for_read("default", far) == "default"
        until(lambda: lag_meter.measured(far, "default")[:2] == (0, 0), "it follows again")

    def test_while_the_primary_is_away_too_the_replica_is_read_and_that_is_said(self, far, settings, away):
        settings.CACHEOPS_MAX_LAG = 0.4
        follow(far)
        with frozen_link():
            until(lambda: is_too_far(lag_meter.measure(far)), "its receiver is not believed")
            with cacheops.after(), collect_request_stats() as stats:
                time.sleep(fresh_seconds())
                assert alias_for_read(away, far) == far
            assert stats.unchecked == 1
            seen = position()
            with cacheops.after(seen), collect_request_stats() as stats:
                assert alias_for_read(away, far) == far, "it shows what must be seen"
            execute("default", "SELECT pg_logical_emit_message(true, 'test', 'x')")
            with cacheops.after(position()):
                assert alias_for_read(away, far) == away
            settings.CACHEOPS_WHEN_DATABASE_AWAY = "fail"
            with cacheops.after(seen):
                assert alias_for_read(away, far) == away

    def test_what_is_no_replica_has_no_lag(self):
        assert lag_meter.measured("default") is None
        assert lag_meter.measured("other") is None
