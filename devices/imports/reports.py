"""Progress of an import: bad rows, and a bar on a terminal."""

import csv
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from datetime import UTC
from pathlib import Path
from typing import IO

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from devices.imports.formats import Reading
from devices.metrics import METRICS
from devices.models import Device

Say = Callable[[str], None]


class BadRows:
    """Shows the first bad rows and counts all; writes each to a CSV file (file, line, reason) where one is given."""

    def __init__(self, say: Say, shown: int, file: IO[str] | None = None) -> None:
        self.say = say
        self.shown = shown
        self.count = 0
        self.writer = csv.writer(file) if file else None

    def add(self, path: Path, line: int, reason: str) -> None:
        self.count += 1
        if self.count <= self.shown:
            self.say(f"{path}, line {line}: {reason}")
        if self.writer:
            self.writer.writerow((path, line, reason))


class FirstReadings:
    """Shows the first readings of each file as they were understood, for a dry run."""

    def __init__(self, say: Say, shown: int) -> None:
        self.say = say
        self.shown = shown
        self.counts: Counter[Path] = Counter()

    def add(self, path: Path, line: int, reading: Reading) -> None:
        self.counts[path] += 1
        if self.counts[path] > self.shown:
            return
        device, metric, value, taken_at = reading
        serial = Device.objects.values_list("serial", flat=True).get(pk=device)
        moment = taken_at.astimezone(UTC)
        self.say(
            f"{path}, line {line}: {serial} {metric} {value:g} {METRICS[metric].unit} at {moment:%Y-%m-%d %H:%M:%S} UTC"
        )


class QuietReport:
    """No bar: for logs and pipes."""

    def __init__(self, say: Say) -> None:
        self.say = say

    def running(self) -> AbstractContextManager[object]:
        return nullcontext()

    def step(self, path: Path, position: int, rows: int) -> None:
        """Note the bytes read of a file, and the rows since the last call."""

    def file_done(self, path: Path) -> None:
        """Note that a file has been dealt with."""


class BarReport(QuietReport):
    """A progress bar over the bytes of all files, with rows a second and the time left."""

    def __init__(self, files: Sequence[Path], console: Console) -> None:
        super().__init__(lambda line: console.print(line, markup=False, highlight=False, soft_wrap=True))
        self.sizes = {path: path.stat().st_size for path in files}
        self.bytes_before = 0
        self.rows = 0
        self.started = time.monotonic()
        self.bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TaskProgressColumn(),
            TextColumn("{task.fields[rate]} rows/s"),
            TimeRemainingColumn(),
            console=console,
            transient=True,
        )
        self.task = self.bar.add_task("", total=sum(self.sizes.values()) or None, rate="0")

    def running(self) -> AbstractContextManager[object]:
        return self.bar

    def step(self, path: Path, position: int, rows: int) -> None:
        self.rows += rows
        rate = self.rows / max(time.monotonic() - self.started, 0.001)
        self.bar.update(self.task, completed=self.bytes_before + position, description=path.name, rate=f"{rate:,.0f}")

    def file_done(self, path: Path) -> None:
        self.bytes_before += self.sizes[path]
        self.bar.update(self.task, completed=self.bytes_before)
