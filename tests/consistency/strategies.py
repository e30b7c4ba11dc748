"""Pauses that widen the races, and caches that are wrong on purpose: the harness must catch each."""

import random
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace

from cacheops.encoding.rows import Row
from cacheops.exceptions import StoreError
from cacheops.reading import fetch
from cacheops.reading.follower import FollowerRead
from cacheops.reading.lease import Lease, take_lease
from cacheops.reading.reader import Load
from cacheops.reading.request import Request
from cacheops.regions import Region, regions
from cacheops.relay.follower import FollowerRelay
from cacheops.stores.base import MarkedTable
from cacheops.stores.near import NearEntries
from cacheops.writing import intent
from cacheops.writing.intent import WriteIntent


def pause_sometimes(random_: random.Random, share: float, most: float) -> None:
    """Sleep up to `most` seconds, with the probability `share`."""
    if share and random_.random() < share:
        time.sleep(random_.uniform(0, most))


def pause_loaders(random_: random.Random, share: float, most: float) -> None:
    """Let readers stand still between lease and load, and between load and fill."""
    load_and_fill = fetch.load_and_fill

    def paused_load_and_fill(lease: Lease, load: Load) -> Sequence[Row]:
        def paused() -> Sequence[Row]:
            pause_sometimes(random_, share, most)
            rows = load()
            pause_sometimes(random_, share, most)
            return rows

        return load_and_fill(lease, paused)

    fetch.load_and_fill = paused_load_and_fill


class AfterCommit(WriteIntent):
    """Wrong: nothing is announced before the commit, and what depends on the rows is invalidated after it."""

    def mark(self) -> None:
        pass

    def clear(self) -> None:
        for region in regions:
            with suppress(StoreError), region.guard(urgent=True):
                region.store.invalidate([self._everything(table) for table in self.changes.tables])

    def _everything(self, table: str) -> MarkedTable:
        return MarkedTable(self._keys[table], frozenset(), whole=True)


def use_after_commit() -> None:
    from cacheops.orm import transaction

    intent.WriteIntent = AfterCommit  # type: ignore[misc]
    transaction.WriteIntent = AfterCommit  # type: ignore[attr-defined]


def use_versions_at_fill() -> None:
    """Wrong: entries are stored under the versions that tags have when they are stored, not before the load."""

    fill = Lease.fill

    def fill_as_of_now(self: Lease, rows: Sequence[Row], load_seconds: float) -> None:
        now = take_lease(self.region, self.request, lock=False)
        if isinstance(now, Lease):
            fill(replace(now, is_locked=self.is_locked), rows, load_seconds)
        else:
            self.release()

    Lease.fill = fill_as_of_now  # type: ignore[method-assign]


def use_relay_ahead() -> None:
    """Wrong: a relay publishes how far it is, and invalidates behind that."""
    publish = FollowerRelay._publish

    def publish_first(
        self: FollowerRelay, lsn: int, marked: Mapping[str, MarkedTable], tables: Sequence[str]
    ) -> list[str]:
        publish(self, lsn, {}, tables)
        if marked:
            time.sleep(0.02)
        return publish(self, lsn, marked, tables)

    FollowerRelay._publish = publish_first  # type: ignore[method-assign]


def use_no_positions() -> None:
    """Wrong: a follower takes what its region holds, and fills what its replica shows, however far they are."""

    def look_up(self: FollowerRead, region: Region, request: Request, keys: Sequence[str]) -> list[bytes | None]:
        return region.store.read(keys)

    FollowerRead.look_up = look_up  # type: ignore[method-assign]
    FollowerRead.may_fill = lambda self, region, requests, patience=0.0: True  # type: ignore[method-assign]


def use_deaf_channel() -> None:
    """Wrong: a process ignores what its region's servers tell it of changes."""
    changed = NearEntries._changed

    def only_losses(self: NearEntries, keys: Iterable[bytes] | None) -> None:
        if keys is None:
            changed(self, None)

    NearEntries._changed = only_losses  # type: ignore[method-assign]


STRATEGIES: dict[str, Callable[[], None]] = {
    "engine": lambda: None,
    "after_commit": use_after_commit,
    "versions_at_fill": use_versions_at_fill,
    "relay_ahead": use_relay_ahead,
    "no_positions": use_no_positions,
    "deaf_channel": use_deaf_channel,
}
