"""Store many readings at once, each moment once, the way that is quickest on each database."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import Any

from django.db import connection

from devices.imports.errors import ImportFailed
from devices.imports.formats import Reading
from devices.metrics import METRICS

COLUMNS = "device_id, metric, value, unit, taken_at"
INSERT_NEW = "ON CONFLICT (device_id, metric, taken_at) DO NOTHING"


class Writer(ABC):
    @abstractmethod
    def write(self, rows: Sequence[Reading]) -> int:
        """Store those readings whose moment is not stored yet, within the caller's transaction; return how many."""


class CopyWriter(Writer):
    """PostgreSQL: COPY into a table of this transaction, then one INSERT of what is new.

    The INSERT passes Django's cursor, so that whatever watches statements there learns of it; a COPY into the table
    itself would pass unseen, and fail on the first known reading.
    """

    STAGE = (
        "CREATE TEMPORARY TABLE import_stage"
        " (device_id bigint, metric text, value double precision, unit text, taken_at timestamptz) ON COMMIT DROP"
    )
    # Of two alike the first (ctid). Sorted, a device's readings stand side by side in the table: a chart of a month
    # reads a tenth of the pages. The collation "C" sorts several times faster than a language's.
    INSERT = (
        f"INSERT INTO devices_reading ({COLUMNS}) SELECT {COLUMNS} FROM import_stage"
        f' ORDER BY device_id, metric COLLATE "C", taken_at, ctid {INSERT_NEW}'
    )

    def write(self, rows: Sequence[Reading]) -> int:
        with connection.cursor() as cursor:
            cursor.execute(self.STAGE)
            with cursor.copy(f"COPY import_stage ({COLUMNS}) FROM STDIN") as copy:
                copy.write("".join(copy_lines(rows)))
            cursor.execute(self.INSERT)
            new: int = cursor.rowcount
            cursor.execute("DROP TABLE import_stage")
        return new


def copy_lines(rows: Iterable[Reading]) -> Iterator[str]:
    """Yield rows in COPY's text format (PostgreSQL manual, COPY, "Text Format"); no cell needs escaping."""
    last: datetime | None = None
    moment = ""
    for device, metric, value, taken_at in rows:
        if taken_at is not last:  # the readings of one row share their moment
            last, moment = taken_at, taken_at.isoformat()
        yield f"{device}\t{metric}\t{value!r}\t{METRICS[metric].unit}\t{moment}\n"


class ManyWriter(Writer):
    """SQLite: one prepared INSERT, executed for each reading."""

    INSERT = f"INSERT INTO devices_reading ({COLUMNS}) VALUES (%s, %s, %s, %s, %s) {INSERT_NEW}"

    def write(self, rows: Sequence[Reading]) -> int:
        with connection.cursor() as cursor:
            cursor.executemany(self.INSERT, list(self.parameters(rows)))
            return cursor.rowcount

    def parameters(self, rows: Iterable[Reading]) -> Iterator[tuple[Any, ...]]:
        last: datetime | None = None
        moment: Any = None
        for device, metric, value, taken_at in rows:
            if taken_at is not last:
                last, moment = taken_at, connection.ops.adapt_datetimefield_value(taken_at)
            yield device, metric, value, METRICS[metric].unit, moment


WRITERS: dict[str, type[Writer]] = {"postgresql": CopyWriter, "sqlite": ManyWriter}


def writer() -> Writer:
    """Return the writer for the primary database. Raises ImportFailed where there is none."""
    if connection.vendor not in WRITERS:
        raise ImportFailed(f"Readings can be imported on {' and '.join(WRITERS)}, not on {connection.vendor}.")
    return WRITERS[connection.vendor]()
