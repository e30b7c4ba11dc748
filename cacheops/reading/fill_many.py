"""Fill many entries of a region at once: lease all, load, then store all, each in one round trip a server.

The order is the protocol's, as a single reader's is: every version is leased before the database is asked. No entry is
locked, so nobody waits for a filling; who loads the same entry meanwhile stores the same, or what is newer.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from itertools import islice
from typing import NamedTuple, TypeAlias

from cacheops.conf import conf
from cacheops.encoding import rows as codec
from cacheops.encoding.rows import EncodedRows, Entry
from cacheops.exceptions import CorruptEntry
from cacheops.instrumentation.counters import counters
from cacheops.reading.request import Request, roomy
from cacheops.regions import Region
from cacheops.stores.base import EncodedEntry, LeaseRequest, Refusal
from cacheops.stores.reply import Reply
from cacheops.ttl import jittered

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
    databases = tuple({name for names in {request.databases for request in requests} for name in names})
    wanted = _coarsened(region, requests)
    with region.guard():
        found = region.drained(databases, lambda: _send_leases(region, wanted).result())
    return _leased(region, requests, wanted, found)


def lease_many_begin(region: Region, requests: Sequence[Request]) -> Callable[[], list[Leased]]:
    """Ask for leases; the call returned waits for them and returns what `lease_many` does. Both raise as it does.

    What the region has missed is not applied first: an entry that it should have lost may count as warm.
    """
    if not requests:
        return list
    wanted = _coarsened(region, requests)
    reply = region.guard().send(lambda: _send_leases(region, wanted))
    return lambda: _leased(region, requests, wanted, reply.result())


def _coarsened(region: Region, requests: Sequence[Request]) -> list[Request]:
    return [roomy(region, request) for request in requests] if region.full else list(requests)


def _leased(
    region: Region,
    requests: Sequence[Request],
    wanted: Sequence[Request],
    found: list[tuple[bytes | Refusal, bytes | None]],
) -> list[Leased]:
    full = [index for index, (versions, _) in enumerate(found) if versions is Refusal.FULL]
    if full:
        for index in full:
            region.note_full(wanted[index].tables)
        with region.guard(urgent=True):
            again = _send_leases(region, [requests[index].coarse() for index in full]).result()
        for index, leased in zip(full, again, strict=True):
            found[index] = leased
    for keys, schemes in {(table.keys, table.schemes) for request in wanted for table in request.tables}:
        region.has_registered(keys, schemes)
    now = time.time()
    return [
        versions if payload is None and type(versions) is bytes else _verdict(request, versions, payload, now)
        for request, (versions, payload) in zip(requests, found, strict=True)
    ]


def _send_leases(region: Region, requests: Sequence[Request]) -> Reply[list[tuple[bytes | Refusal, bytes | None]]]:
    longest = max(request.profile.timeout for request in requests)
    wanted = [LeaseRequest(request.entry, request.tables) for request in requests]
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
    keys = [roomy(region, request).key_list() for request in requests]
    with region.guard():
        values = iter(region.store.read([key for some in keys for key in some]) if keys else ())
    found = []
    for request, some in zip(requests, keys, strict=True):
        payload, *tags = islice(values, len(some))
        versions = b"" if None in tags else b"".join(tag for tag in tags if tag)
        found.append(bool(payload and warm_entry(payload, versions, request.profile.timeout, now)))
    return found


def fill_many(region: Region, fillings: Sequence[Filling], load_seconds: float) -> Filled:
    """Store entries. `load_seconds` is what the database took for one of them. Raises as `lease_many`."""
    return fill_many_begin(region, fillings, load_seconds)()


def fill_many_begin(region: Region, fillings: Sequence[Filling], load_seconds: float) -> Callable[[], Filled]:
    """Send entries to be stored; the call returned waits for the answer. Both raise as `lease_many`."""
    now, jitter, most = time.time(), conf.jitter, conf.max_entry_bytes
    sealed: list[EncodedEntry] = []
    sizes: dict[str, list[int]] = {}
    for request, versions, rows in fillings:
        ttl = jittered(request.profile.timeout, jitter)
        payload = codec.sealed(rows, versions, now, now + ttl, load_seconds)
        if len(payload) > most:
            counters.read(request.label, too_large=1)
        else:
            sealed.append(EncodedEntry(request.entry, payload, ttl))
            sizes.setdefault(request.label, []).append(len(payload))
    answer = region.guard().send(lambda: region.store.fill(sealed)).result if sealed else None

    def filled() -> Filled:
        if answer is not None:
            answer()
        for label, found in sizes.items():
            counters.read(label, fills=len(found), bytes=sum(found))
        return Filled(len(sealed), sum(map(sum, sizes.values())), len(fillings) - len(sealed))

    return filled
