"""What the keys of a region are: listed by SCAN within bounds, measured on a sample. KEYS would stop the server."""

import random
from collections import Counter, defaultdict
from dataclasses import dataclass, field

from cacheops.conf import conf
from cacheops.monitoring.stats import model_label
from cacheops.protocol.keys import (
    ENTRY,
    LOADER,
    METRICS,
    OUTDATED,
    RECIPE,
    REGISTRY,
    RELAY,
    TAG,
    USAGE,
    WRITE_BEHIND,
    parse,
)
from cacheops.regions import Region

MAX_KEYS = 50_000  # looked at in a region: some 100 round trips of half a millisecond of the server's time each
SAMPLE = 500  # keys of one model and kind whose memory is measured: the mean's error is then a few per cent
KINDS = {
    ENTRY: "entries",
    TAG: "tags",
    REGISTRY: "registries",
    LOADER: "loaders",
    OUTDATED: "outdated",
    RECIPE: "recipes",
}
OTHER = "other"


@dataclass(frozen=True, slots=True)
class KeyGroup:
    """The keys of one model (or table, or function) and kind."""

    model: str
    kind: str
    keys: int  # found
    bytes: int  # estimated from the sample; servers' own measure (MEMORY USAGE)
    largest: tuple[tuple[str, int], ...] = ()  # keys and bytes, of the sample, largest first


@dataclass(frozen=True, slots=True)
class KeyDistribution:
    """The keys of one region. `complete` says whether all were looked at; else it is a share of them."""

    region: str
    keys: int
    complete: bool
    groups: tuple[KeyGroup, ...] = ()  # most bytes first

    def by_model(self) -> dict[str, int]:
        """Return how many entries each model has."""
        found: Counter[str] = Counter()
        for group in self.groups:
            if group.kind == "entries":
                found[group.model] += group.keys
        return dict(found)


@dataclass(slots=True)
class _Found:
    """The keys of one group: a count, and a sample in which each key is as likely as any other (reservoir)."""

    count: int = 0
    sample: list[str] = field(default_factory=list)

    def add(self, key: str) -> None:
        self.count += 1
        if len(self.sample) < SAMPLE:
            self.sample.append(key)
        elif (place := random.randrange(self.count)) < SAMPLE:
            self.sample[place] = key


def key_distribution(region: Region, *, most: int = MAX_KEYS, largest: int = 10) -> KeyDistribution:
    """Return what a region's keys are. Raise StoreUnavailable, or CommandRefused, as its servers do."""
    groups: defaultdict[tuple[str, str], _Found] = defaultdict(_Found)
    seen, complete = 0, True
    for batch in region.store.scan(f"{conf.metrics_prefix}:"):
        for key in batch:
            groups[group_of(key)].add(key)
        seen += len(batch)
        if seen >= most:
            complete = False
            break
    made = [_measured(region, *parts, found, largest) for parts, found in groups.items()]
    return KeyDistribution(region.name, seen, complete, tuple(sorted(made, key=lambda group: -group.bytes)))


def _measured(region: Region, model: str, kind: str, found: _Found, largest: int) -> KeyGroup:
    sizes = region.store.inspection.sizes(found.sample)
    measured = [(key, size) for key, size in zip(found.sample, sizes, strict=True) if size]
    mean = sum(size for _, size in measured) / len(measured) if measured else 0.0
    top = sorted(measured, key=lambda pair: -pair[1])[:largest]
    return KeyGroup(model, kind, found.count, round(mean * found.count), tuple(top))


def group_of(key: str) -> tuple[str, str]:
    """Return the model and the kind of a key: ("devices.device", "entries")."""
    parsed = parse(key)
    if parsed is None:
        return OTHER, OTHER
    if parsed.database in (METRICS, USAGE, WRITE_BEHIND, RELAY):
        return parsed.database, parsed.database
    return model_label(parsed.table), KINDS.get(parsed.kind, OTHER)
