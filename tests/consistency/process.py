"""One reader, writer or relay, as a process of its own: `python -m tests.consistency.process '{"role": ...}'`."""

import json
import os
import random
import sys
import time
from pathlib import Path
from typing import Any

import django
from django.core.management import call_command
from django.db import OperationalError, connections

CONNECT_SECONDS = 60.0  # a replica may have yet to replay that its database was made
COPIED = ("hits", "misses", "bypasses", "near", "queued", "replayed", "late_marks", "lost_marks", "refused_fills")


def flusher(board: Any, slot: int) -> Any:
    """Return a call that adds what the engine has counted since the last time to the board."""
    from cacheops.instrumentation.counters import counters

    last = dict.fromkeys(COPIED, 0)

    def flush() -> None:
        for name in COPIED:
            now = counters.total(name)
            board.count(slot, name, now - last[name])
            last[name] = now

    return flush


def main(task: dict[str, Any]) -> None:
    os.environ["DJANGO_SETTINGS_MODULE"] = "tests.consistency.settings"
    django.setup()
    from tests.consistency.board import Board
    from tests.consistency.strategies import STRATEGIES, pause_loaders

    STRATEGIES[task["strategy"]]()
    if task["role"] == "relay":
        call_command("relay")
        return
    board = Board(Path(task["directory"]) / "board", task["processes"], task["writers"])
    pause_loaders(random.Random(task["seed"]), *task["pause"])
    flush = flusher(board, task["slot"])
    connect()
    board.count(task["slot"], "connected")
    while not board.ready:
        time.sleep(0.01)
    actor_of(task, board).run(flush)
    flush()


def connect() -> None:
    """Connect to each database. Raise OperationalError where one does not answer for a long time."""
    deadline = time.monotonic() + CONNECT_SECONDS
    for alias in connections:
        while True:
            try:
                connections[alias].ensure_connection()
                break
            except OperationalError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.05)


def actor_of(task: dict[str, Any], board: Any) -> Any:
    """Return the reader or writer of a task."""
    from tests.consistency.commits import CommitLog
    from tests.consistency.follower_reading import FollowerReader
    from tests.consistency.near_reading import NearReader
    from tests.consistency.reading import Reader
    from tests.consistency.reports import Reports
    from tests.consistency.writing import Writer

    directory, slot = Path(task["directory"]), task["slot"]
    common = board, slot, task["seed"], Reports(board, slot, directory)
    reading = {"hot": task["hot"], "snapshots": task["snapshots"]}
    if task["role"] == "reader" and task["near"]:
        return NearReader(*common, **reading, bound=task["near"])
    if task["role"] == "reader" and not task["follows"]:
        return Reader(*common, **reading)
    writer = Writer(
        *common,
        dies=task["dies"],
        holds=task["holds"],
        hot=task["hot"],
        pause=task["pause"],
        reads_per_write=task["reads_per_write"],
        commits=CommitLog(directory / "commits", task["writers"] + 1) if task["follows"] else None,
    )
    return writer if task["role"] == "writer" else FollowerReader(*common, **reading, writer=writer)


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
