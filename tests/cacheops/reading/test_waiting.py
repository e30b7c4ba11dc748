"""Who waits for another's load looks often while that costs nothing, and seldom where many wait."""

from itertools import islice

import pytest

from cacheops.reading import waiting
from cacheops.reading.waiting import FIRST, LONGEST, LONGEST_REST, REST, looks


class Clock:
    """Time that passes by sleeping, and by what a test lets pass."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.slept: list[float] = []

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    found = Clock()
    monkeypatch.setattr(waiting, "time", found)
    return found


def test_pauses_grow_to_the_longest_where_looking_takes_no_time(clock: Clock) -> None:
    list(islice(looks(60), 20))
    assert clock.slept[0] == FIRST
    assert clock.slept == sorted(clock.slept)
    assert clock.slept[-1] == LONGEST


@pytest.mark.parametrize(("taken", "rest"), [(0.01, 0.01 * REST), (1.0, LONGEST_REST)])
def test_a_slow_look_is_followed_by_a_rest(clock: Clock, taken: float, rest: float) -> None:
    waits = looks(60)
    for _ in range(3):
        next(waits)
        clock.now += taken
    next(waits)
    assert clock.slept[1:] == [pytest.approx(rest)] * 3
    next(waits)  # that one was quick again
    assert clock.slept[-1] == LONGEST


def test_the_time_ends_though_a_look_was_slow(clock: Clock) -> None:
    began = clock.now
    for _ in looks(0.3):
        clock.now += 0.05
    assert clock.now - began == pytest.approx(0.3, abs=0.051)
    assert list(looks(0)) == []
