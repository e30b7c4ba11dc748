"""The loop of an import: rows to readings to batches, each stored together with how far it came."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from django.db import transaction
from django.utils import timezone

from devices.imports.errors import BadRow, ImportFailed
from devices.imports.files import Table, digest_of, open_table
from devices.imports.formats import Format, Row
from devices.imports.writers import Writer
from devices.models import ImportedFile
from devices.services import advance_devices, lock_devices

# Readings in one transaction: enough that its fixed cost vanishes, few enough for some 20 MB and half a second.
BATCH = 50_000
# Rows between two looks at the progress bar.
ROWS_A_STEP = 1000


@dataclass(slots=True)
class Counts:
    """What one run of an import did. Rows that an earlier run had dealt with are not in it."""

    rows: int = 0
    readings: int = 0  # in those rows, the missing ones left out
    known: int = 0  # of those readings, stored before
    bad: int = 0  # rows left out
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
OnStep = Callable[[Path, int, int], None]  # file, bytes read of it, rows since the last call


@dataclass
class Batch:
    """Readings that are stored together, and the line that they reach to."""

    readings: list[Row] = field(default_factory=list)
    line: int = 0
    bad: int = 0


class Importer:
    """Imports files of one format. A bad row is passed to `on_bad_row`, or ends the import when `strict`."""

    def __init__(
        self,
        layout: Format,
        writer: Writer,
        *,
        on_bad_row: OnBadRow,
        on_step: OnStep,
        strict: bool = False,
        again: bool = False,
        batch_size: int = BATCH,
    ) -> None:
        self.layout = layout
        self.writer = writer
        self.on_bad_row = on_bad_row
        self.on_step = on_step
        self.strict = strict
        self.again = again
        self.batch_size = batch_size

    def import_file(self, path: Path) -> FileDone:
        """Import a file from where an earlier run of it stopped. Raises ImportFailed."""
        started = time.monotonic()
        record = self.record_of(path)
        if record.finished_at:
            return FileDone(path, Counts(), before=record.finished_at)
        resumed_after = record.line
        counts = Counts()
        with open_table(path) as table:
            table.check_header(self.layout.header)
            self.import_rows(table, record, counts)
        record.finished_at = timezone.now()
        record.save(update_fields=["finished_at"])
        counts.seconds = time.monotonic() - started
        return FileDone(path, counts, resumed_after)

    def record_of(self, path: Path) -> ImportedFile:
        """Return how far a file has come. One that had bad rows starts again: their devices may be there by now."""
        digest = digest_of(path, self.layout.name, str(self.layout.zone))
        record, _ = ImportedFile.objects.get_or_create(digest=digest, defaults={"name": path.name[-255:]})
        if self.again or (record.finished_at and record.bad):
            record.line, record.bad, record.finished_at = 0, 0, None
            record.save(update_fields=["line", "bad", "finished_at"])
        return record

    def import_rows(self, table: Table, record: ImportedFile, counts: Counts) -> None:
        batch = Batch(line=record.line, bad=record.bad)
        steps = 0
        for line, row in table:
            if line <= record.line:
                continue
            try:
                batch.readings += self.read(row)
            except BadRow as error:
                self.bad_row(table.path, line, str(error))
                batch.bad += 1
                counts.bad += 1
            batch.line = line
            counts.rows += 1
            if counts.rows % ROWS_A_STEP == 0:
                steps += self.step(table, counts.rows - steps)
            if len(batch.readings) >= self.batch_size:
                self.store(batch, record, counts)
        self.store(batch, record, counts)
        self.step(table, counts.rows - steps)

    def read(self, row: Sequence[str]) -> list[Row]:
        if len(row) != len(self.layout.header):
            raise BadRow(f"there are {len(row)} cells, but {len(self.layout.header)} columns.")
        return self.layout.readings(row)

    def bad_row(self, path: Path, line: int, reason: str) -> None:
        if self.strict:
            raise ImportFailed(f"{path}, line {line}: {reason} Correct it, or leave out --strict to pass it over.")
        self.on_bad_row(path, line, reason)

    def step(self, table: Table, rows: int) -> int:
        self.on_step(table.path, table.position(), rows)
        return rows

    def store(self, batch: Batch, record: ImportedFile, counts: Counts) -> None:
        """Store a batch, and with it, all or none, its devices' newest readings and the line it reaches to."""
        with transaction.atomic():
            newest = newest_of(batch.readings)
            lock_devices({device for device, _ in newest})
            new = self.writer.write(batch.readings) if batch.readings else 0
            advance_devices(newest)
            record.line, record.bad = batch.line, batch.bad
            record.save(update_fields=["line", "bad"])
        counts.readings += len(batch.readings)
        counts.known += len(batch.readings) - new
        batch.readings = []


def newest_of(readings: Sequence[Row]) -> dict[tuple[int, str], tuple[datetime, float]]:
    """Return each device's newest reading of each metric, the first of two of the same moment."""
    newest: dict[tuple[int, str], tuple[datetime, float]] = {}
    for device, metric, value, taken_at in readings:
        shown = newest.get((device, metric))
        if shown is None or shown[0] < taken_at:
            newest[device, metric] = taken_at, value
    return newest
