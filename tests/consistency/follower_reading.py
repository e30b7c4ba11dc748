"""A reader in a follower region: judged by what the region has named, what it has seen committed, and the bound.

- An answer of the region's, or filled into it, shows at least what was committed before the position that its servers
  named as the read began. (Where they did not answer in time, it is the replica's.)
- Every answer shows the reader's own writes, and what was committed before the position that it has brought along.
- One that no database was asked for shows all that was committed `CACHEOPS_MAX_LAG` before the read began.
"""

import time
from collections.abc import Callable, Iterable
from typing import Any

from django.db import DatabaseError, InterfaceError, connections

from cacheops.conf import conf
from cacheops.databases import table_keys
from cacheops.exceptions import StoreError
from cacheops.instrumentation.request_stats import collect_request_stats
from cacheops.regions import regions
from cacheops.regions.position import Position, ask_position
from cacheops.regions.read_scope import ReadScope, after, current_scope, in_scope, position
from tests.consistency.commits import Committed
from tests.consistency.models import Item, Shelf
from tests.consistency.past import NOTHING, Past
from tests.consistency.reading import KINDS, Check, Kind, Reader
from tests.consistency.rules import Bounds
from tests.consistency.transactions import KINDS as WRITES
from tests.consistency.transactions import hold, raw_alone, save_alone
from tests.consistency.writing import Writer
from xyzsite.router import REPLICA

AWAY = (DatabaseError, InterfaceError)  # a database that is killed, frozen or parted
AWAY_PAUSE = 0.05  # seconds until it is tried again
SESSION = 20  # reads in one scope, as of one request
BRINGS, WRITES_SOMETHING = 0.15, 0.03  # shares of the sessions


class FollowerReader(Reader):
    """`writer` writes for this process, in the same slot, and has a commit log."""

    def __init__(self, *arguments: Any, writer: Writer, **options: Any) -> None:
        super().__init__(*arguments, **options)
        assert writer.commits is not None
        self.writer = writer
        self.commits = writer.commits
        self.committed = Committed(writer.commits)
        self.past = Past(1)
        self.must_see: Bounds = NOTHING
        self.kind = ""  # of the session, for reports
        self.history: Position | None = None  # of the primary; its system and timeline count

    def run(self, flush: Callable[[], None]) -> None:
        while not self.board.stopped:
            try:
                self.session()
            except AWAY:
                self.board.count(self.slot, "errors")
                for alias in connections:
                    connections[alias].close()
                time.sleep(AWAY_PAUSE)
            flush()

    def session(self) -> None:
        """Read, in a scope, as nobody in particular, as somebody who comes from elsewhere, or who has written."""
        self.must_see = NOTHING
        drawn = self.random.random()
        if drawn < WRITES_SOMETHING:
            self.kind = "a session that writes"
            self.write_and_read()
        elif drawn < WRITES_SOMETHING + BRINGS:
            self.kind = "a session that brings a position"
            self.bring_position()
        else:
            self.kind = "a session"
            with in_scope(ReadScope()):
                self.read_some()

    def bring_position(self) -> None:
        """Read behind what another process has committed last."""
        lsn = self.commits.newest()
        self.history = self.history or ask_position("default")
        if self.history is None or not lsn:
            return
        self.must_see = self.committed.floors(lsn)
        with in_scope(ReadScope([self.history._replace(lsn=f"{lsn:016X}")])):
            self.read_some()

    def write_and_read(self) -> None:
        """Write to the primary; read before the position of that is known, and with it.

        Whoever has committed nothing in this scope has no position of what they wrote before.
        """
        kinds = [kind for kind in WRITES if kind not in (hold, raw_alone, save_alone)]
        with in_scope(ReadScope()):
            if self.writer.write(self.random.choice(kinds)):
                self.must_see = self.own()
            self.read_some(3)
            mine = position()
            self.must_see = self.own()
        with after(mine):
            self.read_some()

    def own(self) -> Bounds:
        return [self.board.own("strict", self.slot, row) for row in range(len(NOTHING))]

    def read_some(self, number: int = SESSION) -> None:
        for kind in self.random.choices(list(KINDS), list(KINDS.values()), k=number):
            self.read(kind)

    def read(self, kind: Kind) -> None:
        """Note what must be seen, read, check."""
        board, began = self.board, time.monotonic()
        self.past.note(began, (board.all("strict"),))
        named = self.named()
        with collect_request_stats() as stats:
            check = kind(self)
        is_hit = stats.hits > 0 and not stats.misses and not stats.bypasses
        still_named = self.named()  # less, where a server was replaced by one that knows less
        floors = [self.must_see]
        is_vouched = bool(named and still_named) and not stats.bypasses
        if is_vouched:
            floors.append(self.committed.floors(min(named, still_named)))
            board.count(self.slot, "vouched")
        if is_hit:
            floors.append(self.past.at(began - conf.max_lag)[0])
            board.count(self.slot, "bounded")
        board.count(self.slot, "reads")
        board.count(self.slot, kind.__name__)
        fault = check(newest(floors), board.ceilings())
        if fault:
            asked = f"{stats.hits} hits, {stats.misses} misses, {stats.bypasses} bypasses"
            fault = f"{fault}; {self.why(check, floors, is_hit, is_vouched)}; {asked}; named {named:X}, {still_named:X}"
            fault += f"; {self.kind} of {wanted()}"
            self.reports.add(kind.__name__, fault, fault)

    def why(self, check: Check, floors: list[Bounds], is_hit: bool, is_vouched: bool) -> str:
        """Say by which of the floors an answer is too old."""
        names = ["its reader must see", *["the region's position"] * is_vouched, *["the bound"] * is_hit]
        ceilings = self.board.ceilings()
        too_old = [name for name, floor in zip(names, floors, strict=True) if check(floor, ceilings)]
        return f"a {'hit' if is_hit else 'load'} older than {', '.join(too_old) or 'nothing alone'}"

    def named(self) -> int:
        """Return the LSN up to which the region vouches for both tables now; 0 where it does not."""
        keys = [table_keys(REPLICA, model._meta.db_table).position for model in (Item, Shelf)]
        try:
            found = regions.local.store.read(keys)
        except StoreError:
            return 0
        if None in found:
            return 0
        return min(int(Position.parse((text or b"").decode()).lsn, 16) for text in found)


def wanted() -> str:
    """Return what the reader's scope asks for: positions, and whether it reads the primary."""
    scope = current_scope()
    if scope is None:
        return "no scope"
    return f"{[str(each) for each in scope.positions]}, primary: {scope.on_primary}, written: {scope.written}"


def newest(floors: Iterable[Bounds]) -> Bounds:
    return list(map(max, NOTHING, *floors))
