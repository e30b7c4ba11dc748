"""How far a follower region's relay is behind the log, apart from the replica that it goes with.

What each table's record says is held against the end of the log that the replica's lag was last measured by. No
database is asked: where the replica is not measured, nor is the relay.
"""

import time

from cacheops.conf import conf
from cacheops.databases import name_of
from cacheops.engine import register_component
from cacheops.orm.schema import is_tracked, models_by_table
from cacheops.protocol.keys import TableKeys
from cacheops.regions import Region, regions
from cacheops.regions.lag import UNKNOWN, WAIT, Lag, LagClock, LagMeter, lag_meter
from cacheops.regions.position import PAUSE_SECONDS


class RelayLagMeter(LagMeter):
    """The lags of the relays of this process's region, by the aliases of the replicas that it follows."""

    what = "The relay of"

    def _measure(self, clock: LagClock, replica: str, primary: str | None) -> Lag | None:
        newest = lag_meter.newest_end(replica)
        if newest is None or replica not in conf.followers:
            return None
        deadline = time.monotonic() + WAIT
        while (told := told_until(regions.local, name_of(replica))) is not None:
            lag = clock.note(*newest, told)
            if not lag.seconds or time.monotonic() > deadline:
                return lag
            time.sleep(PAUSE_SECONDS)
        return UNKNOWN


def told_until(region: Region, name: str) -> str | None:
    """Return the LSN up to which a region was told of all tables of a replica, by its name in keys; None: of none."""
    keys = [TableKeys.of(conf.prefix, name, table).followed for table in models_by_table() if is_tracked(table)]
    with region.guard():
        records = region.store.read(keys)
    return min((record.decode().rpartition("-")[2] for record in records if record), default=None)


relay_lag_meter = register_component(RelayLagMeter())
