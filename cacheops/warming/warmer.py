"""Warming from code: the targets of `manage.py warm_cache`, under the specification's name."""

from collections.abc import Sequence
from typing import Any

from cacheops.conf import conf
from cacheops.exceptions import InvalidOption
from cacheops.warming.history import Checkpoint, WarmingRun
from cacheops.warming.ordering import existing_keys
from cacheops.warming.progress import QuietReport
from cacheops.warming.registry import find_warmers
from cacheops.warming.runner import Runner
from cacheops.warming.selection import Scope


class CacheWarmer:
    """Fills the regions named, else this process's own, with targets of `warm_cache`."""

    def __init__(self, *regions: str) -> None:
        self.regions = regions or (conf.local_region,)

    def warm(self, target: str, keys: Sequence[Any] | None = None) -> WarmingRun:
        """Warm the rows of these primary keys, in their order; without keys, what `warm_cache TARGET` takes.

        Raise InvalidOption for an unknown target, or for keys of one that lists its own.
        """
        (warmer,) = find_warmers([target])
        if keys is None:
            scope = Scope.chosen(None, None, False)
            checkpoint = Checkpoint((warmer.name,), scope.text, self.regions)
        elif warmer.model is None:
            raise InvalidOption(f"{warmer.name!r} lists its keys itself: none can be given.")
        else:
            scope = Scope(f"{len(keys)} keys", since=0.0)  # those given, and no others
            hot = list(existing_keys(warmer.model, keys))
            checkpoint = Checkpoint((warmer.name,), scope.text, self.regions, hot=hot)
        return Runner([warmer], checkpoint, scope, QuietReport())()

    def warm_device_cache(self, device_ids: Sequence[Any]) -> WarmingRun:
        """Warm the target "devices" for some of them."""
        return self.warm("devices", device_ids)

    def warm_analytics_cache(self) -> WarmingRun:
        """Warm the target "analytics"."""
        return self.warm("analytics")
