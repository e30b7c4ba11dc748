"""What a format is. A new one is a subclass of Format in a module of its own, named in registry.py."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import ClassVar, NamedTuple

from django.utils import timezone

from devices.imports.cells import is_missing, number
from devices.imports.errors import BadRow
from devices.imports.options import DEFAULTS, Options
from devices.services import time_problem

# One reading: the device's id, the metric, the value in the metric's unit, the moment with its time zone.
# A tuple, as an import makes millions of them.
Reading = tuple[int, str, float, datetime]
Series = tuple[tuple[int, str], ...]  # device and metric of each of a row's values


class Understood(NamedTuple):
    """What a row says: its readings, how many values are missing, what is wrong with single values.

    Rows of one series have a moment each, whether or not all of their values are there: their order tells of it.
    """

    readings: list[Reading]
    taken_at: datetime
    series: Series
    missing: int = 0
    problems: Sequence[str] = ()


class Format(ABC):
    """Turns the rows of a file into readings. One instance serves one import, of one file or many."""

    name: ClassVar[str]
    description: ClassVar[str]  # one line, for the command's help
    header: ClassVar[Sequence[str]]  # the columns, in this order
    takes_columns: ClassVar[bool] = False  # whether --columns, --set and --time-format say something to it
    has_header = True

    def __init__(self, options: Options = DEFAULTS) -> None:
        self.options = options
        self.now = timezone.now()

    @property
    def wanted(self) -> Sequence[str]:
        """The names of the columns that a header must have."""
        return self.header

    def bind(self, cells: Sequence[str]) -> bool:
        """Return whether `cells`, without blanks around, are the header; remember where each column is.

        Raises BadRow where they are, but its columns hold something else.
        """
        return tuple(cells) == tuple(self.header)

    def fits(self, cells: Sequence[str]) -> bool:
        """Return whether `cells` can be a row: what the delimiter of a file without a header is known by."""
        return len(cells) == len(self.wanted)

    @abstractmethod
    def understand(self, cells: Sequence[str]) -> Understood:
        """Return what a row says, which has as many cells as the header. Raises BadRow where all of it is wrong."""

    def check_time(self, taken_at: datetime) -> datetime:
        problem = time_problem(taken_at, self.now)
        if problem:
            raise BadRow(problem)
        return taken_at

    def measured(self, cells: Iterable[tuple[int, str, str, str]], taken_at: datetime) -> Understood:
        """Return the readings of one moment: (device, metric, column's name, cell) of each. A bad cell costs itself."""
        readings: list[Reading] = []
        series: list[tuple[int, str]] = []
        problems: list[str] = []
        missing = 0
        for device, metric, column, cell in cells:
            series.append((device, metric))
            if is_missing(cell):
                missing += 1
                continue
            try:
                readings.append((device, metric, number(cell, column, self.options.decimal, metric), taken_at))
            except BadRow as error:
                problems.append(str(error))
        return Understood(readings, taken_at, tuple(series), missing, problems)
