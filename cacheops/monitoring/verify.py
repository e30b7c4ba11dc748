"""Compare entries with the database while all runs: what `manage.py verify_cache` does.

The rules are those of a lease. An entry is read with its tags, then the database, then the entry with its tags again:
only what has not changed meanwhile is compared, since a write under way has its marks among the tags. A difference that
lasts breaks the promise, unless it is allowed; its cause is told from what is left of it.
"""

import math
import random
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

from cacheops.conf import conf
from cacheops.encoding import rows as codec
from cacheops.encoding.rows import Entry, Row
from cacheops.exceptions import CorruptEntry
from cacheops.instrumentation.counters import counters
from cacheops.monitoring import stats
from cacheops.monitoring.verify_follower import RELAY_BEHIND, FollowerRules
from cacheops.monitoring.verify_rows import equal_at_once, is_known, read_only, rows_are_equal, rows_of
from cacheops.protocol.keys import IDENTITY, RECIPE, REGISTRY, TableKeys, parse
from cacheops.protocol.tags import VERSION_BYTES
from cacheops.reading.recipes import Recipe, read_recipe
from cacheops.regions import Region
from cacheops.stores.base import MARK_BYTES

TRIES = 3  # of an entry that differs: what a moment explains is gone by then
PAUSE = 0.05  # seconds between them
MAX_KEPT = 100_000  # recipes of a region from which entries are drawn
SERIES = "e|verify"
MINUTES, HOURS = 1440, 720  # for which a region keeps its sums by minute, and by hour

# Outcomes of what is not compared.
GONE, OUTDATED, PENDING, CHANGED, OTHER = "gone", "outdated", "pending", "changed", "other_session"
EQUAL, DIFFERS, AMBIGUOUS = "equal", "differs", "ambiguous"


@dataclass(frozen=True, slots=True)
class Difference:
    """An entry that is not what the database holds; `allowed` says why it may, "" where it must not."""

    key: str
    label: str
    cause: str
    allowed: str = ""
    stale_seconds: float | None = None  # at most: since the entry was made


class Verified(NamedTuple):
    """What became of one entry."""

    outcome: str
    difference: Difference | None = None


class Report:
    """The sums of a run."""

    def __init__(self, region: str) -> None:
        self.region = region
        self.outcomes: Counter[str] = Counter()
        self.differences: list[Difference] = []

    @property
    def compared(self) -> int:
        return self.outcomes[EQUAL] + self.outcomes[DIFFERS]

    @property
    def faults(self) -> list[Difference]:
        """Return the differences that nothing allows."""
        return [each for each in self.differences if not each.allowed]

    def add(self, found: Verified) -> None:
        """Count one entry, for this report and for the metrics."""
        self.outcomes[found.outcome] += 1
        counts = {found.outcome: 1}
        if found.difference is None:
            counters.event("verify", **counts)
            return
        self.differences.append(found.difference)
        counts["faults"] = int(not found.difference.allowed)
        counts["allowed" if found.difference.allowed else found.difference.cause] = 1
        if found.difference.stale_seconds is None:
            counters.event("verify", **counts)
        else:
            counters.timed(SERIES, "stale", found.difference.stale_seconds, **counts)

    def as_values(self) -> dict[str, Any]:
        """Return the report as values that JSON knows."""
        return {
            "region": self.region,
            "compared": self.compared,
            "outcomes": dict(self.outcomes),
            "differences": [asdict(each) for each in self.differences],
        }


def recipe_keys(region: Region) -> list[str]:
    """Return the keys of what can be verified in a region, in random order."""
    found: list[str] = []
    for batch in region.store.scan(f"{conf.metrics_prefix}:"):
        found += [key for key in batch if (parsed := parse(key)) is not None and parsed.kind == RECIPE]
        if len(found) >= MAX_KEPT:
            break
    random.shuffle(found)
    return found


def verify(region: Region, keys: Sequence[str], at_once: int = 1) -> Iterator[Verified]:
    """Yield what becomes of each entry whose recipe's key is given. Raise StoreError, DatabaseError.

    `at_once`: so many are compared with the same few questions; whichever is not found equal is looked at by itself.
    """
    for start in range(0, len(keys), at_once):
        asked = keys[start : start + at_once]
        recipes: list[Recipe] = []
        for key, payload in zip(asked, region.read(asked, ()), strict=True):
            if payload is None:
                yield Verified(GONE)
                continue
            try:
                recipes.append(read_recipe(key, payload))
            except CorruptEntry:
                yield Verified(DIFFERS, Difference(key, "", "corrupt"))
        equal = equal_at_once(region, recipes) if len(recipes) > 1 else ()
        for recipe in recipes:
            yield Verified(EQUAL) if recipe.keys[0] in equal else verify_one(region, recipe)


def verify_one(region: Region, recipe: Recipe) -> Verified:
    """Return what becomes of one entry; one that differs is looked at again, as a moment may explain it."""
    for _ in range(TRIES):
        found = _compare(region, recipe)
        if found.outcome != DIFFERS or (found.difference and found.difference.cause == RELAY_BEHIND):
            break
        time.sleep(PAUSE)
    return found


def _compare(region: Region, recipe: Recipe) -> Verified:
    if not is_known(recipe):
        return Verified(OTHER)
    key, before = recipe.keys[0], region.read(recipe.keys, (recipe.alias,))
    if before[0] is None:
        return Verified(GONE)
    try:
        entry = codec.decode(before[0], key, recipe.columns)
        held = entry.rows()
    except CorruptEntry:
        return Verified(DIFFERS, Difference(key, recipe.label, "corrupt"))
    if any(value is not None and len(value) != VERSION_BYTES for value in before[1:]):
        return _marked(recipe, entry, before[1:])
    if entry.versions != b"".join([value or b"" for value in before[1:]]):
        return Verified(OUTDATED)
    return _compare_rows(region, recipe, entry, before, held)


def _compare_rows(
    region: Region, recipe: Recipe, entry: Entry, before: Sequence[bytes | None], held: Sequence[Row]
) -> Verified:
    follower = FollowerRules(region, recipe.alias, recipe.keys) if recipe.alias in conf.followers else None
    if follower and not follower.is_shown():
        return Verified(CHANGED)
    with read_only(recipe.alias):
        loaded = rows_of(recipe, entry.layout.columns)
    if region.read(recipe.keys, (recipe.alias,)) != before:
        return Verified(CHANGED)
    if rows_are_equal(held, loaded):
        return Verified(EQUAL)
    if " LIMIT " in recipe.sql and not recipe.label.endswith(":get") and len(held) == len(loaded) > 1:
        return Verified(AMBIGUOUS)  # of rows that the order leaves open, any may be among the first
    found = _difference(region, recipe, entry, follower)
    is_over = region.read(recipe.keys, (recipe.alias,)) != before  # the relay was waited for
    return Verified(CHANGED) if is_over else Verified(DIFFERS, found)


def _marked(recipe: Recipe, entry: Entry, tags: Sequence[bytes | None]) -> Verified:
    """Return what becomes of an entry that nobody is served while its marks stand: a fault, if all have run out."""
    deadlines = [
        int(value[at + VERSION_BYTES : at + MARK_BYTES])
        for value in tags
        if value is not None and len(value) != VERSION_BYTES
        for at in range(1, len(value), MARK_BYTES)
    ]
    if deadlines and max(deadlines) / 1000 < time.time():
        seconds = time.time() - entry.made_at
        return Verified(PENDING, Difference(recipe.keys[0], recipe.label, "lost_clear", "it is not served", seconds))
    return Verified(PENDING)


def _difference(region: Region, recipe: Recipe, entry: Entry, follower: FollowerRules | None) -> Difference:
    seconds = max(0.0, time.time() - entry.made_at)
    if follower and (why := follower.why_allowed()):
        return Difference(recipe.keys[0], recipe.label, RELAY_BEHIND, why, seconds)
    allowed = "queue" if follower is None and region.outbox.waiting([recipe.alias]) else ""
    return Difference(recipe.keys[0], recipe.label, cause_of(region, recipe, seconds), allowed, seconds)


def cause_of(region: Region, recipe: Recipe, seconds: float) -> str:
    """Return the likeliest cause of a difference in an entry that was made so many seconds ago.

    two_keys        a table has keys under another alias of its database, or another identity of its alias: writers
                    may mark those
    no_mark         processes of ours have invalidated the table since, and not this entry
    outside_writer  none has: somebody wrote past the engine, or within no_invalidation(). Of a follower: its relay
                    was told of nothing, though it is as far as the replica
    """
    tables = {parsed.keys for key in recipe.keys[1:] if (parsed := parse(key))}
    if any(_has_twin(region, keys) for keys in tables):
        return "two_keys"
    if recipe.alias in conf.followers:
        return "outside_writer"
    names = {stats.model_label(keys.table) for keys in tables}
    minutes = math.ceil(seconds / 60) + 1
    usage = stats.usage(region.name, minutes=minutes) if minutes < MINUTES else stats.usage(region.name, hours=HOURS)
    return "no_mark" if names & {label for label, _ in usage.writes} else "outside_writer"


def _has_twin(region: Region, keys: TableKeys) -> bool:
    """Return whether a table has a registry under a name that may be another one of the same database."""
    own = parse(keys.registry)
    assert own is not None
    alias, _, identity = own.database.partition(IDENTITY)
    for batch in region.store.scan(f"{own.prefix}:"):
        for key in batch:
            found = parse(key)
            if found is None or found.kind != REGISTRY or found.table != own.table or found.database == own.database:
                continue
            other_alias, _, other_identity = found.database.partition(IDENTITY)
            if alias == other_alias:
                return True
            # A replica that is followed has the identity of its primary, and keys of its own.
            if identity == other_identity and not {alias, other_alias} & set(conf.all_followers):
                return True
    return False
