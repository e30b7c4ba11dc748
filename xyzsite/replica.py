"""How far the region is behind the database: its replica, and its relay, for pages, metrics and health checks."""

from collections.abc import Mapping

from django.conf import settings
from django.db import DEFAULT_DB_ALIAS, connections

from cacheops.conf import conf
from cacheops.monitoring import register_source
from cacheops.regions.lag import Lag, lag_meter
from cacheops.relay.lag import relay_lag_meter
from cacheops.relay.state import RelayState, state_of
from xyzsite.router import REPLICA

RELAY = "relay"


def register() -> None:
    """Show them beside the engine's gauges, in a region that has a replica, or may have a relay."""
    if REPLICA in settings.DATABASES:
        register_source(REPLICA, replica_gauges)
    if connections[DEFAULT_DB_ALIAS].vendor == "postgresql":
        register_source(RELAY, relay_gauges)


def measure() -> dict[str, Lag]:
    """Measure what the region has, against the end of the primary's log: its replica, its relay."""
    found = {REPLICA: lag_meter.measure(REPLICA, DEFAULT_DB_ALIAS), RELAY: relay_lag_meter.measure(REPLICA)}
    return {name: lag for name, lag in found.items() if lag is not None}


def lags_shown() -> dict[str, Lag]:
    """Return the lags for a page: no database is asked for them that the page has not asked itself."""
    replica = lag_meter.last().get(REPLICA)
    if replica is None:
        return {}
    relay = relay_lag_meter.measured(REPLICA)
    return {REPLICA: replica} if relay is None else {REPLICA: replica, RELAY: relay}


def too_far(lags: Mapping[str, Lag]) -> list[str]:
    """Return which of these are further behind than may be."""
    return [name for name, lag in lags.items() if lag.seconds > conf.max_lag]


def replica_gauges() -> dict[str, float]:
    return figures(lag_meter.measure(REPLICA, DEFAULT_DB_ALIAS))


def relay_gauges() -> dict[str, float]:
    found: dict[str, float] = {}
    if REPLICA in conf.followers:
        lag_meter.measured(REPLICA)  # which notes the end of the log
        found = figures(relay_lag_meter.measure(REPLICA))
    return found | slot_figures(state_of(DEFAULT_DB_ALIAS, conf.local_region))


def slot_figures(state: RelayState) -> dict[str, float]:
    """Return whether a relay that has worked still does, and the bytes of the log that are kept for it."""
    return {"at_work": float(state.is_active), "held_bytes": float(state.held or 0)} if state.has_slot else {}


def figures(lag: Lag | None) -> dict[str, float]:
    """Return how far something is behind, how far it may be, and whether it is known to follow."""
    if lag is None:
        return {"up": 0.0, "max_lag_seconds": conf.max_lag}
    return {
        "up": float(lag.is_known),
        "max_lag_seconds": conf.max_lag,
        "lag_seconds": lag.seconds,
        "lag_bytes": float(lag.bytes),
        "too_far_behind": float(lag.seconds > conf.max_lag),
    }
