"""What can be filled: a model's rows, as `get` finds them, and whatever else reads through the cache."""

import time
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import reduce
from typing import Any, NamedTuple, Protocol

from django.core.exceptions import ObjectDoesNotExist
from django.db import models

from cacheops.encoding import rows as codec
from cacheops.encoding.rows import EncodedRows, Row
from cacheops.exceptions import UnencodableValue
from cacheops.orm.connection import cacheops_of
from cacheops.orm.fastpath.get import get_plan
from cacheops.orm.plan import Plan
from cacheops.orm.read_compiler import request_for
from cacheops.profiles import Profile
from cacheops.queryset import CachedQuerySet
from cacheops.reading.fetch import read_by
from cacheops.reading.fetch_many import LoadMany
from cacheops.reading.load import Loader
from cacheops.reading.options import bypassed, source_of
from cacheops.reading.policy import Bypass, decide
from cacheops.reading.request import Request
from cacheops.warming.columnar import Alike, alike_of
from cacheops.warming.fanout import Crew

MOST_ROUNDS = 50  # reads that one call makes one after the other; more is a loop


SPARSENESS = 2  # a range may hold this many times the keys that are wanted: IN takes longer than a few rows


class _Names(NamedTuple):
    """Rows' primary keys, and the attribute and the values by which the rows are asked for; as many of each."""

    keys: Sequence[Any]
    attribute: str
    values: Sequence[Any]


class Work(Protocol):
    """A batch of entries."""

    def warm(self, crew: Crew) -> None:
        """Fill the batch in the crew's regions, or look what there would be to fill in a dry run."""


@dataclass(frozen=True)
class Rows:
    """The entries of `get(pk=…)`, of `get(field=…)` by unique fields, and of foreign keys, for rows of one model.

    They are the very entries that `CachedQuerySet.get` and Django's descriptors look for: one SELECT fills them all.
    """

    model: type[models.Model]
    keys: Sequence[Any]  # primary keys
    using: str  # the alias under which reads are cached
    by: Sequence[str] = ()  # names of unique fields

    def warm(self, crew: Crew) -> None:
        profile = self._decide()
        if isinstance(profile, Bypass):
            crew.skipped(len(self.keys) * (1 + len(self.by)))
            return
        asked, names = self._asked(profile)
        if crew.dry_run:
            crew.look(list(asked.requests()) if isinstance(asked, Alike) else asked)
            return
        leased = crew.lease(asked)
        keys = [key for some in names for key in some.keys]
        needed = {key for found in leased.values() for key, one in zip(keys, found, strict=True) if type(one) is bytes}
        if needed:
            self._fill(crew, asked, names, leased, needed)

    def _asked(self, profile: Profile) -> tuple[Alike | list[Request], list[_Names]]:
        """Return what is asked for, and by which names, in the same order."""
        queryset: CachedQuerySet[Any] = CachedQuerySet(self.model, using=self.using)
        label = f"{self.model._meta.label_lower}:get"
        columns: list[tuple[Plan, _Names]] = []
        for lookup, names in self._names().items():
            plan = get_plan(queryset, self.using, lookup, names.values[0]) if names.values else None
            if plan is None:
                continue
            if set(map(type, names.values)) != {plan.kind}:
                pairs = zip(names.keys, names.values, strict=True)
                kept = [(key, value) for key, value in pairs if type(value) is plan.kind]
                names = _Names([key for key, _ in kept], names.attribute, [value for _, value in kept])
            columns.append((plan.plan, names))
        alike = [alike_of(plan, names.values, self.using, profile, label) for plan, names in columns]
        if alike and None not in alike:
            return reduce(Alike.joined, filter(None, alike)), [names for _, names in columns]
        return self._one_by_one(columns, profile, label)

    def _one_by_one(
        self, columns: Sequence[tuple[Plan, _Names]], profile: Profile, label: str
    ) -> tuple[list[Request], list[_Names]]:
        """Return what is asked for where keys and tags can't be made by columns."""
        requests: list[Request] = []
        wanted: list[_Names] = []
        for plan, names in columns:
            made = [request_for(plan, [value], self.using, profile, label) for value in names.values]
            kept = [place for place, request in enumerate(made) if request is not None]
            requests += filter(None, made)
            wanted.append(_Names([names.keys[at] for at in kept], names.attribute, [names.values[at] for at in kept]))
        return requests, wanted

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

    def _fill(
        self,
        crew: Crew,
        asked: Alike | Sequence[Request],
        names: Sequence[_Names],
        leased: Mapping[str, Any],
        keys: Set[Any],
    ) -> None:
        started = time.perf_counter()
        with crew.loading():
            rows = self._load(sorted(keys))
        seconds = (time.perf_counter() - started) / max(1, len(rows))
        places = {field.attname: place for place, field in enumerate(self.model._meta.concrete_fields)}
        own = places[self.model._meta.pk.attname]
        rows = [row for row in rows if row[own] in keys]
        encoded = dict(zip([row[own] for row in rows], encoded_each(rows), strict=True))
        found: list[EncodedRows | None] = []
        for some in names:
            mine = list(map(encoded.get, some.keys))
            place = places[some.attribute]
            if place != own:
                by_key = {row[own]: row[place] for row in rows}
                # Of another name by now: the entry would be that of another row.
                triples = zip(mine, some.keys, some.values, strict=True)
                mine = [one if by_key.get(key) == value else None for one, key, value in triples]
            found += mine
        crew.fill(asked, leased, found, seconds)

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


class _Needed(BaseException):
    """Carries reads out of the code that makes them. Not an Exception, so that no `except` on its way stops it."""

    def __init__(self, requests: Sequence[Request], load: LoadMany) -> None:
        super().__init__(requests[0].label)
        self.requests = requests
        self.load = load


@dataclass
class Reads:
    """The entries of whatever some calls read through the cache: they are the callers' own, whatever these do.

    Each call runs until it needs an entry, or many at once; what all calls need is leased in one round trip a region
    and loaded; then they run again, from their beginning, with what is known by then. So a call must only read, and be
    quick.
    """

    calls: Sequence[Callable[[], object]]
    _known: dict[str, Sequence[Row]] = field(default_factory=dict)

    def warm(self, crew: Crew) -> None:
        calls = list(self.calls)
        for _ in range(MOST_ROUNDS):
            needed: list[_Needed] = []
            calls = [call for call in calls if self._stops(call, needed)]
            if not calls or not self._answer(crew, needed):
                return
        crew.skipped(len(calls))

    def _stops(self, call: Callable[[], object], needed: list[_Needed]) -> bool:
        """Run a call; return whether it needs what is not known."""
        try:
            with read_by(self._read, self._read_many), suppress(ObjectDoesNotExist):  # it was deleted
                call()
        except _Needed as read:
            needed.append(read)
            return True
        return False

    def _read(self, request: Request, load: Loader) -> Sequence[Row]:
        return self._read_many([request], lambda places: [all_of(load()) for _ in places])[0]

    def _read_many(self, requests: Sequence[Request], load: LoadMany) -> list[Sequence[Row]]:
        found = [self._known.get(digest_of(request)) for request in requests]
        lacking = [place for place, rows in enumerate(found) if rows is None]
        if lacking:
            raise _Needed(
                [requests[place] for place in lacking], lambda places: load([lacking[place] for place in places])
            )
        return [rows for rows in found if rows is not None]

    def _answer(self, crew: Crew, needed: Sequence[_Needed]) -> bool:
        """Make known what is needed, and fill it; return whether any region answers."""
        places: dict[str, tuple[int, int]] = {}  # by the read's digest: who needs it, and which of his it is
        for number, read in enumerate(needed):
            for place, request in enumerate(read.requests):
                places.setdefault(digest_of(request), (number, place))
        requests = [needed[number].requests[place] for number, place in places.values()]
        if crew.dry_run:
            crew.look(requests)
            leased: Mapping[str, Any] = {}
        else:
            leased = crew.lease(requests)
            if not leased:  # no region answers: what comes after is not asked
                return False
        started = time.perf_counter()
        loaded: list[EncodedRows | None] = [None] * len(requests)
        kept = list(requests)
        cold: dict[int, list[tuple[int, int]]] = {}  # who needs it: which of his, and which of all
        for index, (digest, (number, place)) in enumerate(places.items()):
            warm = [found[index] for found in leased.values()]
            if warm and all(isinstance(one, codec.Entry) for one in warm):
                self._known[digest] = warm[0].rows()
            else:
                cold.setdefault(number, []).append((place, index))
        with crew.loading():
            for number, wanted in cold.items():
                for (_, index), rows in zip(wanted, needed[number].load([place for place, _ in wanted]), strict=True):
                    self._known[digest_of(requests[index])] = rows
                    seconds = requests[index].seconds(rows)
                    loaded[index] = _encoded_or_none(rows) if seconds > 0 else None
                    if seconds != kept[index].profile.timeout:  # None, say, is kept for a shorter time
                        kept[index] = kept[index]._replace(profile=replace(kept[index].profile, timeout=seconds))
        if not crew.dry_run:
            crew.fill(kept, leased, loaded, (time.perf_counter() - started) / max(1, len(requests)))
        return True


def digest_of(request: Request) -> str:
    return request.keys.base + request.digest


def all_of(loaded: Any) -> Sequence[Row]:
    """Return loaded rows; those of an iterator are taken to its end."""
    parts: Iterable[Sequence[Row]] | None = getattr(loaded, "parts", None)
    return loaded if parts is None else [row for part in parts for row in part]
