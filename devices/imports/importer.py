"""The loop of an import: rows to readings to batches, each stored together with how far it came."""

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from django.db import transaction
from django.utils import timezone

from devices.imports.clocks import Clock, Placed
from devices.imports.errors import BadRow, FileFailed, ImportFailed
from devices.imports.files import digest_of
from devices.imports.formats import Format, Reading
from devices.imports.options import NO_LIMIT, Limit
from devices.imports.tables import Row, Table, open_table
from devices.imports.writers import Writer
from devices.models import ImportedFile
from devices.services import advance_devices, lock_devices

# Readings in one transaction: enough that its fixed cost vanishes, few enough for some 20 MB and half a second.
BATCH = 50_000
# Rows between two looks at the progress bar.
ROWS_A_STEP = 1000
# Batches that readings of an hour that the clock shows twice may wait for what tells their order.
BATCHES_OF_PATIENCE = 4


@dataclass(slots=True)
class Counts:
    """What one run of an import did. Rows that an earlier run had dealt with are not in it."""

    rows: int = 0
    readings: int = 0  # in those rows, the missing ones left out
    known: int = 0  # of those readings, stored before
    missing: int = 0  # values: cells that are empty, or say so
    bad: int = 0  # rows of which something was left out
    seconds: float = 0

    def __add__(self, other: "Counts") -> "Counts":
        return Counts(*(getattr(self, name) + getattr(other, name) for name in self.__slots__))


@dataclass(frozen=True, slots=True)
class FileDone:
    """One file's end: what this run did, and where it began. `before` is set when an earlier run had finished it."""

    path: Path
    counts: Counts
    resumed_after: int = 0  # the last line of earlier runs
    before: datetime | None = None


OnBadRow = Callable[[Path, int, str], None]
OnReading = Callable[[Path, int, Reading], None]
OnStep = Callable[[Path, int, int], None]  # file, bytes read of it, rows since the last call


@dataclass(frozen=True, slots=True)
class Policy:
    """How an import goes about its files."""

    max_bad: Limit = NO_LIMIT
    strict: bool = False  # a bad row ends the import
    again: bool = False  # files are read from their start
    dry_run: bool = False  # nothing is stored
    batch_size: int = BATCH


@dataclass
class Batch:
    """Readings that are stored together, and the line that they reach to."""

    readings: list[Reading] = field(default_factory=list)
    line: int = 0
    bad: int = 0


class Importer:
    """Imports files of one format. Bad rows are passed to `on_bad_row`, readings of a dry run to `on_reading`."""

    def __init__(
        self,
        layout: Format,
        writer: Writer,
        policy: Policy,
        *,
        on_bad_row: OnBadRow,
        on_step: OnStep,
        on_reading: OnReading,
    ) -> None:
        self.layout = layout
        self.writer = writer
        self.policy = policy
        self.on_bad_row = on_bad_row
        self.on_step = on_step
        self.on_reading = on_reading

    def import_file(self, path: Path) -> FileDone:
        """Import a file from where an earlier run of it stopped. Raises ImportFailed."""
        started = time.monotonic()
        record = self.record_of(path)
        if record.finished_at:
            return FileDone(path, Counts(), before=record.finished_at)
        resumed_after = record.line
        counts = Counts()
        with open_table(path, self.layout) as table:
            FileImport(self, table, record, counts).run()
        if not self.policy.dry_run:
            record.finished_at = timezone.now()
            record.save(update_fields=["finished_at"])
        counts.seconds = time.monotonic() - started
        return FileDone(path, counts, resumed_after)

    def record_of(self, path: Path) -> ImportedFile:
        """Return how far a file has come. One that had bad rows starts again: their devices may be there by now."""
        if self.policy.dry_run:
            return ImportedFile(name=path.name)
        digest = digest_of(path, self.layout.name, self.layout.options.signature())
        record, _ = ImportedFile.objects.get_or_create(digest=digest, defaults={"name": path.name[-255:]})
        if self.policy.again or (record.finished_at and record.bad):
            record.line, record.bad, record.finished_at = 0, 0, None
            record.save(update_fields=["line", "bad", "finished_at"])
        return record


class FileImport:
    """The import of one file, from the line that its record has reached."""

    def __init__(self, importer: Importer, table: Table, record: ImportedFile, counts: Counts) -> None:
        self.importer = importer
        self.policy = importer.policy
        self.table = table
        self.record = record
        self.counts = counts
        self.clock = Clock()
        self.batch = Batch(line=record.line, bad=record.bad)

    def run(self) -> None:
        reported = 0
        for row in self.table:
            if row.line <= self.record.line:
                continue
            self.take(row)
            self.batch.line = row.line
            self.counts.rows += 1
            if self.counts.rows % ROWS_A_STEP == 0:
                reported += self.step(self.counts.rows - reported)
            if self.is_full():
                self.finish_batch()
        self.finish_batch()
        self.step(self.counts.rows - reported)

    def take(self, row: Row) -> None:
        """Add a row's readings to the batch, and report what is wrong with it."""
        try:
            if row.problem:
                raise BadRow(row.problem)
            found = self.importer.layout.understand(row.cells)
            self.add(self.clock.place(row.line, found))
        except BadRow as error:
            self.bad_row(row.line, str(error))
            return
        self.counts.missing += found.missing
        if found.problems:
            self.bad_row(row.line, " ".join(found.problems))

    def add(self, readings: Iterable[Placed]) -> None:
        for line, reading in readings:
            self.batch.readings.append(reading)
            if self.policy.dry_run:
                self.importer.on_reading(self.table.path, line, reading)
        for ambiguous, reason in self.clock.ambiguous.items():
            self.bad_row(ambiguous, reason)
        self.clock.ambiguous.clear()

    def bad_row(self, line: int, reason: str) -> None:
        path = self.table.path
        if self.policy.strict:
            raise ImportFailed(f"{path}, line {line}: {reason} Correct it, or leave out --strict to pass it over.")
        self.importer.on_bad_row(path, line, reason)
        self.batch.bad += 1
        self.counts.bad += 1

    def step(self, rows: int) -> int:
        self.importer.on_step(self.table.path, self.table.position(), rows)
        return rows

    def is_full(self) -> bool:
        """Return whether the batch is to be stored. One in which readings wait for later ones is, once it is large."""
        size = self.policy.batch_size
        held = self.clock.held
        return len(self.batch.readings) + held >= (size * BATCHES_OF_PATIENCE if held else size)

    def finish_batch(self) -> None:
        """Store the batch. Raises FileFailed where more rows are bad than may be: then it is not stored."""
        self.add(self.clock.finish())
        counts, limit = self.counts, self.policy.max_bad
        if limit.is_exceeded(counts.bad, counts.rows):
            raise FileFailed(
                f"{self.table.path}: {counts.bad:,} of {counts.rows:,} rows are bad, more than --max-bad allows; "
                "stopped, and stored nothing of the last batch."
            )
        new = 0 if self.policy.dry_run else self.store()
        counts.readings += len(self.batch.readings)
        counts.known += 0 if self.policy.dry_run else len(self.batch.readings) - new
        self.batch.readings = []

    def store(self) -> int:
        """Store a batch, and with it, all or none, its devices' newest readings and the line it reaches to.

        Return how many readings were new.
        """
        batch, record = self.batch, self.record
        with transaction.atomic():
            newest = newest_of(batch.readings)
            lock_devices({device for device, _ in newest})
            new = self.importer.writer.write(batch.readings) if batch.readings else 0
            advance_devices(newest)
            record.line, record.bad = batch.line, batch.bad
            record.save(update_fields=["line", "bad"])
        return new


def newest_of(readings: Sequence[Reading]) -> dict[tuple[int, str], tuple[datetime, float]]:
    """Return each device's newest reading of each metric, the first of two of the same moment."""
    newest: dict[tuple[int, str], tuple[datetime, float]] = {}
    for device, metric, value, taken_at in readings:
        shown = newest.get((device, metric))
        if shown is None or shown[0] < taken_at:
            newest[device, metric] = taken_at, value
    return newest
