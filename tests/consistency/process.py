"""One reader or writer, as a process of its own: `python -m tests.consistency.process '{"role": ...}'`."""

import json
import os
import random
import sys
import time
from pathlib import Path
from typing import Any

import django

COPIED = ("hits", "misses", "bypasses", "queued", "replayed", "late_marks", "lost_marks", "refused_fills")


def flusher(board: Any, slot: int) -> Any:
    """Return a call that adds what the engine has counted since the last time to the board."""
    from cacheops.instrumentation.counters import counters

    last = dict.fromkeys(COPIED, 0)

    def flush() -> None:
        for name in COPIED:
            value = getattr(counters, name)
            now = value if isinstance(value, int) else value.total()
            board.count(slot, name, now - last[name])
            last[name] = now

    return flush


def main(task: dict[str, Any]) -> None:
    os.environ["DJANGO_SETTINGS_MODULE"] = "tests.consistency.settings"
    django.setup()
    from django.db import connection

    from tests.consistency.board import Board
    from tests.consistency.reading import Reader
    from tests.consistency.reports import Reports
    from tests.consistency.strategies import STRATEGIES, pause_loaders
    from tests.consistency.writing import Writer

    directory = Path(task["directory"])
    board = Board(directory / "board", task["processes"], task["writers"])
    STRATEGIES[task["strategy"]]()
    pause_loaders(random.Random(task["seed"]), *task["pause"])
    reports = Reports(board, task["slot"], directory)
    slot, flush = task["slot"], flusher(board, task["slot"])
    connection.ensure_connection()
    board.count(slot, "connected")
    while not board.ready:
        time.sleep(0.01)
    if task["role"] == "reader":
        Reader(board, slot, task["seed"], reports, hot=task["hot"], snapshots=task["snapshots"]).run(flush)
    else:
        writer = Writer(
            board,
            slot,
            task["seed"],
            reports,
            dies=task["dies"],
            holds=task["holds"],
            hot=task["hot"],
            pause=task["pause"],
            reads_per_write=task["reads_per_write"],
        )
        writer.run(flush)
    flush()


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
