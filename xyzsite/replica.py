"""The lag of the region's database replica, for metrics and health checks: the primary is asked, too."""

from django.conf import settings
from django.db import DEFAULT_DB_ALIAS

from cacheops.conf import conf
from cacheops.monitoring import register_source
from cacheops.regions.lag import Lag, lag_meter
from xyzsite.router import REPLICA


def register() -> None:
    """Show the lag beside the engine's gauges, in a region that has a replica."""
    if REPLICA in settings.DATABASES:
        register_source(REPLICA, replica_gauges)


def replica_gauges() -> dict[str, float]:
    return figures(lag_meter.measure(REPLICA, DEFAULT_DB_ALIAS))


def figures(lag: Lag | None) -> dict[str, float]:
    """Return how far the replica is behind, how far it may be, and whether it is known to follow."""
    if lag is None:
        return {"up": 0.0, "max_lag_seconds": conf.max_lag}
    return {
        "up": float(lag.is_known),
        "max_lag_seconds": conf.max_lag,
        "lag_seconds": lag.seconds,
        "lag_bytes": float(lag.bytes),
    }
