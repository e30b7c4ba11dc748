"""The tasks that fill a model's rows, as `get` finds them."""

import time
from collections.abc import Sequence, Set
from dataclasses import dataclass
from functools import reduce
from typing import Any, NamedTuple, Protocol

from django.db import models

from cacheops.encoding import rows as codec
from cacheops.encoding.rows import EncodedRows, Row
from cacheops.exceptions import UnencodableValue
from cacheops.orm.connection import CachedConnection, cacheops_of
from cacheops.orm.fastpath.get import get_plan
from cacheops.orm.plan import Plan
from cacheops.orm.read_compiler import request_for
from cacheops.profiles import Profile
from cacheops.queryset import CachedQuerySet
from cacheops.reading.columns import EntryColumns
from cacheops.reading.lease import Result
from cacheops.reading.options import bypassed, source_of
from cacheops.reading.policy import Bypass, decide
from cacheops.reading.request import Request
from cacheops.warming.batches import Batch, ColumnBatch, LeasedBatch, RequestBatch
from cacheops.warming.columnar import columns_of
from cacheops.warming.fanout import RegionFanout

SPARSENESS = 2  # a range may hold this many times the keys that are wanted: IN takes longer than a few rows


class _Names(NamedTuple):
    """Rows' primary keys, and the attribute and the values by which the rows are asked for; as many of each."""

    keys: Sequence[Any]
    attribute: str
    values: Sequence[Any]


class Task(Protocol):
    """A batch of entries to warm."""

    def warm(self, fanout: RegionFanout) -> None:
        """Fill the batch in all regions, or count what there would be to fill in a dry run."""


@dataclass(frozen=True)
class Rows:
    """The entries of `get(pk=…)`, of `get(field=…)` by unique fields, and of foreign keys, for rows of one model.

    They are the very entries that `CachedQuerySet.get` and Django's descriptors look for: one SELECT fills them all.
    """

    model: type[models.Model]
    keys: Sequence[Any]  # primary keys
    using: str  # the alias under which reads are cached
    by: Sequence[str] = ()  # names of unique fields

    def warm(self, fanout: RegionFanout) -> None:
        profile = self._decide()
        if isinstance(profile, Bypass):
            fanout.skipped(len(self.keys) * (1 + len(self.by)))
            return
        batch, names = self._batch(profile)
        fanout.entries += len(batch)
        if fanout.dry_run:
            fanout.look(batch.requests())
            return
        leased = fanout.lease(batch)
        keys = [key for some in names for key in some.keys]
        missing = {
            key for own in leased.values() for key, verdict in zip(keys, own.verdicts, strict=True) if verdict is None
        }
        if missing:
            with fanout.loading(batch) as may_fill:
                results = self._load_results(names, profile, missing if may_fill else set())
            fanout.fill(leased, results)

    def _batch(self, profile: Profile) -> tuple[Batch[LeasedBatch], list[_Names]]:
        """Return the entries, and by which names they are asked for, in the same order."""
        queryset: CachedQuerySet[Any] = CachedQuerySet(self.model, using=self.using)
        label = f"{self.model._meta.label_lower}:get"
        plans: list[tuple[Plan, _Names]] = []
        for lookup, names in self._names().items():
            plan = get_plan(queryset, self.using, lookup, names.values[0]) if names.values else None
            if plan is None:
                continue
            if set(map(type, names.values)) != {plan.kind}:
                pairs = zip(names.keys, names.values, strict=True)
                kept = [(key, value) for key, value in pairs if type(value) is plan.kind]
                names = _Names([key for key, _ in kept], names.attribute, [value for _, value in kept])
            plans.append((plan.plan, names))
        connection = cacheops_of(self.using)
        assert isinstance(connection, CachedConnection)  # no other has a profile (_decide)
        columns = [columns_of(plan, names.values, connection, profile, label) for plan, names in plans]
        if columns and None not in columns:
            joined = reduce(EntryColumns.joined, filter(None, columns))
            return ColumnBatch(joined), [names for _, names in plans]
        return self._one_by_one(plans, connection, profile, label)

    def _one_by_one(
        self, plans: Sequence[tuple[Plan, _Names]], connection: CachedConnection, profile: Profile, label: str
    ) -> tuple[Batch[LeasedBatch], list[_Names]]:
        """Return what `_batch` does where keys and tags can't be made by columns."""
        requests: list[Request] = []
        wanted: list[_Names] = []
        for plan, names in plans:
            made = [request_for(plan, [value], connection, profile, label) for value in names.values]
            kept = [place for place, request in enumerate(made) if request is not None]
            requests += filter(None, made)
            wanted.append(_Names([names.keys[at] for at in kept], names.attribute, [names.values[at] for at in kept]))
        return RequestBatch(requests), wanted

    def _decide(self) -> Profile | Bypass:
        """Decide whether `get` of the model's rows is cached now."""
        connection = cacheops_of(self.using)
        decision = decide(self.model, "get", connection)
        return Bypass.WRITTEN if connection.has_written((self.model._meta.db_table,)) else decision

    def _lookups(self) -> list[tuple[str, str]]:
        """Return the attribute and the name of each lookup."""
        fields = {field.name: field.attname for field in self.model._meta.concrete_fields}
        return [(self.model._meta.pk.attname, "pk"), *((fields[name], name) for name in self.by)]

    def _names(self) -> dict[str, _Names]:
        """Return by lookup which rows have which values: all that must be known before the leases."""
        lookups = self._lookups()
        if len(lookups) == 1:
            return {lookup: _Names(self.keys, attribute, self.keys) for attribute, lookup in lookups}
        with bypassed():
            found = self._rows_of(self.keys).values_list(*[attribute for attribute, _ in lookups])
            by_key = {row[0]: row for row in found}
        rows = [by_key[key] for key in self.keys if key in by_key]
        return {
            lookup: _Names(
                [row[0] for row in rows if row[place] is not None],
                attribute,
                [row[place] for row in rows if row[place] is not None],
            )
            for place, (attribute, lookup) in enumerate(lookups)
        }

    def _rows_of(self, keys: Sequence[Any]) -> CachedQuerySet[Any]:
        """Return the rows with these keys, and perhaps others: keys that lie close are asked for as a range."""
        rows: CachedQuerySet[Any] = CachedQuerySet(self.model, using=self.using).order_by()
        if all(type(key) is int for key in keys):
            first, last = min(keys), max(keys)
            if last - first < SPARSENESS * len(keys):
                return rows.filter(pk__range=(first, last))
        return rows.filter(pk__in=keys)

    def _load_results(self, names: Sequence[_Names], profile: Profile, keys: Set[Any]) -> list[Result | None]:
        """Load the rows with these keys; return the result of each name, None for those that have none."""
        started = time.perf_counter()
        rows = self._load(sorted(keys)) if keys else []
        seconds = (time.perf_counter() - started) / max(1, len(rows))
        places = {field.attname: place for place, field in enumerate(self.model._meta.concrete_fields)}
        own = places[self.model._meta.pk.attname]
        rows = [row for row in rows if row[own] in keys]
        encoded = dict(zip([row[own] for row in rows], encoded_each(rows), strict=True))
        results = {key: one and Result(one, profile.timeout, seconds) for key, one in encoded.items()}
        found: list[Result | None] = []
        for some in names:
            mine = list(map(results.get, some.keys))
            place = places[some.attribute]
            if place != own:
                by_key = {row[own]: row[place] for row in rows}
                # Of another name by now: the entry would be that of another row.
                triples = zip(mine, some.keys, some.values, strict=True)
                mine = [one if by_key.get(key) == value else None for one, key, value in triples]
            found += mine
        return found

    def _load(self, keys: Sequence[Any]) -> list[Row]:
        """Return the rows as the driver gives them, their columns in the order of the plan's: the model's."""
        query: Any = self._rows_of(keys).query
        with bypassed():
            compiler: Any = query.get_compiler(using=source_of(self.using))
            # All at once: Django's usual hundred at a time take a fifth longer.
            return [row for chunk in compiler.execute_sql(chunk_size=max(1, len(keys))) for row in chunk]


def encoded_each(rows: Sequence[Row]) -> list[EncodedRows | None]:
    """Return each row encoded; None for one that can't be."""
    if not rows:
        return []
    try:
        return list(codec.encode_each(rows))
    except UnencodableValue:
        return [_encoded_or_none([row]) for row in rows]


def _encoded_or_none(rows: Sequence[Row]) -> EncodedRows | None:
    try:
        return codec.encode_rows(rows)
    except UnencodableValue:
        return None
