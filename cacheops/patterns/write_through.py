"""Write-through: the database first, then the cache of every region. ("Caching patterns", AWS, Database Caching
Strategies Using Redis)

An entry is versioned by its row's tag (docs/design/invalidation.md): the write itself makes the old entry a miss in all
regions at the moment of its commit, and the new one is stored under versions that were leased before the row was read.
So an older value never replaces a newer one, whoever is last: what is stored under old versions is no hit. And a region
that missed a write takes no old value for a hit when it is back.
"""

import logging
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Generic, TypeVar

from django.db import models, router, transaction

from cacheops.conf import conf
from cacheops.databases import table_keys
from cacheops.encoding import objects
from cacheops.encoding.rows import FORMAT, Row
from cacheops.exceptions import InvalidOption, StoreError
from cacheops.orm.connection import cacheops_of
from cacheops.profiles import Profile
from cacheops.protocol.keys import checked_key, digest
from cacheops.protocol.tags import tag_name
from cacheops.reading.fetch import fetch
from cacheops.reading.fetch_many import fetch_many
from cacheops.reading.lease import Filled, Lease, encode, send_fill, send_leases
from cacheops.reading.lookup import is_warm
from cacheops.reading.options import bypassed, source_of
from cacheops.reading.policy import Source, decide_entry
from cacheops.reading.request import Request
from cacheops.regions import Region, regions
from cacheops.stores.base import TableTags
from cacheops.stores.reply import Reply

M = TypeVar("M", bound=models.Model)
T = TypeVar("T")
logger = logging.getLogger("cacheops")

BATCH = 500  # rows read and stored at a time


class WriteThroughCache(Generic[M]):
    """The rows of one model by primary key (an integer), each an entry in every region.

    `key` makes an entry's key of a primary key, `ttl` is in seconds or a TTL strategy. Every save of an instance, also
    the admin's, is written through; after an `update()` of a queryset, say so with `written`.
    """

    def __init__(
        self, model: type[M], key: Callable[[int], str], ttl: float | str = "device_data", *, using: str = "default"
    ) -> None:
        if model._meta.parents:
            raise InvalidOption(f"{model._meta.label} has its columns in several tables: use a model with one.")
        self.model = model
        self.using = using
        self._key = key
        self._ttl = ttl
        self._label = f"{model._meta.label_lower}:current"
        self._column = str(model._meta.pk.column)
        columns = [(field.attname, type(field).__name__) for field in model._meta.concrete_fields]
        self._layout = digest(repr((FORMAT, columns)).encode())[:8]  # two releases with other columns share no entry
        self._written = _Written()
        models.signals.post_save.connect(self._saved, sender=model, dispatch_uid=f"cacheops.through.{id(self)}")
        models.signals.post_delete.connect(self._saved, sender=model, dispatch_uid=f"cacheops.through.{id(self)}")

    # --- reads --------------------------------------------------------------------------------------------------------

    def get(self, pk: int) -> M | None:
        """Return the row as it is now, from the region's cache where it holds it; None where there is none.

        In a region that follows a replica, as it is there, where the database router says so.
        """
        alias = self._alias_for_read()
        request = self._request(pk, alias)  # first, as it refuses bad keys whether the cache is asked or not
        rows: Sequence[Row]
        if self._must_ask_the_database(alias):
            rows = self._rows([pk], alias)[0]
        else:
            rows = fetch(request, lambda: self._rows([pk], alias)[0])
        return objects.unpack(rows[0][0]) if rows else None

    def get_many(self, pks: Iterable[int]) -> dict[int, M]:
        """Return the rows that there are, in one round trip a server and at most one query."""
        wanted, alias = list(dict.fromkeys(pks)), self._alias_for_read()
        requests = [self._request(pk, alias) for pk in wanted]
        if self._must_ask_the_database(alias):
            found: Sequence[Sequence[Row]] = self._rows(wanted, alias)
        else:
            found = fetch_many(requests, lambda places: self._rows([wanted[place] for place in places], alias))
        return {pk: objects.unpack(rows[0][0]) for pk, rows in zip(wanted, found, strict=True) if rows}

    # --- writes -------------------------------------------------------------------------------------------------------

    def update(self, pk: int, data: Mapping[str, Any]) -> bool:
        """Write fields of a row to the database, then to every region; return False where there is no such row.

        Raise ValidationError for bad values, FieldDoesNotExist for an unknown field, and the database's errors as they
        are: nothing is written then. Within a transaction the caches follow at its commit.
        """
        for name in data:
            self.model._meta.get_field(name)
        with transaction.atomic(using=self.using):
            rows = self.model._base_manager.using(self.using).select_for_update(no_key=True, of=("self",))
            instance = rows.filter(pk=pk).first()
            if instance is None:
                return False
            for name, value in data.items():
                setattr(instance, name, value)
            instance.full_clean()
            if data:
                instance.save(using=self.using, update_fields=data.keys())
        return True

    update_device_data = update  # the specification's name

    def written(self, pks: Iterable[int]) -> None:
        """Write these rows through once the open transaction is committed; at once where none is open."""
        fresh = [pk for pk in pks if pk is not None]
        if fresh:
            self._written.pks.update(fresh)
            transaction.on_commit(self._flush, using=self.using, robust=True)

    def refresh(self, pks: Iterable[int]) -> int:
        """Store rows as they are now in every region; return how many entries were stored, in all regions together.

        A region that does not answer is left out: it has no hit for a write that it missed. One whose entry is right
        already is left alone.
        """
        wanted = list(dict.fromkeys(pks))
        if not conf.enabled:
            return 0
        return sum(self._refresh(wanted[start : start + BATCH]) for start in range(0, len(wanted), BATCH))

    def _saved(self, *, instance: M, using: str | None = None, raw: bool = False, **kwargs: Any) -> None:
        if using in (self.using, None) and not raw:
            self.written([instance.pk])

    def _flush(self) -> None:
        pks, self._written.pks = self._written.pks, set()
        # From a region that follows, it is three ways across the country: the next reader at home fills it sooner.
        if pks and self.using not in conf.followers.values():
            self.refresh(sorted(pks))

    def _refresh(self, pks: Sequence[int]) -> int:
        requests = [self._request(pk) for pk in pks]
        leased = in_all(regions.of(self.using), lambda region: send_leases(region, requests))
        started = time.perf_counter()
        rows = self._rows(pks)
        seconds = (time.perf_counter() - started) / len(pks)
        results = [encode(request, found, seconds) for request, found in zip(requests, rows, strict=True)]
        now = time.time()

        def fill(region: Region) -> Reply[Filled]:
            wanted = [
                (lease, result)
                for (lease, entry), result in zip(leased[region], results, strict=True)
                if isinstance(lease, Lease) and result is not None
                if entry is None or not is_warm(entry, result.ttl, now)
            ]
            return send_fill([lease for lease, _ in wanted], [result for _, result in wanted])

        return sum(filled.entries for filled in in_all(leased, fill).values())

    # --- entries ------------------------------------------------------------------------------------------------------

    def entry_key(self, pk: int) -> str:
        """Return the key under which a region holds a row."""
        request = self._request(pk)
        return request.keys.entry(request.digest)

    def _alias_for_read(self) -> str:
        alias = router.db_for_read(self.model)
        return alias if conf.followers.get(alias) == self.using else self.using

    def _request(self, pk: int, alias: str = "") -> Request:
        alias = alias or self.using
        keys = table_keys(alias, self.model._meta.db_table)
        name = f"{checked_key(self._key(pk))}:{self._layout}"
        tags = TableTags(keys, (tag_name(self._column, {self._column: pk}),), (self._column,))
        return Request(name, (tags,), Profile(timeout=conf.ttl.get_ttl(self._ttl)), self._label, (alias,))

    def _must_ask_the_database(self, alias: str) -> bool:
        """Return whether reads go past the cache."""
        source = Source(self.model, cacheops_of(alias), (self.model._meta.db_table,))
        return decide_entry([source], conf.ttl.get_ttl(self._ttl)) is not None

    def _rows(self, pks: Sequence[int], alias: str = "") -> list[list[Row]]:
        """Return the result for each primary key: one row of one value, the packed instance, or none."""
        with bypassed():
            found = self.model._base_manager.using(source_of(alias or self.using)).in_bulk(pks)
        return [[(objects.pack(found[pk]),)] if pk in found else [] for pk in pks]


def in_all(among: Iterable[Region], send: Callable[[Region], Reply[T]]) -> dict[Region, T]:
    """Send to all regions, then await their replies; return each one's result. One that fails is left out."""
    sent: dict[Region, Reply[T]] = {}
    found: dict[Region, T] = {}
    for region in among:
        with _left_out(region):
            sent[region] = send(region)
    for region, reply in sent.items():
        with _left_out(region):
            found[region] = reply.result()
    return found


@contextmanager
def _left_out(region: Region) -> Iterator[None]:
    try:
        yield
    except StoreError as error:
        logger.debug("Nothing is written through to %s: %s", region.name, error)  # its circuit logs why, once a minute


class _Written(threading.local):
    """Rows that a thread's transaction has written. Those of one that was rolled back go with the next, unharmed."""

    def __init__(self) -> None:
        self.pks: set[int] = set()
