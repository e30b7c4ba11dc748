"""The lease: the right to store results that are loaded after it (rule R2 of docs/design/invalidation.md).

A lease holds the versions that the tags of a result had before the database was asked, so whatever is invalidated
meanwhile leaves an entry that no reader accepts. Entries are stored by filling a lease, here and in columns.py, and in
no other way.
"""

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from itertools import compress
from typing import NamedTuple, TypeAlias

from cacheops.conf import conf
from cacheops.encoding import rows as codec
from cacheops.encoding.rows import EncodedRows, Entry, Row
from cacheops.exceptions import ServerRefused, StoreError, StoreUnavailable, UnencodableValue
from cacheops.instrumentation.counters import FILL, counters, is_sampled
from cacheops.instrumentation.minute_log import minute_log
from cacheops.reading.lookup import entry_under
from cacheops.reading.request import Request, coarsen_all_if_full, databases_of, followed_in
from cacheops.reading.stale import track_outdated
from cacheops.regions import Region
from cacheops.stores.base import EncodedEntry, LeaseRequest, Refusal
from cacheops.stores.reply import MappedReply, ReadyReply, Reply
from cacheops.ttl import jittered

logger = logging.getLogger("cacheops")


class Result(NamedTuple):
    """What was loaded for one request, as every region stores it; `ttl` and `load_seconds` in seconds."""

    rows: EncodedRows
    ttl: float
    load_seconds: float


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to store the result of one request in a region; and the loader's lock, for which others wait."""

    region: Region
    request: Request  # as the region takes it
    versions: bytes
    is_locked: bool

    def fill(self, rows: Sequence[Row], load_seconds: float) -> None:
        """Store what was loaded, and let the lock go. Not awaited."""
        fill_nowait([self], [rows], load_seconds)

    def release(self) -> None:
        """Let the lock go without storing anything. Not awaited."""
        if self.is_locked:
            _release(self.region, [self.request])


def _release(region: Region, requests: Sequence[Request]) -> None:
    """Let the locks of loaders go. Those that no server hears of run out by themselves."""
    send = partial(region.store.fill, [], [request.loader for request in requests])
    region.guard(urgent=True).send_nowait(send, _log_failure)


def _log_failure(outcome: int | StoreError) -> None:
    if isinstance(outcome, StoreError):
        logger.debug("A loader's lock was not released: %s", outcome)


# --- take -------------------------------------------------------------------------------------------------------------


def send_lease(region: Region, request: Request, *, lock: bool) -> Reply[bytes | Refusal]:
    """Ask for the lease of one result; with `lock` and where its profile says so, with the loader's lock."""
    hold = conf.loader_seconds if lock and request.profile.one_loads else 0.0
    return region.store.lease(request.tables, request.loader, request.profile.timeout, hold)


def take_lease(
    region: Region, request: Request, *, lock: bool, sent: Reply[bytes | Refusal] | None = None
) -> Lease | Refusal:
    """Take the lease of one result: the one that was `sent` for, if any. Raise StoreError.

    With `lock`, a result that another reader is loading is BUSY.
    """
    with region.guard(urgent=True):
        versions = (sent or send_lease(region, request, lock=lock)).result()
        if versions is Refusal.FOREIGN:
            counters.read(request.label, corrupt=1)
            versions = send_lease(region, request, lock=lock).result()
        if versions is Refusal.FULL:
            region.note_full(request.tables)
            request = request.coarse()
            versions = send_lease(region, request, lock=lock).result()
        if isinstance(versions, Refusal):
            return versions
        for table in request.tables:
            region.add_schemes(table.keys, table.schemes)
        if request.profile.stale:
            track_outdated(region, request.tables, request.profile.stale)
    return Lease(region, request, versions, lock and request.profile.one_loads)


def cancel_lease(region: Region, request: Request, sent: Reply[bytes | Refusal], *, lock: bool) -> None:
    """Let the lock go that comes with a lease that was sent for and is not needed."""
    try:
        with region.guard(urgent=True):
            versions = sent.result()
    except StoreError as error:  # the lock runs out by itself
        logger.debug("A lease that is not needed got no answer: %s", error)
    else:
        if isinstance(versions, bytes):
            Lease(region, request, versions, lock and request.profile.one_loads).release()


# The lease of one of many results, and the entry that stands under the very versions leased, if there is one.
Leased: TypeAlias = tuple[Lease | Refusal, Entry | None]


def take_leases(region: Region, requests: Sequence[Request], *, is_locked: bool = False) -> list[Leased]:
    """Take the leases of many results, once all that the region has missed is applied. Raise StoreError.

    Those of a follower are filled where FollowerRead.may_fill allows it. `is_locked`: this reader holds the loaders'
    locks. It lets those go whose lease is refused.
    """
    if not requests:
        return []
    requests = coarsen_all_if_full(region, requests)
    with region.guard(urgent=is_locked):
        found = region.drained(databases_of(requests), lambda: _send_leases(region, requests).result())
    return _leases(region, is_locked, requests, found)


def take_free_leases(region: Region, requests: Sequence[Request]) -> list[Leased]:
    """Take the loaders' locks of many results and their leases. BUSY: another reader is loading. Raise StoreError."""
    with region.guard(urgent=True):
        free = region.store.lock([request.loader for request in requests], conf.loader_seconds)
    own = list(compress(requests, free))
    try:
        leases = iter(take_leases(region, own, is_locked=True))
    except BaseException:
        _release(region, own)
        raise
    return [next(leases) if is_free else (Refusal.BUSY, None) for is_free in free]


def send_leases(region: Region, requests: Sequence[Request]) -> Reply[list[Leased]]:
    """Ask for the leases of many results, at least one. Raise StoreUnavailable.

    What the region has missed is not applied first: an entry that it should have lost may stand under its versions.
    """
    if followed_in(databases_of(requests)):  # which no writer fills
        return ReadyReply([(Refusal.PENDING, None)] * len(requests))
    requests = coarsen_all_if_full(region, requests)
    reply = region.guard().send(lambda: _send_leases(region, requests))
    return MappedReply(reply, partial(_leases, region, False, requests))


_Found: TypeAlias = list[tuple[bytes | Refusal, bytes | None]]


def _send_leases(region: Region, requests: Sequence[Request]) -> Reply[_Found]:
    ttl = max(request.profile.timeout for request in requests)
    return region.store.lease_many([LeaseRequest(request.entry, request.tables) for request in requests], ttl)


def _leases(region: Region, is_locked: bool, requests: Sequence[Request], found: _Found) -> list[Leased]:
    """Return the leases that a store has given for requests; let the locks go of those that it has refused."""
    full = [place for place, (versions, _) in enumerate(found) if versions is Refusal.FULL]
    if full:
        requests, found = list(requests), list(found)
        for place in full:
            region.note_full(requests[place].tables)
            requests[place] = requests[place].coarse()
        with region.guard(urgent=True):
            again = _send_leases(region, [requests[place] for place in full]).result()
        for place, leased in zip(full, again, strict=True):
            found[place] = leased
    leases: list[Leased] = []
    refused: list[Request] = []
    for request, (versions, payload) in zip(requests, found, strict=True):
        if isinstance(versions, Refusal):
            leases.append((versions, None))
            refused.append(request)
        else:
            for table in request.tables:
                region.add_schemes(table.keys, table.schemes)
            entry = entry_under(request.entry, payload, versions, request.columns)
            leases.append((Lease(region, request, versions, is_locked), entry))
    if is_locked and refused:
        _release(region, refused)
    return leases


# --- fill -------------------------------------------------------------------------------------------------------------


def encode(request: Request, rows: Sequence[Row], load_seconds: float) -> Result | None:
    """Return a result as regions store it; None where it can't be stored, or is not to be."""
    ttl = request.seconds(rows)
    if ttl <= 0:
        return None
    try:
        return Result(codec.encode_rows(rows), ttl, load_seconds)
    except UnencodableValue as error:
        note_unencodable(request.label, error)
        return None


def note_unencodable(label: str, error: UnencodableValue) -> None:
    """Count and log a result that can't be stored."""
    counters.read(label, unencodable=1)
    minute_log.warning(("unencodable", label), "%s is not cached: %s", label, error)


def fill_nowait(leases: Sequence[Lease], loaded: Sequence[Sequence[Row] | None], load_seconds: float) -> None:
    """Store results under leases of one region and label, and let their locks go; None stores nothing. Not awaited."""
    started = time.perf_counter()
    region, label = leases[0].region, leases[0].request.label
    entries: list[EncodedEntry] = []
    loaders: list[str] = []
    for lease, rows in zip(leases, loaded, strict=True):
        result = None if rows is None else encode(lease.request, rows, load_seconds)
        entry = None if result is None else _entry(lease, result, is_checked=True)
        if entry is not None:
            entries.append(entry)
        if lease.is_locked:
            loaders.append(lease.request.loader)
    if entries or loaders:
        send = partial(region.store.fill, entries, loaders)
        region.guard(urgent=True).send_nowait(send, partial(_count, region, label, entries))
    if entries:
        counters.read_timed(label, FILL, time.perf_counter() - started)


class Filled(NamedTuple):
    """How many entries were stored, their bytes, and how many were too large to be stored."""

    entries: int = 0
    bytes: int = 0
    too_large: int = 0


def send_fill(leases: Sequence[Lease], results: Sequence[Result]) -> Reply[Filled]:
    """Store the results of leases of one region that hold no locks. Raise StoreUnavailable.

    Which of them were invalidated meanwhile is not counted: of many entries that would cost as much as the rest.
    """
    sealed = [_entry(lease, result, is_checked=False) for lease, result in zip(leases, results, strict=True)]
    entries = [entry for entry in sealed if entry is not None]
    filled = Filled(len(entries), sum(len(entry.payload) for entry in entries), len(sealed) - len(entries))
    if not entries:
        return ReadyReply(filled)
    region = leases[0].region
    labels = [lease.request.label for lease, entry in zip(leases, sealed, strict=True) if entry is not None]
    reply = region.guard().send(partial(region.store.fill, entries))
    return MappedReply(reply, lambda _: _count_many(labels, entries, filled))


def _entry(lease: Lease, result: Result, *, is_checked: bool) -> EncodedEntry | None:
    """Return what is stored of a result, None if it is too large. `is_checked`: its store tells if it is outdated."""
    now, ttl = time.time(), jittered(result.ttl, conf.jitter)
    request = lease.request
    payload = codec.sealed(result.rows, lease.versions, now, now + ttl, result.load_seconds, request.entry)
    if len(payload) > conf.max_entry_bytes:
        counters.read(request.label, too_large=1)
        return None
    if not is_checked:
        return EncodedEntry(request.entry, payload, ttl)
    entry, *tags = request.key_list()
    return EncodedEntry(entry, payload, ttl, tags, lease.versions)


def _count(region: Region, label: str, entries: Sequence[EncodedEntry], outdated: int | StoreError) -> None:
    """Count what was stored; `outdated` of it was invalidated while it was loaded, and will not be read."""
    if isinstance(outdated, StoreUnavailable):
        counters.read(label, errors=1)
    elif isinstance(outdated, StoreError):
        counters.read(label, refused_fills=len(entries))
        if not isinstance(outdated, ServerRefused):
            minute_log.warning(("fill", region.name), "Region %s refused a fill: %s", region.name, outdated)
    elif entries:
        size = sampled = 0
        for one in entries:
            size += len(one.payload)
            sampled += is_sampled(one.entry.rpartition(":")[2])
        counters.read(label, fills=len(entries), stale_fills=outdated, bytes=size, sampled_fills=sampled)


def _count_many(labels: Sequence[str], entries: Sequence[EncodedEntry], filled: Filled) -> Filled:
    sizes: dict[str, list[int]] = {}
    for label, entry in zip(labels, entries, strict=True):
        sizes.setdefault(label, []).append(len(entry.payload))
    for label, own in sizes.items():
        counters.read(label, fills=len(own), bytes=sum(own))
    return filled
