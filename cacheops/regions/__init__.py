"""The regions of this process: `regions.local`, `regions["us-west-2"]`. Each is one CACHES alias and one store."""

from cacheops.regions.region import Region, RegionHandler, regions, store_for

__all__ = ["Region", "RegionHandler", "regions", "store_for"]
