"""The rows of a file: its delimiter and header found, each row parsed by itself, so that none can spoil another."""

import csv
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from devices.imports.errors import BadRow, FileFailed
from devices.imports.files import reading_errors
from devices.imports.formats import Format
from devices.imports.lines import Lines, damage, open_text

DELIMITERS = ";\t|,"  # a comma last: it may be a decimal one
SEPARATOR_LINE = "sep="  # the first line of files that were written for Excel
COMMENT = "#"
# Lines in which the header must be found: loggers write their name, serial and settings above it.
MAX_PREAMBLE = 50
# Lines that a cell in quotes may span.
MAX_JOINED = 20


class Row(NamedTuple):
    """A row: the number of its last line, its cells without blanks around; or what is wrong with its text."""

    line: int
    cells: Sequence[str]
    problem: str = ""


class LineParser:
    """Parses lines as CSV (RFC 4180), one at a time. Raises csv.Error for quotes that do not belong."""

    def __init__(self, delimiter: str) -> None:
        self.lines: list[str] = []
        self.reader = csv.reader(self, delimiter=delimiter, skipinitialspace=True, strict=True)

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        """Return the line to be parsed; a reader that wants a second one, as a quote is open, finds none."""
        if not self.lines:
            raise StopIteration
        return self.lines.pop()

    def parse(self, line: str) -> list[str]:
        self.lines = [line.strip(" ")]
        return [cell.strip() for cell in next(self.reader, ())]


class Table:
    """An open file, past its header. Iterating gives its rows, without blank lines, comments, repeated headers."""

    def __init__(self, path: Path, lines: Lines, layout: Format, position: Callable[[], int]) -> None:
        self.path = path
        self.position = position  # bytes read of the file as it is on disk
        self.lines = lines
        self.header: Sequence[str] = ()
        self.parser = self.begin(layout)
        for _ in range(layout.options.skip):
            next(lines, None)

    def begin(self, layout: Format) -> LineParser:
        """Find the delimiter, and the header; return the parser of what comes after it. Raises FileFailed."""
        head = list(islice(self.lines, MAX_PREAMBLE))
        given = layout.options.delimiter
        if head and head[0].lower().startswith(SEPARATOR_LINE) and len(head[0]) == len(SEPARATOR_LINE) + 1:
            given = given or head[0][-1]
        parsers = [LineParser(delimiter) for delimiter in given or DELIMITERS]
        if not layout.has_header:
            self.give_back(head)
            rows = head[layout.options.skip :]
            for parser in parsers:
                if any(layout.fits(cells_of(parser, line)) for line in rows):
                    return parser
            return max(parsers, key=lambda parser: max((len(cells_of(parser, line)) for line in rows), default=0))
        for parser in parsers:
            for index, line in enumerate(head):
                cells = trimmed(cells_of(parser, line))
                if cells and self.is_header(cells, layout):
                    self.header = cells
                    self.give_back(head[index + 1 :])
                    return parser
        raise FileFailed(no_header(self.path, head, layout))

    def is_header(self, cells: Sequence[str], layout: Format) -> bool:
        try:
            return layout.bind(cells)
        except BadRow as error:
            raise FileFailed(f"{self.path}: {error}") from error

    def give_back(self, lines: Sequence[str]) -> None:
        for line in reversed(lines):
            self.lines.give_back(line)

    def __iter__(self) -> Iterator[Row]:
        for line in self.lines:
            if not line or line.isspace() or line.startswith(COMMENT):
                continue
            row = self.row(line)
            if row.problem or (any(row.cells) and row.cells != self.header):
                yield row

    def row(self, line: str) -> Row:
        number = self.lines.number
        problem = damage(line)
        if problem:
            return Row(number, (), problem)
        try:
            cells = self.parser.parse(line)
        except csv.Error as error:
            return self.joined(line) or Row(number, (), f"a quote does not belong ({error}).")
        width = len(self.header)
        if width and len(cells) != width and any(cells):
            cells = trimmed(cells, width)
            if len(cells) != width:
                return Row(number, (), f"there are {len(cells)} cells, but {width} columns.")
        return Row(number, cells)

    def joined(self, line: str) -> Row | None:
        """Return the row of a line and those after it that a quoted cell spans; None where no row comes of it.

        A line that is a row by itself ends the attempt: a stray quote must not swallow it.
        """
        taken: list[str] = []
        for following in islice(self.lines, MAX_JOINED):
            taken.append(following)
            if damage(following) or self.is_row(following):
                break
            cells = cells_of(self.parser, "\n".join((line, *taken)))
            if len(trimmed(cells, len(self.header))) == len(self.header) > 0:
                return Row(self.lines.number, trimmed(cells, len(self.header)))
        self.give_back(taken)
        return None

    def is_row(self, line: str) -> bool:
        """Return whether a line is a row by itself; one that ends a quote is none."""
        return line.count('"') % 2 == 0 and len(trimmed(cells_of(self.parser, line), len(self.header))) == len(
            self.header
        )


def cells_of(parser: LineParser, line: str) -> list[str]:
    """Return a line's cells, none where it can not be parsed."""
    try:
        return parser.parse(line)
    except csv.Error:
        return []


def trimmed(cells: list[str], width: int = 0) -> list[str]:
    """Return cells without the empty ones at the end, above `width`."""
    end = len(cells)
    while end > width and not cells[end - 1]:
        end -= 1
    return cells[:end]


def no_header(path: Path, head: Sequence[str], layout: Format) -> str:
    first = head[0][:200] if head else ""
    problem = next((f" (line {number}: {found})" for number, line in enumerate(head, 1) if (found := damage(line))), "")
    return (
        f"{path}: no header with the columns {','.join(layout.wanted)} in the first {MAX_PREAMBLE} lines; "
        f"the first is {first!r}{problem}. Is it another format? If not, see --columns, --delimiter, --encoding."
    )


@contextmanager
def open_table(path: Path, layout: Format) -> Iterator[Table]:
    """Open a file and find its header. Raises FileFailed for what can not be read, also while it is being read."""
    with reading_errors(path), path.open("rb") as raw, open_text(raw, path, layout.options.encoding) as text:
        yield Table(path, Lines(text), layout, raw.tell)
