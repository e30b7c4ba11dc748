"""The regions of this process: `regions.local`, `regions["us-west-2"]`. Each is one CACHES alias and one store."""

import logging
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import Any, ParamSpec, TypeVar

from django.conf import settings
from django.db import connections
from django.utils.module_loading import import_string

from cacheops.conf import conf
from cacheops.engine import Component, register_component
from cacheops.exceptions import InvalidOption, ServerRefused, StoreError, StoreUnavailable
from cacheops.protocol.keys import TAG, TableKeys, parse, start_of
from cacheops.regions.elsewhere import elsewhere
from cacheops.regions.outbox import Outbox
from cacheops.signals import region_state_changed
from cacheops.stores.base import MarkedTable, Store, TableTags
from cacheops.stores.circuit_breaker import PAUSE, CacheCircuitBreaker, Guard, circuit_of

logger = logging.getLogger("cacheops")
P = ParamSpec("P")
T = TypeVar("T")

WRITES = "writes"  # the kind of the log's lines about writes that a region was not told
TRIES = 3  # of a read during which the connection was lost and made again


class Region:
    """One region's store, its breaker, and what this process knows of its tables."""

    def __init__(self, name: str, store: Store, breaker: CacheCircuitBreaker | None = None) -> None:
        self.name = name
        self.store = store
        self.breaker = breaker or CacheCircuitBreaker(conf.breaker_threshold, conf.breaker_recovery)
        self._guard, self._urgent_guard = (
            self.breaker.guard(f"Region {name}", on_failure=self._failed, urgent=urgent) for urgent in (False, True)
        )
        self.breaker.watchers[name] = self._changed  # also where the region's cache has found it out
        self._away_since = 0.0  # monotonic
        self.schemes: dict[str, frozenset[str]] = {}  # by a table's keys; as last heard
        self.tracking: dict[str, tuple[float, float]] = {}  # what marks replace: for seconds, until when
        self.misses: dict[str, int] = {}  # by label: look-ups in a row that found nothing
        self.full: set[tuple[str, str]] = set()  # schemes for which a table had no room
        self.outbox = Outbox(name, store)

    def known_schemes(self, keys: TableKeys) -> frozenset[str] | None:
        return self.schemes.get(keys.base)

    def set_schemes(self, keys: TableKeys, schemes: frozenset[str]) -> None:
        self.schemes[keys.base] = schemes

    def add_schemes(self, keys: TableKeys, schemes: Sequence[str]) -> None:
        """Record schemes that this process has registered itself, so that its own writes know their columns."""
        known = self.schemes.get(keys.base)
        if known is not None and not known.issuperset(schemes):
            self.schemes[keys.base] = known.union(schemes)

    def is_full(self, tables: Iterable[TableTags]) -> bool:
        """Return whether one of these tables had no room for one of the schemes named."""
        return any((table.keys.base, scheme) in self.full for table in tables for scheme in table.schemes)

    def note_full(self, tables: Iterable[TableTags]) -> None:
        """Record that these tables have no room for the schemes named, so that they are not leased again."""
        self.full.update((table.keys.base, scheme) for table in tables for scheme in table.schemes)

    def read(self, keys: Sequence[str], databases: Sequence[str]) -> list[bytes | None]:
        """Return the values of keys, once all that this region has missed of these databases is applied."""
        values = self.store.read(keys)
        if self.outbox.due(databases):  # asked once, after the read: it may have connected to another server
            return self.drained(databases, self.store.read, keys)
        return values

    def drained(self, databases: Sequence[str], ask: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Return what the store answers, once all that this region has missed of these databases is applied.

        A server that has taken over while it was asked may lack what was applied: it is asked again then.
        """
        outbox = self.outbox
        if outbox.due(databases):
            outbox.drain(databases)
        for _ in range(TRIES):
            found = ask(*args, **kwargs)
            if not outbox.is_reconnected() or not outbox.drain(databases):
                return found
        raise StoreUnavailable(f"Region {self.name} has lost its connection {TRIES} times in a row.")

    def guard(self, *, urgent: bool = False) -> Guard:
        """Return what stands around every request to this region's store: it asks the circuit, and reports.

        `urgent` does not wait for a pause to end, only for an open circuit: for invalidation, and for what was begun.
        """
        return self._urgent_guard if urgent else self._guard

    def not_told(self, error: StoreError | None) -> None:
        """Log that a write was not told to this region; None where it was not even asked. One line a minute counts."""
        if isinstance(error, ServerRefused):
            return  # the circuit logs those
        reason = error or f"its circuit is open; the last error: {self.breaker.reason}"
        self.breaker.log.warning(WRITES, "Region %s could not be told of a write: %s", self.name, reason)

    def _changed(self, error: StoreUnavailable | None) -> None:
        """Log and signal that this region's circuit has opened, or closed."""
        if error is None:
            seconds, left = time.monotonic() - self._away_since, self.breaker.log.end(WRITES)
            more = f"; {left} more writes could not be told" if left else ""
            logger.warning("Region %s answers again after %.0f s%s.", self.name, seconds, more)
        else:
            self._away_since = time.monotonic()
            logger.warning("Region %s does not answer; reads go to the database: %s", self.name, error)
        region_state_changed.send_robust(None, region=self.name, reachable=error is None)

    def _failed(self, error: StoreUnavailable) -> None:
        self.outbox.recheck()


class RegionHandler(Component):
    """The regions that CACHEOPS_REGIONS names, made on first use and shared by all threads."""

    def __init__(self) -> None:
        self._regions: dict[str, Region] = {}
        self._lock = threading.RLock()

    def __getitem__(self, name: str) -> Region:
        region = self._regions.get(name)
        if region is None:
            with self._lock:
                region = self._regions.get(name)
                if region is None:
                    store = store_for(name)
                    region = self._regions[name] = Region(name, store, breaker_for(name, store))
        return region

    @property
    def local(self) -> Region:
        name = conf.local_region
        return self._regions.get(name) or self[name]  # the usual case costs a hit no further call

    def __iter__(self) -> Iterator[Region]:
        return (self[name] for name in conf.regions)

    def of(self, database: str) -> list[Region]:
        """Return the regions that cache a database."""
        return [self[name] for name in conf.regions_of(database)]

    def drain_queues(self, databases: Sequence[str]) -> None:
        """Apply what every region has missed of these databases, where it answers. Raise as `drain_queue` does."""
        for name in conf.regions:
            self.drain_queue(name, databases)

    def drain_queue(self, name: str, databases: Sequence[str]) -> None:
        """Apply what a region has missed of these databases, where it answers; nobody may read there.

        Also of a database that it does not cache any more, as it follows a replica: it may, again.
        Raise Django's errors where a database does not answer.
        """
        with suppress(StoreError):  # its guard has reported it, or its cluster was never reached: all goes on waiting
            region = self[name]
            waiting = region.outbox.waiting(databases)
            if waiting:
                with region.guard():
                    region.outbox.drain(waiting)

    def invalidate(self, act: Callable[[Region], int]) -> int:
        """Have `act` invalidate in every region at once; return the largest number that it returns.

        A region that only follows is not waited for. Raise StoreUnavailable, when all others are done, for those that
        could not be told. One for which too much waits forgets all that it holds, once it has caught up.
        """
        others = [region for region in self if region is not self.local]
        told = {
            region.name: elsewhere.tell(
                region.name, partial(_act, region, act), amends=partial(_act, region, renew_tags)
            ).result
            for region in others
        }
        told[conf.local_region] = partial(_act, self.local, act)
        found, failed = 0, []
        for name in (conf.local_region, *self._waited_for()):
            try:
                found = max(found, told[name]())
            except StoreError as error:
                failed.append(f"{name} ({error})")
        if failed:
            raise StoreUnavailable(f"These regions could not be told of an invalidation: {', '.join(failed)}.")
        return found

    def _waited_for(self) -> list[str]:
        """Return the other regions that an invalidation by hand waits for: those that cache a primary."""
        primaries = [alias for alias in connections if alias not in conf.all_followers]
        names = {name for alias in primaries for name in conf.regions_of(alias)}
        return sorted(names - {conf.local_region})

    def reset(self) -> None:
        """Forget the stores: their settings have changed."""
        with self._lock:
            for region in self._regions.values():
                region.store.close()
                if region.store.near is not None:
                    region.store.near.close()
            self._regions.clear()

    settings_changed = close = reset


def renew_tags(region: Region) -> int:
    """Renew every tag that a region holds, so that it has no valid entry; return how many."""
    found = 0
    for batch in region.store.scan(start_of(conf.prefix)):
        tags = [key for key in map(parse, batch) if key and key.kind == TAG]
        if tags:
            found += region.store.invalidate([MarkedTable(tag.keys, frozenset({tag.name})) for tag in tags])
    return found


def _act(region: Region, act: Callable[[Region], int]) -> int:
    try:
        with region.guard(urgent=True):
            return act(region)
    except StoreError as error:
        region.not_told(error)
        raise


def breaker_for(alias: str, store: Store) -> CacheCircuitBreaker | None:
    """Return the circuit that a region's store shares with the cache of its alias; None for a store on no servers."""
    if not store.addresses:
        return None
    pause = settings.CACHES[alias].get("OPTIONS", {}).get("PAUSE_AFTER_FAILURE", PAUSE)
    return circuit_of(store.addresses, pause)


def store_for(alias: str) -> Store:
    """Return a new store for a CACHES alias. Raise InvalidOption where there can be none.

    OPTIONS["STORE"], or else its backend's `make_store`, is called with the alias and its entry in CACHES.
    """
    config: dict[str, Any] | None = settings.CACHES.get(alias)
    if config is None:
        raise InvalidOption(f"CACHEOPS_REGIONS names {alias!r}, which is no alias in CACHES.")
    own: str = config.get("OPTIONS", {}).get("STORE", "")
    make_store: Callable[[str, Mapping[str, Any]], Store] | None
    try:
        make_store = import_string(own) if own else getattr(import_string(config["BACKEND"]), "make_store", None)
    except ImportError as error:
        raise InvalidOption(f"CACHES[{alias!r}] has {own or config['BACKEND']}: {error}.") from error
    if make_store is None:
        raise InvalidOption(
            f"CACHES[{alias!r}] has the backend {config['BACKEND']}, on which entries can't be kept: "
            "use cacheops.backends.RegionCache or cacheops.backends.MemoryCache, or name a store in OPTIONS['STORE']."
        )
    return make_store(alias, config)


regions = register_component(RegionHandler())
