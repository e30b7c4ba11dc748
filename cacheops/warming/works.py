"""What can be filled: a model's rows, as `get` finds them, and whatever else reads through the cache."""

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Protocol

from django.core.exceptions import ObjectDoesNotExist
from django.db import connections, models

from cacheops import rows as codec
from cacheops.engine import Loader, Request, read_by
from cacheops.exceptions import UnencodableValue
from cacheops.orm.options import bypassed, source_of
from cacheops.orm.reading import request_for
from cacheops.orm.transaction import transaction_of
from cacheops.profiles import Profile, profile_of
from cacheops.queryset import CachedQuerySet, GetPlan, get_plan
from cacheops.rows import EncodedRows, Row
from cacheops.warming.crew import Crew

MOST_ROUNDS = 50  # reads that one call makes one after the other; more is a loop


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
        profile = self._profile()
        if profile is None:
            crew.skipped(len(self.keys) * (1 + len(self.by)))
            return None
        named = self._names()
        requests: list[Request] = []
        wanted: list[tuple[Any, str, Any]] = []  # primary key, attribute, its value
        for attribute, lookup in self._lookups():
            for key, values in named.items():
                request = self._request(lookup, values[attribute], profile)
                if request is not None:
                    requests.append(request)
                    wanted.append((key, attribute, values[attribute]))
        if crew.dry_run:
            return crew.look(requests)
        leased = crew.lease(requests)
        needed = {
            wanted[index][0] for found in leased.values() for index, one in enumerate(found) if isinstance(one, bytes)
        }
        if needed:
            self._fill(crew, requests, wanted, leased, sorted(needed))
        return None

    def _profile(self) -> Profile | None:
        """Return the profile of the model's `get`, None where it is not cached now."""
        profile = profile_of(self.model)
        if profile is None or "get" not in profile.ops or profile.level == "bypass" or profile.timeout <= 0:
            return None
        transaction = transaction_of(connections[self.using])
        written = self.model._meta.db_table in transaction.changes.tables
        return None if transaction.has_snapshot() or written else profile

    def _lookups(self) -> list[tuple[str, str]]:
        """Return the attribute and the name of each lookup."""
        fields = {field.name: field.attname for field in self.model._meta.concrete_fields}
        return [(self.model._meta.pk.attname, "pk"), *((fields[name], name) for name in self.by)]

    def _names(self) -> dict[Any, dict[str, Any]]:
        """Return the values of the unique fields by primary key: all that must be known before the leases."""
        attributes = [attribute for attribute, _ in self._lookups()]
        if len(attributes) == 1:
            return {key: {attributes[0]: key} for key in self.keys}
        with bypassed():
            found = self.model._base_manager.using(self.using).filter(pk__in=self.keys).values_list(*attributes)
            by_key = {row[0]: dict(zip(attributes, row, strict=True)) for row in found}
        return {key: by_key[key] for key in self.keys if key in by_key}

    def _request(self, lookup: str, value: Any, profile: Profile) -> Request | None:
        if value is None:
            return None
        plan = self._plan(lookup, value)
        if plan is None or type(value) is not plan.kind:
            return None
        return request_for(plan.plan, [value], self.using, profile, f"{self.model._meta.label_lower}:get")

    def _plan(self, lookup: str, value: Any) -> GetPlan | None:
        return get_plan(CachedQuerySet(self.model, using=self.using), lookup, value)

    def _fill(
        self,
        crew: Crew,
        requests: Sequence[Request],
        wanted: Sequence[tuple[Any, str, Any]],
        leased: Mapping[str, Any],
        keys: Sequence[Any],
    ) -> None:
        started = time.perf_counter()
        with crew.loading():
            rows = self._load(keys)
        seconds = (time.perf_counter() - started) / max(1, len(rows))
        places = {field.attname: place for place, field in enumerate(self.model._meta.concrete_fields)}
        own = places[self.model._meta.pk.attname]
        encoded = {row[own]: (row, bytes_) for row, bytes_ in zip(rows, encoded_each(rows), strict=True)}
        found: list[EncodedRows | None] = []
        for key, attribute, value in wanted:
            row, bytes_ = encoded.get(key, ((), None))
            # Gone, or of another name by now: the entry would be that of no row, or of another.
            found.append(bytes_ if row and row[places[attribute]] == value else None)
        crew.fill(requests, leased, found, seconds)

    def _load(self, keys: Sequence[Any]) -> list[Row]:
        """Return the rows as the driver gives them, their columns in the order of the plan's: the model's."""
        query = CachedQuerySet(self.model, using=self.using).filter(pk__in=keys).order_by().query
        with bypassed():
            compiler: Any = query.get_compiler(using=source_of(self.using))
            return [row for chunk in compiler.execute_sql() for row in chunk]


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
    """Carries a read out of the code that makes it. Not an Exception, so that no `except` on its way stops it."""

    def __init__(self, request: Request, load: Loader) -> None:
        super().__init__(request.label)
        self.request = request
        self.load = load


@dataclass
class Reads:
    """The entries of whatever some calls read through the cache: they are the callers' own, whatever these do.

    Each call runs until it needs an entry; what all calls need is leased in one round trip a region and loaded; then
    they run again, from their beginning, with what is known by then. So a call must only read, and be quick.
    """

    calls: Sequence[Callable[[], object]]
    _known: dict[str, Sequence[Row]] = field(default_factory=dict)

    def warm(self, crew: Crew) -> None:
        calls = list(self.calls)
        for _ in range(MOST_ROUNDS):
            needed: dict[str, _Needed] = {}
            calls = [call for call in calls if self._stops(call, needed)]
            if not calls or not self._answer(crew, list(needed.values())):
                return
        crew.skipped(len(calls))

    def _stops(self, call: Callable[[], object], needed: dict[str, _Needed]) -> bool:
        """Run a call; return whether it needs what is not known."""
        try:
            with read_by(self._read), suppress(ObjectDoesNotExist):  # deleted meanwhile: known as such
                call()
        except _Needed as read:
            needed.setdefault(digest_of(read.request), read)
            return True
        return False

    def _read(self, request: Request, load: Loader) -> Sequence[Row]:
        found = self._known.get(digest_of(request))
        if found is None:
            raise _Needed(request, load)
        return found

    def _answer(self, crew: Crew, needed: Sequence[_Needed]) -> bool:
        """Make known what is needed, and fill it; return whether any region answers."""
        requests = [read.request for read in needed]
        if crew.dry_run:
            crew.look(requests)
            leased: Mapping[str, Any] = {}
        else:
            leased = crew.lease(requests)
            if not leased:  # no region answers: what comes after is not asked
                return False
        started = time.perf_counter()
        loaded: list[EncodedRows | None] = []
        with crew.loading():
            for index, read in enumerate(needed):
                warm = [found[index] for found in leased.values()]
                if warm and all(isinstance(one, codec.Entry) for one in warm):
                    rows = warm[0].rows()
                    loaded.append(None)
                else:
                    rows = all_of(read.load())
                    loaded.append(_encoded_or_none(rows))
                self._known[digest_of(read.request)] = rows
        if not crew.dry_run:
            crew.fill(requests, leased, loaded, (time.perf_counter() - started) / max(1, len(needed)))
        return True


def digest_of(request: Request) -> str:
    return request.keys.base + request.digest


def all_of(loaded: Any) -> Sequence[Row]:
    """Return loaded rows; those of an iterator are taken to its end."""
    parts: Iterable[Sequence[Row]] | None = getattr(loaded, "parts", None)
    return loaded if parts is None else [row for part in parts for row in part]
