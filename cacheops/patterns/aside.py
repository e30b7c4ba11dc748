"""Cache-aside: look into the cache, load what is not there, keep it. (Microsoft, "Cloud Design Patterns", Cache-Aside)

Beyond the pattern's usual form, an entry follows what it was made of: `depends_on` names the rows, and a write to one
of them makes the entry a miss at its commit, also while it is being loaded. One reader loads, others wait.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from itertools import chain
from typing import Any, NamedTuple, TypeVar

from cacheops.conf import conf
from cacheops.decorators.functions import packed_or_none
from cacheops.encoding import objects
from cacheops.encoding.rows import Row
from cacheops.engine import memo
from cacheops.exceptions import InvalidKey, shortened
from cacheops.instrumentation import request_stats
from cacheops.orm.samples import Sample, SampleLike, sample_databases, sample_tables
from cacheops.profiles import Profile
from cacheops.protocol.keys import BY_NAME, GENERATION, TAG, TableKeys, checked_key, parse, start_of
from cacheops.reading.fetch import fetch
from cacheops.reading.fetch_many import fetch_many
from cacheops.reading.not_cached import note_bypass
from cacheops.reading.policy import decide_entry
from cacheops.reading.request import Request
from cacheops.regions import Region, regions
from cacheops.stores.base import MarkedTable, TableTags

Value = TypeVar("Value")
Seconds = float | str  # or the name of a TTL strategy

OWN = "key"  # the scheme of an entry's own tag: one tag a key, named as the key
WILD = "*?["  # what has a meaning in a pattern


class AsideEntry(NamedTuple):
    """One of many entries: its key, what it depends on, and how long it is kept; None: the manager's default."""

    key: str
    depends_on: Sequence[SampleLike] = ()
    ttl: Seconds | None = None


class CacheAsideManager:
    """Entries by their keys, in the local region's cache, beside the entries of queries and under the same rules.

    Keys are text such as CacheKeyBuilder makes; all whose first part (up to a colon) is the same lie on one server.
    Without `depends_on` an entry ends by its time, or when it is invalidated. None is kept too, for `none_ttl`: what is
    not there is not asked for again and again. A TTL of 0 keeps nothing.

    With `rows=True`, values are lists of tuples, all of one length and of plain values, as a query returns them; they
    are encoded as such, in a fraction of the time that any other value takes.

    `get_or_set` and `get_or_set_many` raise InvalidKey, InvalidOption (a TTL, or a sample that can't be followed), and
    what the caller's function raises; never an error of the cache.
    """

    def __init__(self, default_ttl: Seconds = 300, *, none_ttl: Seconds = "real_time", rows: bool = False) -> None:
        self.default_ttl = default_ttl
        self.none_ttl = none_ttl
        self._rows = rows

    def get_or_set(
        self,
        key: str,
        fetch_function: Callable[[], Value],
        ttl: Seconds | None = None,
        depends_on: Iterable[SampleLike] = (),
    ) -> Value:
        """Return what is kept under the key, else what the function returns, and keep that."""
        entry = AsideEntry(key, tuple(depends_on), ttl)
        samples = [Sample(given) for given in entry.depends_on]
        request = self._request(entry, samples)
        if self._goes_past(samples, [request]):
            request_stats.count(bypasses=1)
            return fetch_function()
        called: list[Value] = []

        def load() -> Sequence[Row]:
            called.append(fetch_function())
            return self._stored(called[0])

        rows = fetch(request, load)
        return called[0] if called else self._value(rows)

    def get_or_set_many(
        self, entries: Iterable[AsideEntry], fetch_function: Callable[[list[str]], Mapping[str, Any]]
    ) -> dict[str, Any]:
        """Return the values of many keys, in one round trip to each server; what is missing from one call.

        `fetch_function` is given the missing keys and returns their values by key; a key that it leaves out is None.
        It is called a second time only for what another reader was loading, and did not keep.
        """
        wanted = {entry.key: entry for entry in entries}
        keys = list(wanted)
        samples = [[Sample(given) for given in entry.depends_on] for entry in wanted.values()]
        requests = [self._request(entry, own) for entry, own in zip(wanted.values(), samples, strict=True)]
        if self._goes_past(chain.from_iterable(samples), requests):
            request_stats.count(bypasses=len(keys))
            loaded = fetch_function(keys) if keys else {}
            return {key: loaded.get(key) for key in keys}
        called: dict[str, Any] = {}

        def load(places: Sequence[int]) -> list[Sequence[Row]]:
            missing = [keys[place] for place in places]
            loaded = fetch_function(missing)
            called.update((key, loaded.get(key)) for key in missing)
            return [self._stored(called[key]) for key in missing]

        found = fetch_many(requests, load)
        return {key: called[key] if key in called else self._value(rows) for key, rows in zip(keys, found, strict=True)}

    def invalidate(self, key: str) -> bool:
        """Make a key a miss in every region; return whether it was there.

        A value that is being loaded now is not kept either. Raise StoreUnavailable, when all others are done,
        where a region does not answer: it may go on with the old value until that ends by its time.
        """
        keys = keys_of(key)
        return regions.invalidate(lambda region: _forget(region, {keys: [key]})) > 0

    def invalidate_pattern(self, pattern: str) -> int:
        """Make all keys that match a pattern a miss, in every region; return how many entries were there.

        `*`, `?` and `[…]` are those of Python's fnmatch. Every primary is scanned in small steps, so this takes its
        time with many keys; better name in `depends_on` what the entries depend on. Raise as `invalidate` does.
        """
        if not isinstance(pattern, str) or not pattern:
            raise InvalidKey(f"A pattern must be text that is not empty, not {shortened(pattern)}.")
        return regions.invalidate(lambda region: _forget_pattern(region, pattern))

    # --- requests ---------------------------------------------------------------------------------------------------

    def _request(self, entry: AsideEntry, samples: Sequence[Sample]) -> Request:
        keys = keys_of(entry.key)
        ttl = conf.ttl.get_ttl(self.default_ttl if entry.ttl is None else entry.ttl)
        return Request(
            entry.key,
            (TableTags(keys, (entry.key,), (OWN,)), *sample_tables(samples)),
            _profile(ttl),
            f"{namespace(entry.key)}:aside",
            sample_databases(samples),
            None if self._rows else self._life(ttl),
        )

    def _life(self, ttl: float) -> Callable[[Sequence[Row]], float]:
        none_ttl = min(ttl, conf.ttl.get_ttl(self.none_ttl))
        return lambda rows: none_ttl if rows[0][0] is None else ttl

    def _goes_past(self, samples: Iterable[Sample], requests: Sequence[Request]) -> bool:
        """Return whether these entries are loaded past the cache."""
        # One sample of the same tables and database says the same as all of them.
        told = {(sample.model, sample.database, sample.tables): sample for sample in samples}
        timeout = min((request.profile.timeout for request in requests), default=0.0)
        bypass = decide_entry((sample.source for sample in told.values()), timeout)
        if bypass is not None:
            for request in requests:
                note_bypass(request.label, bypass)
        return bypass is not None

    # --- values -----------------------------------------------------------------------------------------------------

    def _stored(self, value: Any) -> Sequence[Row]:
        return value if self._rows else [(packed_or_none(value),)]

    def _value(self, rows: Sequence[Row]) -> Any:
        return rows if self._rows else objects.unpack(rows[0][0])


@memo()
def _profile(ttl: float) -> Profile:
    return Profile(timeout=ttl)


def namespace(key: str) -> str:
    """Return a key's first part: what says on which server it lies."""
    return key.partition(":")[0]


def keys_of(key: str) -> TableKeys:
    """Return the place of a key. Raise InvalidKey."""
    return TableKeys.of(conf.prefix, BY_NAME, namespace(checked_key(key)))


def _forget(region: Region, found: Mapping[TableKeys, Sequence[str]]) -> int:
    """Renew the keys' tags, which also ends what is being loaded; delete the entries and return how many there were."""
    region.store.invalidate([MarkedTable(keys, frozenset(names)) for keys, names in found.items()])
    return region.store.delete([keys.entry(name) for keys, names in found.items() for name in names])


def _forget_pattern(region: Region, pattern: str) -> int:
    return sum(_forget(region, found) for found in _matching(region, pattern))


def _matching(region: Region, pattern: str) -> Iterator[dict[TableKeys, list[str]]]:
    """Yield the keys that match, by their place, in batches. Tags are looked at: they are there while a value loads."""
    literal = pattern[: min((pattern.find(sign) for sign in WILD if sign in pattern), default=len(pattern))]
    if ":" in literal:
        start = TableKeys.of(conf.prefix, BY_NAME, namespace(literal)).tag(literal)
    else:
        start = start_of(conf.prefix, BY_NAME)
    for batch in region.store.scan(start):
        found: dict[TableKeys, list[str]] = {}
        for key in batch:
            parsed = parse(key)
            if parsed and parsed.kind == TAG and parsed.name != GENERATION and fnmatchcase(parsed.name, pattern):
                found.setdefault(parsed.keys, []).append(parsed.name)
        if found:
            yield found
