"""What a warming run reports while it goes on: lines, or nothing; a terminal's bars are in `cacheops.warming.bars`."""

import time
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Self

from cacheops.warming.history import Outcome

LINE_SECONDS = 10.0  # between two lines about one target


class LineReport:
    """A line for each target, and one every few seconds: for logs and pipes."""

    def __init__(self, say: Callable[[str], None], clock: Callable[[], float] = time.monotonic) -> None:
        self._say = say
        self._clock = clock
        self._name, self._total, self._done = "", 0, 0
        self._told_at = 0.0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        """Nothing stays open."""

    def target(self, name: str, total: int, before: int) -> None:
        self._name, self._total, self._done = name, total, before
        resumed = f", {before:,} of them done before" if before else ""
        self._say(f"{name}: {total:,} to warm{resumed}")
        self._told_at = self._clock()

    def step(self, keys: int, outcomes: Mapping[str, Outcome]) -> None:
        self._done += keys
        if self._clock() - self._told_at >= LINE_SECONDS:
            told = "; ".join(f"{region} {short(outcome)}" for region, outcome in outcomes.items())
            self._say(f"{self._name}: {self._done:,} of {self._total:,}: {told}")
            self._told_at = self._clock()


class QuietReport(LineReport):
    """Says nothing: the result is for a machine."""

    def __init__(self) -> None:
        super().__init__(lambda line: None)


def short(outcome: Outcome) -> str:
    failed = f", {outcome.failed:,} failed" if outcome.failed else ""
    return f"{outcome.warmed:,} warmed{failed}"
