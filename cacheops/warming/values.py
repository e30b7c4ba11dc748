"""Values that an app keeps in a region's Django cache, under keys of its own."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from cacheops.encoding.objects import encoded
from cacheops.exceptions import StoreUnavailable
from cacheops.patterns.batch import BatchCacheOperations
from cacheops.regions import Region
from cacheops.warming.fanout import RegionFanout


class Corrections(NamedTuple):
    """What must not stay as it was stored, because its source has changed meanwhile."""

    replaced: Mapping[str, Any] = {}
    deleted: Sequence[str] = ()


def as_stored(keys: Sequence[str]) -> Corrections:
    """Leave all as it is."""
    return Corrections()


@dataclass(frozen=True)
class Values:
    """Values that are made once and stored for `ttl` in every region where their keys are not there.

    What is there is never overwritten. There are no leases: `check` is asked afterwards, of the keys that were made,
    what has changed since, until it finds nothing; without it, each ends by its own age. `make` may leave keys out.
    """

    keys: Sequence[str]
    make: Callable[[Sequence[str]], Mapping[str, Any]]
    ttl: float | str
    check: Callable[[Sequence[str]], Corrections] = field(default=as_stored)

    def warm(self, fanout: RegionFanout) -> None:
        fanout.entries += len(self.keys)
        held = fanout.each(lambda region: BatchCacheOperations(region.name).batch_get(self.keys), len(self.keys))
        missing = {name: [key for key in self.keys if key not in found] for name, found in held.items()}
        for name, found in held.items():
            fanout.outcomes[name].already_warm += len(found)
        if fanout.dry_run:
            for name, some in missing.items():
                fanout.outcomes[name].warmed += len(some)
            return
        wanted = [key for key in self.keys if any(key in found for found in map(set, missing.values()))]
        if not wanted:
            return
        made = self.make(wanted)
        for name, some in missing.items():
            self._add(fanout, name, some, made)
        self._correct(fanout, list(made))

    def _add(self, fanout: RegionFanout, name: str, missing: Sequence[str], made: Mapping[str, Any]) -> None:
        outcome = fanout.outcomes[name]
        mine = {key: made[key] for key in missing if key in made}
        outcome.skipped += len(missing) - len(mine)

        def add(region: Region) -> int:
            batch = BatchCacheOperations(region.name)
            added = batch.batch_add(mine, self.ttl)
            if added < len(mine) and len(batch.batch_get(mine)) < len(mine):  # nobody else has stored them either
                raise StoreUnavailable(f"{region.name} did not take all of the values.")
            return added

        if mine:
            for added in fanout.each(add, len(mine), among=[name]).values():
                outcome.warmed += added
                outcome.already_warm += len(mine) - added
                outcome.bytes += sum(len(encoded(value)) for value in mine.values())

    def _correct(self, fanout: RegionFanout, keys: Sequence[str]) -> None:
        """Bring the regions up to what has changed while values were made and stored."""
        while keys:
            replaced, deleted = self.check(keys)

            def correct(region: Region, replaced: Any = replaced, deleted: Any = deleted) -> None:
                batch = BatchCacheOperations(region.name)
                if not batch.batch_set(replaced, self.ttl):
                    raise StoreUnavailable(f"{region.name} did not take what has changed.")
                batch.batch_delete(deleted)

            if replaced or deleted:
                fanout.each(correct, len(replaced) + len(deleted))
            keys = list(deleted)  # what is replaced stays so; after a delete the source must be asked once more
