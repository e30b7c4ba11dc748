"""Keep what a block of code has made for as long as it would read the same.

    with record_reads() as record:
        page = make()
    …
    if record.is_unchanged():
        answer(page)

A record holds the entries that the block has read, with the versions of all that they depend on, as bytes. They are
asked for again in one message to each server, whatever the number of reads, and must come back as they were: then each
of them is as valid as it was found to be (rule R1), and the block, were it run, would read the same rows.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

from django.db import connections

from cacheops.conf import conf
from cacheops.databases import name_of, session_of
from cacheops.exceptions import StoreError
from cacheops.instrumentation import request_stats
from cacheops.instrumentation.counters import LOOK_UP, counters
from cacheops.reading.lookup import look_up
from cacheops.reading.near import near_rows
from cacheops.reading.notes import Notes, as_bytes, noted_in
from cacheops.reading.options import is_bypassed
from cacheops.reading.policy import connection_bypass, region_bypass
from cacheops.reading.reader import current_reader
from cacheops.reading.request import Request
from cacheops.regions import Region, regions
from cacheops.regions.hotkeys import hotkeys


class ReadRecord:
    """What a block has read, and where."""

    def __init__(self) -> None:
        self.is_whole = False  # whether all that the block has read is here: else the record says nothing
        self.notes = Notes()  # filled by what reads
        self._region: Region = regions.local
        self._prefix = conf.prefix
        self._databases: tuple[tuple[str, str, bytes], ...] = ()

    @property
    def size(self) -> int:
        """How many bytes the values take."""
        return sum(len(value) for value in self.notes.values.values() if value is not None)

    def end(self, stats: request_stats.RequestStats, statements: int) -> None:
        """Judge, when the block has ended, whether it has read anything else than valid entries."""
        notes = self.notes
        read = request_stats.RequestStats(hits=sum(notes.hits.values()) + len(notes.near))
        self.is_whole = notes.is_consistent and not statements and stats == read and self._can_vouch()
        if self.is_whole:
            notes.group()
            self._databases = tuple(_place(alias) for alias in sorted(notes.databases))

    def is_unchanged(self) -> bool:
        """Return whether the block would read the same now: one message to each server, and no SQL.

        False too where that is not known: the region does not answer, a transaction is open, the caching is paused. Its
        look-ups count as hits.
        """
        notes, region = self.notes, self._region
        if not self.is_whole or region is not regions.local or self._prefix != conf.prefix:
            return False
        if time.time() >= notes.until or not self._can_vouch():
            return False
        if self._databases != tuple(_place(alias) for alias in sorted(notes.databases)):
            return False
        tables, databases = list(notes.tables.values()), tuple(notes.databases)
        if region_bypass(region, databases, tables) is not None:
            return False
        started = time.perf_counter()
        try:
            if not self._is_same(region, databases):
                return False
        except StoreError:
            return False
        self._count(region, time.perf_counter() - started)
        return True

    def _is_same(self, region: Region, databases: Sequence[str]) -> bool:
        notes = self.notes
        with region.guard():
            if notes.values and region.read(list(notes.values), databases) != list(notes.values.values()):
                return False
            return all(_near_rows(region, request) == rows for request, rows in notes.near)

    def _can_vouch(self) -> bool:
        """Return whether reads go to the region as they do outside of transactions and special blocks."""
        if not conf.enabled or conf.followers or is_bypassed() or current_reader() is not None:
            return False
        for alias in self.notes.databases:
            connection: Any = connections[alias]
            if connection.in_atomic_block or connection_bypass(connection.cacheops) is not None:
                return False
        return True

    def _count(self, region: Region, seconds: float) -> None:
        """Count the look-ups as those of the block would have been."""
        hits = self.notes.hits
        total = sum(hits.values())
        request_stats.count(hits=total)
        for label, number in hits.items():
            counters.read_timed(label, LOOK_UP, seconds, hits=number)
        for use in self.notes.uses:
            counters.used(*use)
        hotkeys.left -= total
        if hotkeys.left < 0:
            hotkeys.record(region, list(self.notes.tables.values()))


def _place(alias: str) -> tuple[str, str, bytes]:
    """Return what says which database a connection leads to, and the settings by which its session answers."""
    return alias, name_of(alias), session_of(alias)


def _near_rows(region: Region, request: Request) -> bytes | None:
    """Return what the level near answers, or else the region, as bytes; None where that is no valid entry."""
    rows = near_rows(request)
    if rows is None:
        rows = look_up(region, request)
    return None if rows is None else as_bytes(rows)


@contextmanager
def record_reads() -> Iterator[ReadRecord]:
    """Record what the block reads of the cache. What it makes may be kept while the record `is_unchanged`.

    Only if the record `is_whole`: the block was answered by entries alone. Whatever else it depends on (the request,
    the visitor, the time, files, other caches) is for the caller to name with what is kept.
    """
    record, statements = ReadRecord(), 0

    def count(execute: Callable[..., Any], *arguments: Any) -> Any:
        nonlocal statements
        statements += 1
        return execute(*arguments)

    stats = request_stats.RequestStats()
    try:
        with ExitStack() as stack, request_stats.collect_request_stats() as stats, noted_in(record.notes):
            for connection in connections.all():
                stack.enter_context(connection.execute_wrapper(count))
            yield record
    finally:
        request_stats.count(stats.hits, stats.misses, stats.bypasses, stats.unchecked, stats.lagging)
    record.end(stats, statements)
