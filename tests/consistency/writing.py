"""A writer: transactions of every kind, each publishing what it committed as soon as COMMIT has returned."""

import os
import random
import signal
import time
from collections.abc import Callable

from django.db import DatabaseError, InterfaceError, connection
from django.db.transaction import atomic

from cacheops.exceptions import InvalidationRefused
from cacheops.instrumentation.counters import counters
from tests.consistency.backend.base import Hooks
from tests.consistency.board import UNKNOWN, WINDOW, Board
from tests.consistency.commits import CommitLog, flushed
from tests.consistency.models import Item
from tests.consistency.reports import Reports
from tests.consistency.rules import IMMORTAL, look_of
from tests.consistency.strategies import pause_sometimes
from tests.consistency.transactions import KINDS, Kind, Rollback, hold, raw_alone, save_alone

LONGEST_WAIT = 1.0  # seconds without a write, where readers stand still
DIE = 0.002  # share of the commits at which a writer ends itself, where writers are killed


class Writer:
    """`slot` is its place on the board; with `commits`, it notes where in the log its commits end."""

    def __init__(
        self,
        board: Board,
        slot: int,
        seed: int,
        reports: Reports,
        *,
        dies: bool,
        holds: bool,
        hot: int,
        pause: tuple[float, float],
        reads_per_write: float,
        commits: CommitLog | None = None,
    ) -> None:
        self.board = board
        self.slot = slot
        self.random = random.Random(seed)
        self.dies = dies
        self.holds = holds
        self.hot = hot
        self.pause = pause
        self.reads_per_write = reads_per_write
        self.changes: dict[int, int] = {}  # row on the board -> its counter, of the open transaction
        self.later: list[tuple[float, int, int]] = []  # promised only after a while: their invalidation was queued
        self.queued = 0
        self.reports = reports
        self.commits = commits
        Hooks.before_commit = self.before_commit  # type: ignore[method-assign]
        Hooks.after_commit = self.after_commit  # type: ignore[method-assign]

    def run(self, flush: Callable[[], None]) -> None:
        kinds = list(KINDS)
        weights = [0 if kind is hold and not self.holds else KINDS[kind] for kind in kinds]
        while not self.board.stopped:
            self.write(self.random.choices(kinds, weights)[0])
            self.promise()
            flush()
            self.wait()

    def wait(self) -> None:
        """Let readers read, so that entries are used before they are invalidated, on any machine."""
        until = self.board.figure("reads") + self.random.uniform(0, 2 * self.reads_per_write)
        deadline = time.monotonic() + LONGEST_WAIT
        while self.board.figure("reads") < until and time.monotonic() < deadline:
            time.sleep(0.002)
            self.promise()

    def write(self, kind: Kind) -> bool:
        """Write; return whether it was committed."""
        self.changes.clear()
        self.queued = counters.total("queued")
        try:
            self.note_backend()
            if kind in (raw_alone, save_alone):
                kind(self)
            else:
                with atomic():
                    kind(self)
            self.board.count(self.slot, "writes")
        except Rollback:
            self.board.count(self.slot, "rollbacks")
            return False
        except InvalidationRefused:
            self.board.count(self.slot, "refused")
            return False
        except (DatabaseError, InterfaceError) as error:
            if "deadlock" in str(error):
                self.board.count(self.slot, "rollbacks")
            elif self.commits is None:
                raise
            else:  # the database is lost, and what became of the transaction is for the orchestrator to ask
                os.kill(os.getpid(), signal.SIGKILL)
            return False
        self.read_own()
        return True

    def note_backend(self) -> None:
        """Name the database's process that serves this one: another, where the connection was lost."""
        connection.ensure_connection()
        self.board.set_backend(self.slot, connection.connection.info.backend_pid)

    def before_commit(self) -> None:
        for row, counter in self.changes.items():
            self.board.put("intent", self.slot, row, counter)
        pause_sometimes(self.random, *self.pause)
        self.die_sometimes()

    def after_commit(self) -> None:
        queued = counters.total("queued") > self.queued
        for row, counter in self.changes.items():
            if counter == UNKNOWN:
                continue
            self.board.publish("strict", self.slot, row, counter)
            if queued:
                self.later.append((time.monotonic() + WINDOW, row, counter))
            else:
                self.board.publish("floor", self.slot, row, counter)
        if self.commits is not None:
            done = {row: counter for row, counter in self.changes.items() if counter != UNKNOWN}
            with connection.wrap_database_errors:
                self.commits.note(self.slot, flushed(connection.connection), done)
        self.die_sometimes()
        pause_sometimes(self.random, *self.pause)

    def die_sometimes(self) -> None:
        if self.dies and self.random.random() < DIE:
            os.kill(os.getpid(), signal.SIGKILL)

    def promise(self) -> None:
        """Publish what is promised by now."""
        now = time.monotonic()
        for due, row, counter in self.later:
            if due <= now:
                self.board.publish("floor", self.slot, row, counter)
        self.later = [item for item in self.later if item[0] > now]

    def read_own(self) -> None:
        """Read one of the rows that were written: whoever has written sees it at once."""
        items = [row for row in self.changes if row < IMMORTAL]
        if not items:
            return
        row = self.random.choice(items)
        low = self.board.own("strict", self.slot, row)
        found = Item.objects.get(pk=row + 1)
        self.board.count(self.slot, "own_write")
        if found.counter < low:
            fault = f"a writer read item {row + 1} at {found.counter} after its own commit of {low}"
            self.reports.add("own_write", fault, fault)

    # --- what kinds use ---------------------------------------------------------------------------------------------

    def immortal(self) -> int:
        return self.random.randint(1, self.hot)

    def locked(self, item: int) -> Item:
        return Item.objects.select_for_update().get(pk=item)

    def note(self, item: int, counter: int) -> None:
        self.changes[item - 1] = counter

    def advance(self, row: Item, counter: int | None = None) -> Item:
        """Give an instance the next counter, and all that follows from it."""
        row.counter = (row.counter if counter is None else counter) + 1
        look = look_of(row.pk, row.counter)
        if look is not None:
            row.shelf_id, row.parity = look.shelf, look.parity
        self.note(row.pk, row.counter)
        return row
