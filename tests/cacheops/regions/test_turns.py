"""Databases that do not answer: one caller at a time asks again, and what comes and goes is news once."""

from types import SimpleNamespace

import pytest

from cacheops.regions import turns as module
from cacheops.regions.turns import RETRY_SECONDS, Turns


def test_a_database_that_goes_and_comes_is_news_once() -> None:
    turns = Turns()
    assert (turns.may_ask("a"), turns.back("a"), turns.is_away("a")) == (True, False, False)
    assert (turns.gone("a"), turns.gone("a")) == (True, False)
    assert (turns.is_away("a"), turns.may_ask("a"), turns.may_ask("b")) == (True, False, True)
    assert (turns.back("a"), turns.back("a"), turns.may_ask("a")) == (True, False, True)


def test_one_caller_at_a_time_asks_again(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: now[0]))
    turns = Turns()
    turns.hold_seconds = 5.0
    turns.gone("a")
    asked = []
    for now[0] in (0.0, RETRY_SECONDS - 0.1, RETRY_SECONDS, RETRY_SECONDS + 4.9, RETRY_SECONDS + 5.0):
        asked.append(turns.may_ask("a"))
    assert asked == [False, False, True, False, True]
