"""Many entries that are alike, as `get` of a table's rows are: leased and filled by columns, not object by object.

What is the same for all of them is held and sent once; an entry is a place in some lists. That is half of the time
that a request and a lease of its own would take for each (docs/performance.md). The protocol is the same.
"""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from cacheops.conf import conf
from cacheops.encoding import rows as codec
from cacheops.encoding.rows import Entry
from cacheops.instrumentation.counters import counters
from cacheops.profiles import Profile
from cacheops.protocol.keys import TableKeys
from cacheops.reading.lease import Filled, Result
from cacheops.reading.lookup import entry_under
from cacheops.reading.request import Request
from cacheops.regions import Region
from cacheops.stores.base import EncodedEntry, Refusal, TableTags
from cacheops.ttl import jittered


@dataclass(frozen=True, slots=True)
class EntryColumns:
    """Entries of one table and profile, each depending on one tag. `digests` and `tags` (names) are columns."""

    keys: TableKeys
    schemes: tuple[str, ...]
    digests: list[str]
    tags: list[str]
    profile: Profile
    label: str
    databases: tuple[str, ...]
    columns: int | None = None  # that each row must have

    def __len__(self) -> int:
        return len(self.digests)

    def joined(self, other: "EntryColumns") -> "EntryColumns":
        """Return the entries of both, which must be of one table and profile."""
        return replace(
            self,
            schemes=tuple(dict.fromkeys(self.schemes + other.schemes)),
            digests=self.digests + other.digests,
            tags=self.tags + other.tags,
        )

    def entry_keys(self) -> list[str]:
        start = self.keys.entry("")
        return [start + digest for digest in self.digests]

    def tag_keys(self) -> list[str]:
        start = self.keys.tag("")
        return [start + name for name in self.tags]

    def requests(self) -> Iterator[Request]:
        """Yield each entry's request by itself."""
        for digest, tag in zip(self.digests, self.tags, strict=True):
            scheme = next(one for one in self.schemes if tag.startswith((f"{one}=", f"{one}#")))
            tables = (TableTags(self.keys, (tag,), (scheme,)),)
            yield Request(digest, tables, self.profile, self.label, self.databases, columns=self.columns)


@dataclass(frozen=True, slots=True)
class ColumnLease:
    """The right to store the results of columns of entries in a region."""

    region: Region
    columns: EntryColumns
    versions: list[bytes | None]  # of each entry; None where a writer is about to change what it depends on
    entries: dict[int, Entry]  # by place: what stands under the versions leased

    def fill(self, results: Sequence[Result | None]) -> Filled:
        """Store the results of the entries that were leased; None stores nothing. Raise StoreError."""
        now, jitter, most, sealed = time.time(), conf.jitter, conf.max_entry_bytes, codec.sealed
        stored: list[EncodedEntry] = []
        size = too_large = 0
        for key, versions, result in zip(self.columns.entry_keys(), self.versions, results, strict=True):
            if versions is None or result is None:
                continue
            ttl = jittered(result.ttl, jitter)
            payload = sealed(result.rows, versions, now, now + ttl, result.load_seconds, key)
            if len(payload) > most:
                too_large += 1
                continue
            size += len(payload)
            stored.append(EncodedEntry(key, payload, ttl))
        if stored:
            with self.region.guard():
                self.region.store.fill(stored).result()
        counters.read(self.columns.label, fills=len(stored), bytes=size, too_large=too_large)
        return Filled(len(stored), size, too_large)


def take_columns(region: Region, columns: EntryColumns) -> ColumnLease | None:
    """Take the leases of all entries. None where they must be taken one by one. Raise StoreError."""
    if region.is_full([TableTags(columns.keys, (), columns.schemes)]):
        return None
    with region.guard():
        lease = region.drained(columns.databases, _take, region, columns)
    if lease is not None:
        region.add_schemes(columns.keys, columns.schemes)
    return lease


def _take(region: Region, columns: EntryColumns) -> ColumnLease | None:
    reply = region.store.lease_tags(columns.keys, columns.tag_keys(), columns.schemes, columns.profile.timeout)
    found = reply.result()
    if isinstance(found, Refusal):  # a writer of the table, or no room: each entry shows what that means for it
        return None
    generation, tags = found.generation, found.versions
    versions = [generation + version if version else None for version in tags]
    # An entry can only be valid if its tags were there before.
    there = [] if found.is_new(generation) else [at for at, one in enumerate(tags) if one and not found.is_new(one)]
    entries: dict[int, Entry] = {}
    if there:
        keys = columns.entry_keys()
        for at, payload in zip(there, region.store.read([keys[at] for at in there]), strict=True):
            entry = entry_under(keys[at], payload, versions[at] or b"", columns.columns)
            if entry is not None:
                entries[at] = entry
    return ColumnLease(region, columns, versions, entries)
