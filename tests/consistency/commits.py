"""Where in the database's log each commit ends: a ring a writer, in a memory-mapped file, that readers judge by."""

import mmap
from bisect import bisect_right
from collections.abc import Mapping
from pathlib import Path

import psycopg

from tests.consistency.board import ROWS

RING = 8192  # rows of a writer's commits that are kept
CELLS = 1 + 3 * RING  # how many there were; then (LSN, row, counter) of each
MARGIN = 100  # rows that a writer may add while a reader takes in the oldest


class CommitLog:
    """Each slot has one writer. An LSN is asked for behind a commit, so it is at its end or a little later."""

    def __init__(self, path: Path, slots: int) -> None:
        self.slots = slots
        size = 8 * slots * CELLS
        if not path.exists():
            path.write_bytes(bytes(size))
        with path.open("r+b") as file:
            self._cells = memoryview(mmap.mmap(file.fileno(), size)).cast("q")

    def note(self, slot: int, lsn: int, counters: Mapping[int, int]) -> None:
        """Note the counters, by row, of what was committed before an LSN."""
        start = slot * CELLS
        for row, counter in counters.items():
            count = self._cells[start]
            at = start + 1 + 3 * (count % RING)
            self._cells[at], self._cells[at + 1], self._cells[at + 2] = lsn, row, counter
            self._cells[start] = count + 1

    def count(self, slot: int) -> int:
        return self._cells[slot * CELLS]

    def entry(self, slot: int, number: int) -> tuple[int, int, int]:
        """Return the LSN, row and counter of one of the last `RING` rows of a writer."""
        at = slot * CELLS + 1 + 3 * (number % RING)
        return self._cells[at], self._cells[at + 1], self._cells[at + 2]

    def newest(self) -> int:
        """Return the last LSN that a writer has noted, 0 for none."""
        written = [slot for slot in range(self.slots) if self.count(slot)]
        return max((self.entry(slot, self.count(slot) - 1)[0] for slot in written), default=0)


class Committed:
    """What one reader has taken in of the commit log."""

    def __init__(self, log: CommitLog) -> None:
        self._log = log
        self._seen = [0] * log.slots
        # By row: LSNs, and the newest counter up to each; both grow.
        self._lsns: list[list[int]] = [[0] for _ in range(ROWS)]
        self._counters: list[list[int]] = [[0] for _ in range(ROWS)]

    def floors(self, lsn: int) -> list[int]:
        """Return the counter of each row as of which it was committed before an LSN, as far as that is noted."""
        for slot in range(self._log.slots):
            self._take_in(slot)
        return [
            counters[bisect_right(lsns, lsn) - 1] for lsns, counters in zip(self._lsns, self._counters, strict=True)
        ]

    def _take_in(self, slot: int) -> None:
        count = self._log.count(slot)
        for number in range(max(self._seen[slot], count - RING + MARGIN), count):
            lsn, row, counter = self._log.entry(slot, number)
            lsns, counters = self._lsns[row], self._counters[row]
            place = bisect_right(lsns, lsn)
            if counters[place - 1] >= counter:
                continue  # another writer's came later, and was noted first
            end = place
            while end < len(counters) and counters[end] <= counter:
                end += 1
            lsns[place:end], counters[place:end] = [lsn], [counter]
        self._seen[slot] = count


def flushed(driver: psycopg.Connection) -> int:
    """Return the LSN up to which a primary has flushed its log: asked behind a commit, in no transaction.

    Raise psycopg.OperationalError where it does not answer.
    """
    result = driver.pgconn.exec_(b"SELECT (pg_current_wal_flush_lsn() - '0/0')::bigint")
    value = result.get_value(0, 0)
    if value is None:
        raise psycopg.OperationalError(result.error_message.decode(errors="replace"))
    return int(value)
