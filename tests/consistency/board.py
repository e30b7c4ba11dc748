"""What the processes share: a memory-mapped file of counters. Each cell has one writer; 8-byte stores are whole.

For each row: `strict`, the newest counter whose COMMIT had returned; `floor`, the same as far as the engine promises it
already (a commit that had to queue its invalidation gets a second); `intent`, the newest that may have been committed.
"""

import mmap
from pathlib import Path

from tests.consistency.rules import ITEMS, SHELVES

ROWS = ITEMS + SHELVES
WINDOW = 1.1  # seconds after which a queued invalidation must have reached every process; the engine promises 1
UNKNOWN = 1 << 40  # intent of a statement that commits by itself: the counter is known only afterwards
FIGURES = (
    "connected",
    "reads",
    "hits",
    "misses",
    "bypasses",
    "stale",
    "window",  # reads within the second that a queued invalidation takes: older than strict, as new as promised
    "errors",
    "writes",
    "rollbacks",
    "refused",  # writes that strict mode did not commit
    "queued",
    "replayed",
    "late_marks",
    "lost_marks",
    "refused_fills",
    "get",
    "unique",
    "foreign_key",
    "list",
    "list_parity",
    "joined",
    "count",
    "count_shelf",
    "exists",
    "sums",
    "in_bulk",
    "values",
    "values_shelf",
    "subquery",
    "snapshot",
    "own_write",
    "near",  # hits that the process held itself
    "vouched",  # reads in a follower that were judged by the position of its region
    "bounded",  # hits there, judged by the bound
)


PLACES = {name: place for place, name in enumerate(FIGURES)}


class Board:
    """`processes` is how many take part; the first `writers` of them write. One more slot is the orchestrator's."""

    def __init__(self, path: Path, processes: int, writers: int) -> None:
        self.processes = processes
        self.writers = writers
        self.orchestrator = writers  # its slot among the counters of rows
        size = 8 * (2 + 3 * (writers + 1) * ROWS + (processes + 1) * len(FIGURES) + writers)
        if not path.exists():
            path.write_bytes(bytes(size))
        with path.open("r+b") as file:
            self._map = mmap.mmap(file.fileno(), size)
        self._cells = memoryview(self._map).cast("q")
        at = 2
        self._areas = {}
        for name in ("strict", "floor", "intent"):
            self._areas[name] = at
            at += (writers + 1) * ROWS
        self._figures = at
        self._seen: dict[str, tuple[bytes, list[int]]] = {}  # by area: what was last found there
        self._backends = at + (processes + 1) * len(FIGURES)

    @property
    def stopped(self) -> bool:
        return bool(self._cells[0])

    def stop(self) -> None:
        self._cells[0] = 1

    @property
    def ready(self) -> bool:
        """Whether the readers may begin: everyone is connected."""
        return bool(self._cells[1])

    def start(self) -> None:
        self._cells[1] = 1

    def publish(self, area: str, slot: int, row: int, counter: int) -> None:
        """Raise a cell; rows count from 0, items first."""
        at = self._areas[area] + slot * ROWS + row
        if counter > self._cells[at]:
            self._cells[at] = counter

    def put(self, area: str, slot: int, row: int, counter: int) -> None:
        self._cells[self._areas[area] + slot * ROWS + row] = counter

    def own(self, area: str, slot: int, row: int) -> int:
        return self._cells[self._areas[area] + slot * ROWS + row]

    def all(self, area: str) -> list[int]:
        """Return the newest counter of each row that any process has published; do not change it."""
        start = self._areas[area]
        raw = self._map[8 * start : 8 * (start + (self.writers + 1) * ROWS)]
        last, newest = self._seen.get(area, (b"", []))
        if raw != last:  # most reads find nothing new
            cells = memoryview(raw).cast("q")
            slots = range(0, (self.writers + 1) * ROWS, ROWS)
            newest = list(map(max, *[cells[slot : slot + ROWS] for slot in slots]))
            self._seen[area] = (raw, newest)
        return newest

    def ceilings(self) -> list[int]:
        """Return the newest counter of each row that may have been committed by now."""
        return list(map(max, self.all("intent"), self.all("strict")))

    def count(self, slot: int, name: str, by: int = 1) -> None:
        self._cells[self._figures + slot * len(FIGURES) + PLACES[name]] += by

    def figure(self, name: str) -> int:
        at = self._figures + PLACES[name]
        return sum(self._cells[at + slot * len(FIGURES)] for slot in range(self.processes + 1))

    def figures(self) -> dict[str, int]:
        return {name: self.figure(name) for name in FIGURES}

    def set_backend(self, slot: int, pid: int) -> None:
        """Note the database's process that serves a writer, so that its end can be waited for."""
        self._cells[self._backends + slot] = pid

    def backend(self, slot: int) -> int:
        return self._cells[self._backends + slot]

    def close(self) -> None:
        self._cells.release()
        self._map.close()
