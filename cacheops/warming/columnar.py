"""Many entries that are alike, as `get` of a table's rows are: leased and filled by columns, not object by object.

What is the same for all of them is held and sent once; a row is a place in some lists. That is half of the time that a
request, a lease and a filling of its own would take for each (docs/performance.md). The protocol is the same.
"""

import random
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from cacheops.conf import conf
from cacheops.encoding import rows as codec
from cacheops.encoding.rows import EncodedRows
from cacheops.instrumentation.counters import counters
from cacheops.orm.plan import Plan
from cacheops.orm.read_compiler import request_for
from cacheops.profiles import Profile
from cacheops.protocol.keys import TableKeys
from cacheops.protocol.tags import NoToken
from cacheops.reading.fill_many import Filled, Held, Leased, lease_many, warm_entry
from cacheops.reading.request import Request
from cacheops.regions import Region
from cacheops.stores.base import EncodedEntry, Refusal, TableTags


@dataclass(frozen=True, slots=True)
class Alike:
    """Entries of one table and profile, each depending on one tag. `digests` and `tags` (names) are columns."""

    keys: TableKeys
    schemes: tuple[str, ...]
    digests: list[str]
    tags: list[str]
    profile: Profile
    label: str
    databases: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.digests)

    def joined(self, other: "Alike") -> "Alike":
        """Return the entries of both, which must be of one table and profile."""
        return Alike(
            self.keys,
            tuple(dict.fromkeys(self.schemes + other.schemes)),
            self.digests + other.digests,
            self.tags + other.tags,
            self.profile,
            self.label,
            self.databases,
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
            yield Request(digest, tables, self.profile, self.label, self.databases)


def alike_of(plan: Plan, values: Sequence[Any], using: str, profile: Profile, label: str) -> Alike | None:
    """Return the entries of many queries of one shape with one parameter each; None where they are not alike."""
    assert plan.template is not None
    single = plan.template.only_tag()
    if single is None or len(single[1].places) != 1:
        return None
    request = request_for(plan, [values[0]], using, profile, label)
    digests = plan.digests(values, label.encode())
    start = f"{single[1].scheme}="
    try:
        tags = [start + str(value) if type(value) is int else single[1].name((value,)) for value in values]
    except NoToken:
        return None
    if digests is None or request is None:
        return None
    return Alike(request.keys, (single[1].scheme,), digests, tags, profile, label, request.databases)


def lease_alike(region: Region, alike: Alike) -> list[Leased]:
    """Return what `lease_many` does for each entry, and raise as it does."""
    if region.is_full([TableTags(alike.keys, (), alike.schemes)]):
        return lease_many(region, list(alike.requests()))
    with region.guard():
        leased = region.drained(alike.databases, _lease, region, alike)
    if leased is None:  # a writer of the table, or no room: it depends on the entry what that means for it
        return lease_many(region, list(alike.requests()))
    region.has_registered(alike.keys, alike.schemes)
    return leased


def _lease(region: Region, alike: Alike) -> list[Leased] | None:
    reply = region.store.lease_tags(alike.keys, alike.tag_keys(), alike.schemes, alike.profile.timeout)
    found = reply.result()
    if isinstance(found, Refusal):
        return None
    generation, versions = found.generation, found.versions
    leased: list[Leased] = [generation + version if version else Held.PENDING for version in versions]
    # An entry can only be valid if its tags were there before.
    there = [] if found.is_new(generation) else [i for i, one in enumerate(versions) if one and not found.is_new(one)]
    if there:
        keys, now = alike.entry_keys(), time.time()
        payloads = region.store.read([keys[index] for index in there])
        for index, payload in zip(there, payloads, strict=True):
            if payload is not None:
                known = generation + versions[index]
                leased[index] = warm_entry(payload, known, alike.profile.timeout, now) or known
    return leased


def fill_alike(
    region: Region,
    alike: Alike,
    leased: Sequence[Leased],
    rows: Sequence[EncodedRows | None],
    load_seconds: float,
) -> Filled:
    """Store the entries that were leased and have rows. `load_seconds` and errors as those of `fill_many`."""
    now, timeout, most, chance = time.time(), alike.profile.timeout, conf.max_entry_bytes, random.random
    jitter, seal = timeout * conf.jitter, codec.sealed
    sealed: list[EncodedEntry] = []
    size = refused = 0
    for key, versions, one in zip(alike.entry_keys(), leased, rows, strict=True):
        if type(versions) is not bytes or one is None:
            continue
        ttl = timeout - jitter * chance()
        payload = seal(one, versions, now, now + ttl, load_seconds)
        if len(payload) > most:
            refused += 1
            continue
        size += len(payload)
        sealed.append(EncodedEntry(key, payload, ttl))
    if sealed:
        with region.guard():
            region.store.fill(sealed).result()
    counters.read(alike.label, fills=len(sealed), bytes=size, too_large=refused)
    return Filled(len(sealed), size, refused)
