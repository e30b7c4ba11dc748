"""What a format is. A new one is a subclass of Format in a module of its own, named in registry.py."""

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from datetime import datetime, tzinfo
from typing import ClassVar

from django.utils import timezone

from devices.imports.errors import BadRow
from devices.services import time_problem, value_problem

# One reading: the device's id, the metric, the value in the metric's unit, the moment with its time zone.
# A tuple, as an import makes millions of them.
Row = tuple[int, str, float, datetime]


class Format(ABC):
    """Turns the rows of a CSV file into readings. One instance serves one import, of one file or many."""

    name: ClassVar[str]
    description: ClassVar[str]  # one line, for the command's help
    header: ClassVar[Sequence[str]]  # the columns, in this order

    def __init__(self, zone: tzinfo | None = None) -> None:
        """`zone` is that of times that name none."""
        self.zone = zone
        self.now = timezone.now()

    @abstractmethod
    def readings(self, row: Sequence[str]) -> list[Row]:
        """Return the readings of a row, which has as many cells as the header. Raises BadRow."""

    def check_time(self, taken_at: datetime) -> datetime:
        problem = time_problem(taken_at, self.now)
        if problem:
            raise BadRow(problem)
        return taken_at


def number(cell: str, column: str) -> float:
    """Return a cell's value. Raises BadRow for what is no number, no finite one, or one too large."""
    try:
        value = float(cell)
    except ValueError:
        value = math.nan
    # Python would take "1_000", which is more likely a damaged row.
    if not math.isfinite(value) or "_" in cell:
        raise BadRow(f"{column} is {cell!r}, which is no finite number.")
    problem = value_problem(value)
    if problem:
        raise BadRow(f"{column}: {problem}")
    return value
