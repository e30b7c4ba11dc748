"""What a process found wrong: counted on the board, described in a file."""

import json
import time
from pathlib import Path

from tests.consistency.board import Board

MOST = 200  # a file of so many says enough


class Reports:
    def __init__(self, board: Board, slot: int, directory: Path) -> None:
        self._board = board
        self._slot = slot
        self._file = directory / f"stale-{slot}.jsonl"
        self._written = 0

    def add(self, kind: str, strict: str, promised: str) -> None:
        """Count a fault: stale, or only older than the newest commit because its invalidation waits in the queue.

        `strict` says what is wrong by the newest commits, `promised` by those that the engine promises to show.
        """
        self._board.count(self._slot, "stale" if promised else "window")
        if self._written < MOST:
            self._written += 1
            line = {"at": time.time(), "slot": self._slot, "kind": kind, "strict": strict, "promised": promised}
            with self._file.open("a") as file:
                file.write(json.dumps(line) + "\n")


def read_all(directory: Path) -> list[dict[str, str]]:
    """Return what all processes have reported."""
    files = sorted(directory.glob("stale-*.jsonl"))
    return [json.loads(line) for file in files for line in file.read_text().splitlines()]
