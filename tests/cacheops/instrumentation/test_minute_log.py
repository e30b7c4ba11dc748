"""One line a kind and minute, of what would be logged with every call; of commands that try again, too."""

from collections.abc import Iterator

import pytest

from cacheops.engine import Engine
from cacheops.instrumentation import minute_log as module
from cacheops.instrumentation.minute_log import minute_log
from cacheops.management.retries import Retries


class Clock:
    now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Iterator[Clock]:
    made = Clock()
    monkeypatch.setattr(module, "time", made)
    with Engine().in_use():
        yield made


def lines(caplog: pytest.LogCaptureFixture) -> list[str]:
    found = [record.getMessage() for record in caplog.records if record.name == "cacheops"]
    caplog.clear()
    return found


def test_a_kind_has_a_line_a_minute_that_counts(clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    for _ in range(3):
        minute_log.warning("a", "A fails: %s", "why")
    minute_log.error("b", "B fails")
    assert lines(caplog) == ["A fails: why", "B fails"]
    clock.now += 59
    minute_log.warning("a", "A fails: %s", "why")
    assert lines(caplog) == []
    clock.now += 1
    minute_log.warning("a", "A fails: %s", "why")
    assert lines(caplog) == ["A fails: why (4 since the last line)"]
    minute_log.warning("a", "A fails: %s", "why")
    assert minute_log.end("a") == 1
    minute_log.warning("a", "A fails: %s", "why")
    assert lines(caplog) == ["A fails: why"]


def test_a_command_that_tries_again_says_so_once_and_when_it_goes_on(
    clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    retries = Retries("The relay", (0.1, 0.5))
    for _ in range(2):
        retries.worked()
        assert [retries.failed(ValueError(" away\n")) for _ in range(4)] == [0.1, 0.5, 0.5, 0.5]
        retries.worked()
        assert lines(caplog) == ["The relay tries again in 0.1 s: away", "The relay goes on after 4 failures."]
    assert lines(caplog) == []
