"""A write's marks: placed in every region that caches its database before the commit (R8), taken off after it.

The rules are those of docs/design/invalidation.md. A region that cannot be told is told later, from a queue in the
database that the same transaction writes to; or, with CACHEOPS_ON_UNREACHABLE = "strict", the write fails.
"""

import json
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial

from cacheops.conf import conf
from cacheops.databases import table_keys
from cacheops.exceptions import InvalidationRefused, ServerRefused, StoreError, StoreUnavailable
from cacheops.instrumentation.counters import MARK, PENDING, counters
from cacheops.protocol.keys import GENERATION
from cacheops.protocol.tags import VERSION_BYTES, columns_of
from cacheops.regions import Region, regions
from cacheops.stores.base import MarkedTable
from cacheops.stores.circuit_breaker import CircuitOpen
from cacheops.stores.reply import Reply
from cacheops.writing.changes import Changes, TableChange

LATE = "Marks in %s ran out before their write was done, after %.1f s: raise CACHEOPS_MARK_SECONDS."
LOST = "Region %s lost marks before their write was done: it was full, frozen, or began anew."
CLOSING_ROWS = 32  # a write of more closes its tables: so many marks take the server longer than the commit


def marks_prefix() -> str:
    """Return the prefix of the log's messages in which writers under this prefix of keys say what they have marked."""
    return f"cacheops-marks:{conf.prefix}"


def by_hand_prefix() -> str:
    """Return the prefix of the log's messages that name the tables which were invalidated by hand."""
    return f"cacheops-by-hand:{conf.prefix}"


class WriteIntent:
    """The marks of one transaction, in all regions that cache its database."""

    def __init__(self, database: str, changes: Changes) -> None:
        self.database = database
        self.changes = changes
        self.writer = os.urandom(VERSION_BYTES)
        self._keys = {table: table_keys(database, table) for table in changes.tables}
        self._needed: dict[tuple[str, frozenset[str]], MarkedTable] = {}  # by table and schemes: regions often agree
        self._began = time.perf_counter()
        self._marked: dict[str, dict[str, MarkedTable]] = {}  # region -> table -> all that is marked there
        self._errors: dict[str, StoreError] = {}  # by region: why it could not be told
        self._missed: Sequence[Region] = ()  # whose invalidations are in the queue

    def mark(self) -> None:
        """Mark in all regions at once. Raise InvalidationRefused in strict mode where one can't be told."""
        missed = self.place()
        if missed:
            self._not_told(missed)

    def place(self) -> list[Region]:
        """Mark in all regions at once; return the regions that failed."""
        return self.place_nowait()()

    def place_nowait(self) -> Callable[[], list[Region]]:
        """Send marks to all regions; the call returned awaits the replies, and returns the regions that failed."""
        sent = regions.of(self.database)
        hear = self._mark_round({region: self._first_tables(region) for region in sent})

        def missed() -> list[Region]:
            reached = hear()
            second = {region: self._missing(region, answers) for region, answers in reached.items()}
            again = {region: tables for region, tables in second.items() if tables}
            if again:
                told = self._mark_round(again)()
                reached = {region: each for region, each in reached.items() if region not in again or region in told}
            return [region for region in sent if region not in reached]

        return missed

    def _mark_round(
        self, wanted: Mapping[Region, dict[str, MarkedTable]]
    ) -> Callable[[], dict[Region, dict[str, frozenset[str]]]]:
        """Send marks to each region; the call returned hears each one's answer: its schemes, by table."""
        started = time.perf_counter()
        waiting: dict[Region, Reply[list[frozenset[str]]]] = {}
        for region, tables in wanted.items():
            try:
                waiting[region] = region.guard(urgent=True).send(partial(self._send_marks, region, tables))
            except CircuitOpen:
                continue
            except StoreError as error:
                self._failed(region, error)

        def answers() -> dict[Region, dict[str, frozenset[str]]]:
            reached = {}
            for region, reply in waiting.items():
                try:
                    schemes = reply.result()
                except StoreError as error:
                    self._failed(region, error)
                    continue
                counters.timed(f"t|{region.name}", MARK, time.perf_counter() - started, marks=1)
                reached[region] = dict(zip(wanted[region], schemes, strict=True))
            return reached

        return answers

    def _send_marks(self, region: Region, tables: Mapping[str, MarkedTable]) -> Reply[list[frozenset[str]]]:
        self._remember(region, tables)  # first: part of them may arrive although this fails
        return region.store.mark(list(tables.values()), self.writer, conf.mark_seconds)

    def _first_tables(self, region: Region) -> dict[str, MarkedTable]:
        return {
            table: self._marked_table(table, region.known_schemes(self._keys[table]) or frozenset())
            for table in self.changes.tables
        }

    def _marked_table(self, table: str, schemes: frozenset[str]) -> MarkedTable:
        needed = self._needed.get((table, schemes))
        if needed is None:
            change = self.changes.tables[table]
            tags, closes = change.tags(schemes), len(change.rows) > CLOSING_ROWS
            needed = MarkedTable(self._keys[table], tags or frozenset(), whole=tags is None, closes=closes)
            self._needed[table, schemes] = needed
        return needed

    def _missing(self, region: Region, answers: Mapping[str, frozenset[str]]) -> dict[str, MarkedTable]:
        """Return what must be marked besides, now that the region's schemes are known."""
        found = {}
        for table, schemes in answers.items():
            region.set_schemes(self._keys[table], schemes)
            marked, needed = self._marked[region.name][table], self._marked_table(table, schemes)
            if marked.whole:
                continue
            if needed.whole:
                found[table] = needed
            elif not needed.tags <= marked.tags:
                found[table] = replace(needed, tags=needed.tags - marked.tags)
        return found

    def _remember(self, region: Region, tables: Mapping[str, MarkedTable]) -> None:
        held = self._marked.setdefault(region.name, {})
        for table, marked in tables.items():
            before = held.get(table)
            if before is None:
                held[table] = marked
            else:
                held[table] = before.joined(marked)

    def _failed(self, region: Region, error: StoreError) -> None:
        counters.delivered(region.name, errors=1)
        self._errors[region.name] = error

    def _not_told(self, missed: Sequence[Region]) -> None:
        for region in missed:
            region.not_told(self._errors.get(region.name))
        names = ", ".join(region.name for region in missed)
        if conf.on_unreachable == "strict":
            self.cancel()
            raise InvalidationRefused(
                f"The write was not committed: its invalidation could not be placed in {names}. Try again when the "
                "region answers, or set CACHEOPS_ON_UNREACHABLE = 'queue'."
            )
        for region in missed:
            if region.outbox.add(self.database, sorted(self.changes.tables)):
                counters.delivered(region.name, queued=len(self.changes.tables))
        self._missed = missed

    def message(self) -> str:
        """Return, for the log, what is marked: by region and table, the tags' names. Relays skip it."""
        missed = {region.name for region in self._missed}
        return json.dumps(
            {
                region: {table: [GENERATION] if held.whole else sorted(held.tags) for table, held in tables.items()}
                for region, tables in self._marked.items()
                if region not in missed
            }
        )

    def clear(self) -> None:
        """Take the marks off. A region that does not answer keeps them until their deadline: its readers bypass.

        Nobody waits for it: the commit is done, and a reader that finds a mark still standing reads the database.
        """
        self.cancel()
        for region in self._missed:
            region.outbox.recheck()  # only now do others see what was queued
        for table, change in self.changes.tables.items():
            self._count(table, change)

    def cancel(self) -> None:
        """Take the marks off, nothing having been changed."""
        for name, tables in self._marked.items():
            region = regions[name]
            send = partial(region.store.clear, list(tables.values()), self.writer)
            took = time.perf_counter() - self._began
            region.guard(urgent=True).send_nowait(send, partial(self._cleared, region, took))

    def _count(self, table: str, change: TableChange) -> None:
        marked = [held[table] for held in self._marked.values()]
        tags = max((len(each.tags) for each in marked), default=0)
        whole = int(change.whole or any(each.whole for each in marked))
        seconds = time.perf_counter() - self._began
        counters.timed(f"w|{table}|{change.source}", PENDING, seconds, writes=1, tags=tags, whole=whole)

    def _cleared(self, region: Region, took: float, gone: int | StoreError) -> None:
        """Count marks that did not stand until their write was done, `took` seconds after they were sent."""
        log = region.breaker.log
        if isinstance(gone, StoreError):
            counters.delivered(region.name, errors=1)
            if not isinstance(gone, StoreUnavailable | ServerRefused):  # its circuit logs those
                log.warning("clears", "Region %s kept a write's marks: %s", region.name, gone)
        elif gone and region.name not in self._errors:  # else they may never have come, and are in the queue
            if took >= conf.mark_seconds:
                counters.delivered(region.name, late_marks=gone)
                log.error("late", LATE, region.name, took)
            else:
                counters.delivered(region.name, lost_marks=gone)
                log.warning("lost", LOST, region.name)


def known_columns(database: str, table: str) -> frozenset[str]:
    """Return the columns that any region's queries have conditions on, as far as this process knows.

    A region not asked yet is asked. A scheme that appears later makes the write mark the whole table: wider is safe.
    """
    keys = table_keys(database, table)
    columns: frozenset[str] = frozenset()
    for region in regions.of(database):
        schemes = region.known_schemes(keys)
        if schemes is None:
            try:
                with region.guard():
                    schemes = region.store.schemes(keys)
            except StoreError:
                continue
            region.set_schemes(keys, schemes)
        columns |= columns_of(schemes)
    return columns
