"""Fill many entries of a region at once: lease all, load, then store all, each in one round trip a server.

The order is the protocol's, as a single reader's is: every version is leased before the database is asked. No entry is
locked, so nobody waits for a filling; who loads the same entry meanwhile stores the same, or what is newer.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from itertools import islice
from typing import NamedTuple, TypeAlias, TypeVar

from cacheops import rows as codec
from cacheops.conf import conf
from cacheops.exceptions import CommandRefused, CorruptEntry, StoreUnavailable
from cacheops.monitoring.counters import counters
from cacheops.queue import replay_queue
from cacheops.regions import Region
from cacheops.request import Request, roomy
from cacheops.rows import EncodedRows, Entry
from cacheops.stores.base import Refusal, Sealed, Wanted
from cacheops.stores.breaker import CircuitOpen
from cacheops.ttl import jittered

T = TypeVar("T")
FRESH_SHARE = 0.5  # of its time to live that an entry must still have before it, to count as warm


class Held(Enum):
    """Why an entry is not filled."""

    PENDING = "pending"  # a writer is about to change what it depends on: its readers fill it later


# The versions under which an entry may be filled; or the one that is there, if it is warm; or why there is none.
Leased: TypeAlias = bytes | Entry | Held


class Filling(NamedTuple):
    """One entry to be stored: its rows, under the versions that were leased before they were loaded."""

    request: Request
    versions: bytes
    rows: EncodedRows


@dataclass(frozen=True, slots=True)
class Filled:
    """How many entries were stored, and their bytes; `refused` are too large for an entry."""

    entries: int = 0
    bytes: int = 0
    refused: int = 0


def lease_many(region: Region, requests: Sequence[Request]) -> list[Leased]:
    """Return for each request the versions of its tags, or its entry where that is warm, or why it is not to be filled.

    Raise StoreUnavailable where the region does not answer, CommandRefused where it does not let us.
    """
    if not requests:
        return []
    wanted = [roomy(region, request) for request in requests] if region.full else list(requests)
    found = asked(region, lambda: _lease(region, wanted))
    full = [index for index, (versions, _) in enumerate(found) if versions is Refusal.FULL]
    if full:
        for index in full:
            region.note_full(wanted[index].tables)
        again = asked(region, lambda: _lease(region, [requests[index].coarse() for index in full]))
        for index, leased in zip(full, again, strict=True):
            found[index] = leased
    for keys, schemes in {(table.keys, table.schemes) for request in wanted for table in request.tables}:
        region.has_registered(keys, schemes)
    now = time.time()
    return [
        versions if payload is None and type(versions) is bytes else _verdict(request, versions, payload, now)
        for request, (versions, payload) in zip(requests, found, strict=True)
    ]


def _lease(region: Region, requests: Sequence[Request]) -> list[tuple[bytes | Refusal, bytes | None]]:
    databases = tuple({name for names in {request.databases for request in requests} for name in names})
    if region.queue_is_due(databases):
        replay_queue(region, databases)
    longest = max(request.profile.timeout for request in requests)
    wanted = [Wanted(request.entry, request.tables) for request in requests]
    return region.store.lease_many(wanted, longest)


def _verdict(request: Request, versions: bytes | Refusal, payload: bytes | None, now: float) -> Leased:
    if isinstance(versions, Refusal):
        return Held.PENDING
    if payload is None:
        return versions
    return warm_entry(payload, versions, request.profile.timeout, now) or versions


def warm_entry(payload: bytes, versions: bytes, timeout: float, now: float) -> Entry | None:
    """Return an entry that has these versions, and is in the first half of its life."""
    try:
        entry = codec.decode(payload)
    except CorruptEntry:
        return None
    warm = entry.versions == versions and entry.expires_at - now > timeout * FRESH_SHARE
    return entry if warm else None


def look_many(region: Region, requests: Sequence[Request]) -> list[bool]:
    """Say for each request whether its entry is warm. Changes nothing; raises as `lease_many`."""
    now = time.time()

    def look() -> list[bool]:
        keys = [roomy(region, request).key_list() for request in requests]
        values = iter(region.store.read([key for some in keys for key in some]) if keys else ())
        found = []
        for request, some in zip(requests, keys, strict=True):
            payload, *tags = islice(values, len(some))
            versions = b"" if None in tags else b"".join(tag for tag in tags if tag)
            found.append(bool(payload and warm_entry(payload, versions, request.profile.timeout, now)))
        return found

    return asked(region, look)


def fill_many(region: Region, fillings: Sequence[Filling], load_seconds: float) -> Filled:
    """Store entries. `load_seconds` is what the database took for one of them. Raises as `lease_many`."""
    now, jitter, most = time.time(), conf.jitter, conf.max_entry_bytes
    sealed: list[Sealed] = []
    sizes: dict[str, list[int]] = {}
    for request, versions, rows in fillings:
        ttl = jittered(request.profile.timeout, jitter)
        payload = codec.sealed(rows, versions, now, now + ttl, load_seconds)
        if len(payload) > most:
            counters.read(request.label, too_large=1)
        else:
            sealed.append(Sealed(request.entry, payload, ttl))
            sizes.setdefault(request.label, []).append(len(payload))
    if sealed:
        asked(region, lambda: region.store.fill_many(sealed))
    for label, found in sizes.items():
        counters.read(label, fills=len(found), bytes=sum(found))
    return Filled(len(sealed), sum(map(sum, sizes.values())), len(fillings) - len(sealed))


def asked(region: Region, ask: Callable[[], T]) -> T:
    """Return what a region answers; its breaker hears of it."""
    if not region.breaker.allows():
        raise CircuitOpen(f"{region.name} did not answer lately, and is not asked again yet.")
    try:
        found = ask()
    except StoreUnavailable as error:
        region.failed(error)
        raise
    except CommandRefused:
        region.answered()
        raise
    region.answered()
    return found
