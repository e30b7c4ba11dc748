"""What a warming run tells while it goes on: a bar a region where somebody watches, lines elsewhere."""

import time
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import Any, Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

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


class BarReport:
    """A bar for each region: what is done, entries a second, the time left, failures."""

    def __init__(self, regions: Sequence[str], console: Console) -> None:
        self._bars = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]}"),
            TimeRemainingColumn(),
            TextColumn("[red]{task.fields[failed]}"),
            console=console,
        )
        self._regions = regions
        self._tasks: dict[str, Any] = {}
        self._before: dict[str, int] = {}
        self._started = time.monotonic()

    def __enter__(self) -> Self:
        self._bars.__enter__()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._bars.__exit__(kind, error, tb)

    def target(self, name: str, total: int, before: int) -> None:
        self._started = time.monotonic()
        for region in self._regions:
            self._tasks[region] = self._bars.add_task(
                f"{region} {name}", total=total, completed=before, rate="", failed=""
            )
        self._before = {}

    def step(self, keys: int, outcomes: Mapping[str, Outcome]) -> None:
        seconds = max(time.monotonic() - self._started, 0.001)
        for region, outcome in outcomes.items():
            before = self._before.setdefault(region, 0)
            rate = f"{max(0, outcome.total - before) / seconds:,.0f} entries/s"
            failed = f"{outcome.failed:,} failed" if outcome.failed else ""
            self._bars.update(self._tasks[region], advance=keys, rate=rate, failed=failed)


def short(outcome: Outcome) -> str:
    failed = f", {outcome.failed:,} failed" if outcome.failed else ""
    return f"{outcome.warmed:,} warmed{failed}"
