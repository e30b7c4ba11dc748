"""Read your own writes where a replica answers: what a request, or a task, has written and must see.

Without a scope all reads go to the primary: so do tasks and commands, unless they ask for the replica by `after`. A
scope reads the replica until it has written, is in a transaction of the primary, or must see more than the replica has
replayed; from then on it reads the primary, to its end.
"""

from asyncio import _get_running_loop  # None outside of coroutines
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from django.db import DEFAULT_DB_ALIAS, connections

from cacheops.instrumentation.counters import counters
from cacheops.regions.database_away import away_databases, count_unchecked
from cacheops.regions.lag import is_too_far, lag_meter
from cacheops.regions.position import Position, ask_position, shown_positions


class ReadScope:
    """What the reads of a request or task must see. Its threads share it."""

    def __init__(self, positions: Iterable[Position] = (), *, on_primary: bool = False) -> None:
        self.positions = list(positions)
        self.on_primary = on_primary
        self.written: set[str] = set()  # databases whose last commit has a position that is not known yet

    def alias(self, primary: str, replica: str) -> str:
        """Return which of two aliases a read goes to."""
        if not self.on_primary:
            self.on_primary = (
                primary in self.written or _in_transaction(primary) or not self._has_reached(primary, replica)
            )
        return primary if self.on_primary else replica

    def _has_reached(self, primary: str, replica: str) -> bool:
        """Return whether a replica shows all that must be seen; or all that can be, while its primary is away."""
        if _get_running_loop() is not None:  # nothing can be asked in a coroutine
            return not self.positions
        lag = lag_meter.measured(replica, primary)
        if lag is not None and is_too_far(lag):
            if not lag.is_known or not away_databases.is_away(primary):
                counters.event("position", too_far_behind=1)
                return False
            count_unchecked()  # the replica is all there is
        return not self.positions or self._has_reached_own(replica)

    def _has_reached_own(self, replica: str) -> bool:
        """Return whether a replica shows what is asked for by position. One of another history is dropped."""
        shown = shown_positions.last(replica)
        if shown is None or not all(position.is_reached(shown) for position in self.positions):
            shown = shown_positions.ask(replica)
        if shown is None:
            return False
        known = [position for position in self.positions if position.is_of_history(shown)]
        if len(known) < len(self.positions):
            counters.event("position", other_history=len(self.positions) - len(known))
            self.positions = known
        return all(position.is_reached(shown) for position in known)

    def leave_away(self, primary: str, replica: str) -> bool:
        """Return whether the primary that this has read is away, and the replica may be read in its stead."""
        if not self.on_primary or primary in self.written or replica not in connections.settings:
            return False
        self.on_primary = not away_databases.is_away(primary)
        return not self.on_primary

    def leave_lost(self, replica: str) -> bool:
        """Return whether the replica that this has read does not answer any more; the primary is read then."""
        if self.on_primary or replica not in connections.settings:
            return False
        lag = lag_meter.measure(replica)
        self.on_primary = lag is not None and not lag.is_known
        return self.on_primary

    def ask(self, database: str) -> Position | None:
        """Return the position behind all that was written to a database; None where that is not known."""
        found = ask_position(database)
        if found is None:
            counters.event("position", unknown=1)
        else:
            self.written.discard(database)
            self.positions.append(found)
        return found


_scope: ContextVar[ReadScope | None] = ContextVar("cacheops_read_scope", default=None)


@contextmanager
def in_scope(scope: ReadScope) -> Iterator[ReadScope]:
    """Read in a scope within the block."""
    token = _scope.set(scope)
    try:
        yield scope
    finally:
        _scope.reset(token)


@contextmanager
def after(*positions: Position | str | None) -> Iterator[None]:
    """Let a task or command read the replica where it shows what was committed before the positions.

    Without positions, whatever it shows; with None, which is one that is not known, the primary is read. Within a
    scope, the positions count to its end. Raise ValueError for a text that is no position.
    """
    wanted = [Position.parse(each) if isinstance(each, str) else each for each in positions]
    known = [each for each in wanted if each is not None]
    outer = _scope.get()
    if outer is None:
        with in_scope(ReadScope(known, on_primary=len(known) < len(wanted))):
            yield
    else:
        outer.positions.extend(known)
        outer.on_primary = outer.on_primary or len(known) < len(wanted)
        yield


def position(database: str = DEFAULT_DB_ALIAS) -> Position | None:
    """Return the position behind all that was committed to a database until now: for `after`, in another process.

    None where it is not known: no PostgreSQL, within a transaction, or no answer.
    """
    scope = _scope.get()
    return ask_position(database) if scope is None else scope.ask(database)


def current_scope() -> ReadScope | None:
    """Return the scope of the running request or task."""
    return _scope.get()


def note_write(database: str) -> None:
    """Take note that what the running request or task has written to a database is, or may be, committed."""
    scope = _scope.get()
    if scope is not None:
        scope.written.add(database)


def alias_for_read(primary: str, replica: str) -> str:
    """Return which of two aliases a read goes to, for a database router."""
    scope = _scope.get()
    return primary if scope is None or replica not in connections.settings else scope.alias(primary, replica)


def _in_transaction(database: str) -> bool:
    wrapper = connections[database]
    return wrapper.in_atomic_block or (wrapper.connection is not None and not wrapper.autocommit)
