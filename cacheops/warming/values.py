"""Values that an app keeps in a region's Django cache, under keys of its own."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from django.core.cache import caches

from cacheops.exceptions import StoreUnavailable
from cacheops.regions import Region
from cacheops.warming.crew import Crew


class Value(NamedTuple):
    """One value: its key, and how it is made, with the seconds that it lives."""

    key: str
    make: Callable[[], tuple[Any, float]]


@dataclass(frozen=True)
class Values:
    """Values that are made once and stored in every region. They have no leases: each ends by its own age."""

    values: Sequence[Value]

    def warm(self, crew: Crew) -> None:
        keys = [value.key for value in self.values]
        crew.asked += len(keys)
        held = crew.each(lambda region: frozenset(caches[region.name].get_many(keys)), len(keys))
        missing = {name: [value for value in self.values if value.key not in found] for name, found in held.items()}
        for name, found in held.items():
            crew.outcomes[name].already_warm += len(found)
        if crew.dry_run:
            for name, some in missing.items():
                crew.outcomes[name].warmed += len(some)
            return
        wanted = {value.key for some in missing.values() for value in some}
        made = {value.key: value.make() for value in self.values if value.key in wanted}
        for name, some in missing.items():
            self._store(crew, name, {value.key: made[value.key] for value in some})

    def _store(self, crew: Crew, name: str, made: dict[str, tuple[Any, float]]) -> None:
        batches: dict[float, dict[str, Any]] = {}
        for key, (value, ttl) in made.items():
            batches.setdefault(ttl, {})[key] = value

        def store(region: Region) -> int:
            failed = sum(len(caches[region.name].set_many(batch, ttl)) for ttl, batch in batches.items())
            if failed == len(made):
                raise StoreUnavailable(f"{region.name} took none of the values.")
            return failed

        if made:
            for failed in crew.each(store, len(made), among=[name]).values():
                crew.outcomes[name].warmed += len(made) - failed
                crew.outcomes[name].failed += failed
                crew.outcomes[name].bytes += sum(
                    len(value) for value, _ in made.values() if isinstance(value, str | bytes)
                )
