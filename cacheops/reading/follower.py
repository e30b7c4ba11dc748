"""Reads of a follower: a database replica, of whose log a relay tells the region (R18, R24 to R28).

Nobody marks there. A look-up takes the position of each table that it asks in the same round trip: every commit up to
it is invalidated there. A lease is filled from a replica only that is seen to show as much.
"""

from collections.abc import Iterable, Sequence

from cacheops.conf import conf
from cacheops.encoding.rows import Row
from cacheops.exceptions import StoreError
from cacheops.protocol.keys import IDENTITY
from cacheops.reading.lease import Lease
from cacheops.reading.load import load_and_fill
from cacheops.reading.options import loaded_from
from cacheops.reading.reader import Load
from cacheops.reading.request import Request
from cacheops.regions import Region
from cacheops.regions.position import Position, shown_positions
from cacheops.regions.read_scope import current_scope
from cacheops.stores.base import TableTags


class NotVouched(StoreError):
    """The region does not vouch for its entries as far as the reader must see."""


class FollowerRead:
    """What one read of a replica must see: its reader's own writes, and what the region vouches for as it begins."""

    def __init__(self, alias: str) -> None:
        scope = current_scope()
        self.alias = alias
        self.primary = conf.followers[alias]
        self.own = [] if scope is None else list(scope.positions)
        self.has_unknown = scope is not None and self.primary in scope.written  # R28: no position says how far
        self.vouched: set[Position] = set()

    def look_up(self, region: Region, request: Request, keys: Sequence[str]) -> list[bytes | None]:
        """Return the values of a request's keys. Raise NotVouched where the reader must see more (R27)."""
        if self.has_unknown:
            raise NotVouched("The reader has written, and does not know its position yet.")
        # A table's position is read with its tags, in one step: a newer one would vouch for tags of before.
        asked = [keys[0]]
        for table in request.tables:
            asked += [*self._position_of(table), *table.key_list()]
        values = dict(zip(asked, region.store.read(asked), strict=True))
        vouched = parsed(values[key] for key in self._positions_of(request))
        if not vouched or not all(own.is_reached(each) for own in self.own for each in vouched):
            raise NotVouched("The region has not been told of as much as the reader must see.")
        self.vouched |= vouched
        return [values[key] for key in keys]

    def load(self, lease: Lease, load: Load) -> Sequence[Row]:
        """Load and fill where the replica shows all that is invalidated under a lease; else load from the primary."""
        if self.may_fill(lease.region, [lease.request]):
            return load_and_fill(lease, load)
        lease.release()
        return self._from_primary(load)

    def load_past(self, load: Load) -> Sequence[Row]:
        """Load without a lease: from the replica where it shows what the reader must see, else from the primary."""
        if self.has_unknown:
            return self._from_primary(load)
        is_free = not self.own and not self.vouched
        return load() if is_free or self._is_shown(self.vouched) else self._from_primary(load)

    def may_fill(self, region: Region, requests: Iterable[Request], patience: float = 0.0) -> bool:
        """Return whether the replica shows all that was invalidated before leases were taken, within some seconds."""
        keys = dict.fromkeys(key for request in requests for key in self._positions_of(request))
        try:
            with region.guard(urgent=True):
                # What was invalidated before a lease is at most this: it is read behind the lease (R18).
                invalidated = parsed(region.store.read(list(keys)))
        except StoreError:
            return False
        return bool(invalidated) and self._is_shown(invalidated | self.vouched, patience)

    def _positions_of(self, request: Request) -> list[str]:
        return [key for table in request.tables for key in self._position_of(table)]

    def _position_of(self, table: TableTags) -> list[str]:
        """Return the key of a table's position; none where it is no table of the replica's."""
        return [table.keys.position] if f"{{{self.alias}{IDENTITY}" in table.keys.base else []

    def _is_shown(self, needed: Iterable[Position], patience: float = 0.0) -> bool:
        """Return whether this thread's connection to the replica shows these positions, and the reader's own."""
        return shown_positions.show(self.alias, [*self.own, *needed], patience)

    def _from_primary(self, load: Load) -> Sequence[Row]:
        with loaded_from({self.alias: self.primary}):
            return load()


def parsed(values: Iterable[bytes | None]) -> set[Position]:
    """Return the positions that a region's keys hold, none where one of them vouches for nothing."""
    try:
        return {Position.parse((value or b"").decode()) for value in values}
    except ValueError:
        return set()
