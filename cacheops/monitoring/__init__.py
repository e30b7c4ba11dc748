"""What the cache does, counted and shown (docs/how-to/monitoring.md)."""

from cacheops.instrumentation.counters import counters
from cacheops.instrumentation.gauges import register_source
from cacheops.instrumentation.request_stats import Tally, tallied
from cacheops.monitoring.monitor import CacheMetrics, CacheMonitor, states

__all__ = ["CacheMetrics", "CacheMonitor", "Tally", "counters", "register_source", "states", "tallied"]
