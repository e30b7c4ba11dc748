"""Batches of entries: leased in a region, with what is to become of each, and filled."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from itertools import islice
from typing import Protocol, TypeAlias, TypeVar

from cacheops.encoding.rows import Entry
from cacheops.reading.columns import ColumnLease, EntryColumns, take_columns
from cacheops.reading.lease import Filled, Lease, Leased, Result, send_fill, take_leases
from cacheops.reading.lookup import entry_under, is_warm
from cacheops.reading.request import Request, coarsen_if_full
from cacheops.regions import Region


class SkipReason(Enum):
    """Why an entry is not filled."""

    PENDING = "pending"  # a writer is about to change what it depends on: its readers fill it later


# Of one entry: what is there, as it is warm; why it is not filled; or None: it is to be filled.
Verdict: TypeAlias = Entry | SkipReason | None


class LeasedBatch(Protocol):
    """The leases of a batch in one region."""

    verdicts: Sequence[Verdict]

    def fill(self, results: Sequence[Result | None]) -> Filled:
        """Store the results of what is to be filled; None stores nothing. Raise StoreError."""


L_co = TypeVar("L_co", bound=LeasedBatch, covariant=True)


class Batch(Protocol[L_co]):
    """Entries that are leased together."""

    def __len__(self) -> int: ...

    def take(self, region: Region) -> L_co:
        """Lease them in a region. Raise StoreError."""

    def requests(self) -> Sequence[Request]: ...


@dataclass(frozen=True, slots=True)
class RequestBatch:
    """Entries of any kind."""

    wanted: Sequence[Request]

    def __len__(self) -> int:
        return len(self.wanted)

    def take(self, region: Region) -> "LeasedRequests":
        leases, now = take_leases(region, self.wanted), time.time()
        verdicts = [_verdict(request, leased, now) for request, leased in zip(self.wanted, leases, strict=True)]
        return LeasedRequests([lease for lease, _ in leases], verdicts)

    def requests(self) -> Sequence[Request]:
        return self.wanted


def _verdict(request: Request, leased: Leased, now: float) -> Verdict:
    lease, entry = leased
    if not isinstance(lease, Lease):
        return SkipReason.PENDING
    return entry if entry is not None and is_warm(entry, request.profile.timeout, now) else None


class LeasedRequests:
    """The leases of entries of any kind in one region."""

    def __init__(self, leases: Sequence[object], verdicts: Sequence[Verdict]) -> None:
        self._leases = leases
        self.verdicts = verdicts

    @classmethod
    def joined(cls, parts: Sequence["LeasedRequests"]) -> "LeasedRequests":
        """Return the leases of several batches, to be filled together."""
        return cls(
            [lease for part in parts for lease in part._leases],
            [verdict for part in parts for verdict in part.verdicts],
        )

    def fill(self, results: Sequence[Result | None]) -> Filled:
        wanted = [
            (lease, result)
            for lease, verdict, result in zip(self._leases, self.verdicts, results, strict=True)
            if verdict is None and isinstance(lease, Lease) and result is not None
        ]
        return send_fill([lease for lease, _ in wanted], [result for _, result in wanted]).result()


@dataclass(frozen=True, slots=True)
class ColumnBatch:
    """Entries that are alike."""

    columns: EntryColumns

    def __len__(self) -> int:
        return len(self.columns)

    def take(self, region: Region) -> LeasedBatch:
        lease = take_columns(region, self.columns)
        return _LeasedColumns(lease) if lease is not None else RequestBatch(self.requests()).take(region)

    def requests(self) -> Sequence[Request]:
        return list(self.columns.requests())


class _LeasedColumns:
    def __init__(self, lease: ColumnLease) -> None:
        self._lease = lease
        now, timeout = time.time(), lease.columns.profile.timeout
        verdicts: list[Verdict] = [None if versions else SkipReason.PENDING for versions in lease.versions]
        for place, entry in lease.entries.items():
            if is_warm(entry, timeout, now):
                verdicts[place] = entry
        self.verdicts: Sequence[Verdict] = verdicts

    def fill(self, results: Sequence[Result | None]) -> Filled:
        pairs = zip(self.verdicts, results, strict=True)
        return self._lease.fill([result if verdict is None else None for verdict, result in pairs])


def count_warm(region: Region, requests: Sequence[Request]) -> int:
    """Return how many entries of requests are warm. Changes nothing; raise StoreError."""
    now = time.time()
    keys = [coarsen_if_full(region, request).key_list() for request in requests]
    with region.guard():
        values = iter(region.store.read([key for some in keys for key in some]) if keys else ())
    warm = 0
    for request, some in zip(requests, keys, strict=True):
        payload, *tags = islice(values, len(some))
        entry = None if None in tags else entry_under(some[0], payload, b"".join(tag for tag in tags if tag))
        warm += entry is not None and is_warm(entry, request.profile.timeout, now)
    return warm
