"""What the cache does, counted and shown (docs/how-to/monitoring.md)."""

from cacheops.instrumentation.counters import counters
from cacheops.instrumentation.gauges import register_source
from cacheops.instrumentation.request_stats import RequestStats, collect_request_stats
from cacheops.monitoring.monitor import CacheMetrics, CacheMonitor, states

__all__ = [
    "CacheMetrics",
    "CacheMonitor",
    "RequestStats",
    "collect_request_stats",
    "counters",
    "register_source",
    "states",
]
