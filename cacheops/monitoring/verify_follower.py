"""The rules by which a follower's entry is compared: its region is told of what the replica shows, some time later."""

import time
from collections.abc import Sequence

from cacheops.conf import conf
from cacheops.protocol.keys import parse
from cacheops.reading.follower import parsed
from cacheops.regions import Region
from cacheops.regions.position import Position, shown_positions

RELAY_BEHIND = "relay_behind"
WAIT_SECONDS = 2.0  # for the relay to tell what the replica shows, where CACHEOPS_MAX_LAG is longer
PAUSE = 0.05


class FollowerRules:
    """What a region vouches for of some tables, those of the keys of entries and of their tags."""

    def __init__(self, region: Region, alias: str, keys: Sequence[str]) -> None:
        self._store, self._alias = region.store, alias
        tables = {found.keys for key in keys if (found := parse(key))}
        self._keys = [keys.position for keys in tables]

    def vouched(self) -> set[Position]:
        """Return the positions of the tables, none where one of them has none."""
        return parsed(self._store.read(self._keys))

    def is_shown(self) -> bool:
        """Return whether the replica shows all that the region was told of: else it may be older than the entry."""
        shown = shown_positions.ask(self._alias)
        return shown is not None and all(each.is_reached(shown) for each in self.vouched())

    def why_allowed(self) -> str:
        """Return why rows that were loaded until now may differ from the entry, "" where they must not.

        Wait for the relay, as long as a position may count.
        """
        shown = shown_positions.ask(self._alias)
        deadline = time.monotonic() + min(conf.max_lag, WAIT_SECONDS)
        while True:
            vouched = self.vouched()
            if shown is not None and vouched and all(shown.is_reached(each) for each in vouched):
                return ""
            if time.monotonic() > deadline:
                return "within the bound" if vouched else "it is not served"
            time.sleep(PAUSE)
