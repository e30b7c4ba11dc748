"""The parts of a warming run that need no server: the pace, spans of time, names of what is used, reports."""

import time

import pytest

from cacheops.conf import conf
from cacheops.exceptions import InvalidOption
from cacheops.warming.fanout import RegionFanout
from cacheops.warming.history import Checkpoint, Outcome
from cacheops.warming.ordering import _values
from cacheops.warming.progress import LineReport
from cacheops.warming.replica import Source
from cacheops.warming.runner import BATCH, Pace
from cacheops.warming.selection import MOST_TOP, Scope, parse_since


class Clock:
    """Passes as its sleepers sleep."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


def test_a_pace_lets_so_many_pass_in_a_second():
    clock = Clock()
    pace = Pace(50, clock, clock.sleep)
    for entries in (10, 100, 200):
        pace.wait(entries)
        assert clock.now == pytest.approx(100.0 + entries / 50)


def test_who_is_late_does_not_wait():
    clock = Clock()
    pace = Pace(50, clock, clock.sleep)
    clock.now += 60
    pace.wait(100)
    assert clock.now == 160.0


def test_a_slow_pace_takes_smaller_batches():
    assert Pace(None).batch(BATCH) == BATCH
    assert Pace(8).batch() == 2
    assert Pace(0.1).batch() == 1


@pytest.mark.parametrize(("text", "seconds"), [("90s", 90), ("90m", 5400), ("24h", 86400), ("2d", 172800)])
def test_a_span_is_counted_back_from_now(text, seconds):
    before = time.time()
    assert before - seconds <= parse_since(text) <= time.time() - seconds


@pytest.mark.parametrize("text", ["2026-01-31", "2026-01-31T08:00", "2026-01-31T08:00:00+02:00"])
def test_a_moment_is_taken_as_it_is(text):
    assert 1769700000 < parse_since(text) < 1769900000


@pytest.mark.parametrize("text", ["", "h", "12", "-3h", "yesterday", "2026-13-01", "2026-01-31T25:00"])
def test_other_times_are_refused(text):
    with pytest.raises(InvalidOption, match="--since"):
        parse_since(text)


def test_a_thousand_rows_are_the_usual_scope():
    assert Scope.chosen(None, None, False) == Scope("top 1000", top=1000)


@pytest.mark.parametrize("top", [1, MOST_TOP])
def test_a_scope_is_one_of_three(top):
    assert Scope.chosen(top, None, False) == Scope(f"top {top}", top=top)
    assert Scope.chosen(None, None, True) == Scope("all")
    assert Scope.chosen(None, "24h", False).top is None
    for wrong in ((0, None, False), (MOST_TOP + 1, None, False), (top, "24h", False), (top, None, True)):
        with pytest.raises(InvalidOption):
            Scope.chosen(*wrong)


def test_without_a_replica_nothing_stands_for_the_primary():
    assert Source("default", None).sources() == {}


def test_the_nearest_region_is_this_process_s_own(settings):
    source = Source("default", None)
    assert RegionFanout(("elsewhere", conf.local_region), source).nearest == conf.local_region
    assert RegionFanout(("elsewhere", "far"), source).nearest == "elsewhere"


def test_a_tag_tells_columns_and_values():
    assert list(_values("device_id=5&metric=temperature&taken_at/3600=490000")) == [
        ("device_id", "5"),
        ("metric", "temperature"),
    ]
    assert list(_values("serial='4-A&location_id=~")) == [("serial", "4-A")]


def test_a_checkpoint_is_that_of_the_same_run_only():
    checkpoint = Checkpoint(("devices",), "all", ("us-east-1",))
    assert checkpoint.matches(("devices",), "all", ("us-east-1",))
    assert not checkpoint.matches(("devices",), "top 5", ("us-east-1",))
    assert not checkpoint.matches(("devices", "users"), "all", ("us-east-1",))


def test_lines_tell_now_and_then_how_far_it_is():
    said: list[str] = []
    clock = Clock()
    report = LineReport(said.append, clock)
    report.target("devices", 100, 20)
    report.step(10, {"us-east-1": Outcome(warmed=60)})
    clock.now += 60
    report.step(10, {"us-east-1": Outcome(warmed=120, failed=3)})
    assert said == [
        "devices: 100 to warm, 20 of them done before",
        "devices: 40 of 100: us-east-1 120 warmed, 3 failed",
    ]
