"""What a warming run reports in a terminal: a bar a region."""

import time
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from cacheops.warming.history import Outcome


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
