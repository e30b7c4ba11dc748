"""The cached read. It knows keys, tags and bytes; queries are the ORM's."""

from collections.abc import Sequence
from functools import partial

from cacheops.conf import conf
from cacheops.encoding.rows import Row
from cacheops.exceptions import StoreError
from cacheops.instrumentation import request_stats
from cacheops.instrumentation.counters import counters
from cacheops.instrumentation.tracing import tracing
from cacheops.reading.follower import FollowerRead
from cacheops.reading.lease import Lease, cancel_lease, send_lease, take_lease
from cacheops.reading.load import count_bypass, load_and_fill
from cacheops.reading.lookup import look_up
from cacheops.reading.near import near_rows
from cacheops.reading.reader import Load, current_reader
from cacheops.reading.request import Request, coarsen_if_full, followed_in
from cacheops.reading.stale import outdated_rows
from cacheops.reading.waiting import looks
from cacheops.regions import Region, regions
from cacheops.regions.hotkeys import hotkeys
from cacheops.regions.switches import switches
from cacheops.stores.base import Refusal

MISSES_AHEAD = 2  # look-ups of a label that found nothing, after which the next one sends for its lease at once


def fetch(request: Request, load: Load) -> Sequence[Row]:
    """Return the rows of a cached read: from the local region's store, otherwise by calling `load`."""
    reader = current_reader()
    if reader is not None:
        return reader.read(request, load)
    if conf.followers and (alias := followed_in(request.databases)):
        return _fetch_followed(request, load, FollowerRead(alias))
    if request.profile.near and (held := near_rows(request)) is not None:
        return held
    found = seek(request)
    if isinstance(found, Lease):
        return load_and_fill(found, load)
    return load() if found is None else found


def _fetch_followed(request: Request, load: Load, follower: FollowerRead) -> Sequence[Row]:
    found = seek(request, follower=follower)
    if isinstance(found, Lease):
        return follower.load(found, load)
    return follower.load_past(load) if found is None else found


def seek(request: Request, *, lock: bool = True, follower: FollowerRead | None = None) -> Sequence[Row] | Lease | None:
    """Return the rows of a valid entry; else the lease to load them under; None where they must be loaded without one.

    `lock`: one reader loads at a time and others wait for it, where the profile says so.
    """
    region = regions.local
    hotkeys.left -= 1
    if hotkeys.left < 0:
        hotkeys.record(region, request.tables)
    if region.full:
        request = coarsen_if_full(region, request)
    if switches.is_paused(request.databases, request.tables):  # of its circuit, the guard knows
        count_bypass(request.label)
        return None
    sent, find = None, look_up if follower is None else partial(look_up, follower=follower)
    try:
        with region.guard():
            if follower is None and region.misses.get(request.label, 0) >= MISSES_AHEAD and region.store.remote:
                sent = send_lease(region, request, lock=lock)  # one round trip for both
            rows = find(region, request) if tracing.start_span is None else tracing.around(find, region, request)
        if rows is None:
            region.misses[request.label] = region.misses.get(request.label, 0) + 1
            lease = take_lease(region, request, lock=lock, sent=sent)
            if isinstance(lease, Lease):
                _count_miss(request)
                return lease
            found = _without_lease(region, request, lease, follower)
            if found is None:
                count_bypass(request.label)
            return found
    except StoreError as error:
        count_bypass(request.label, error)
        return None
    region.misses.pop(request.label, None)
    if sent is not None:
        cancel_lease(region, request, sent, lock=lock)
    return rows


def _without_lease(
    region: Region, request: Request, refusal: Refusal, follower: FollowerRead | None
) -> Sequence[Row] | Lease | None:
    """Return rows that are outdated or that another reader loads; the lease, where that one fails; None for neither."""
    outdated = _outdated(region, request) if request.profile.stale and follower is None else None
    if outdated is not None:
        return outdated
    return _wait(region, request, follower) if refusal is Refusal.BUSY else None


def _outdated(region: Region, request: Request) -> Sequence[Row] | None:
    """Return the rows of an entry that is outdated, but not for longer than the profile accepts."""
    with region.guard(urgent=True):
        rows = outdated_rows(region, request, request.profile.stale)
    if rows is not None:
        request_stats.count(hits=1)
        counters.read(request.label, stale=1)
    return rows


def _wait(region: Region, request: Request, follower: FollowerRead | None) -> Sequence[Row] | Lease | None:
    """Look up again until the loader has filled the entry, is gone, or has had its time."""
    for _ in looks(conf.loader_seconds):
        request = coarsen_if_full(region, request)
        with region.guard(urgent=True):
            rows = look_up(region, request, follower, waiting=True)
        if rows is not None:
            return rows
        lease = take_lease(region, request, lock=True)
        if lease is Refusal.PENDING:
            break
        if isinstance(lease, Lease):
            _count_miss(request)
            return lease
    return None


def _count_miss(request: Request) -> None:
    request_stats.count(misses=1)
    counters.read(request.label, misses=1)
