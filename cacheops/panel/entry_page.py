"""Look up one entry: is it there, how old is it, what does it depend on, and why would a read hit or miss.

It asks as the engine does: the same request, the same keys, the same judgement (`engine.valid_entry`).
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from django.core.exceptions import FieldDoesNotExist, ValidationError
from django.db import connections, models
from django.views.debug import SafeExceptionReporterFilter

from cacheops.databases import name_of
from cacheops.encoding import rows as codec
from cacheops.encoding.rows import Entry
from cacheops.exceptions import CorruptEntry, InvalidKey, StoreError
from cacheops.orm.connection import CachedConnection, cacheops_of
from cacheops.orm.fastpath.get import get_plan
from cacheops.orm.read_compiler import request_for
from cacheops.orm.schema import models_by_table
from cacheops.panel.permissions import HIDDEN, may_view
from cacheops.profiles import Profile, profile_of
from cacheops.protocol.keys import ENTRY, GENERATION, SPACES, TAG, TableKeys, parse
from cacheops.protocol.tags import VERSION_BYTES, versions_in
from cacheops.queryset import CachedQuerySet
from cacheops.reading.lookup import valid_entry
from cacheops.reading.options import bypassed
from cacheops.reading.policy import Bypass, decide_entry, profile_for, region_bypass
from cacheops.reading.request import Request
from cacheops.regions import Region, regions
from cacheops.stores.base import TableTags, marks_in
from cacheops.warming.replica import cached_alias

MAX_KEYS = 300  # in a pasted text
MAX_ROWS = 20  # shown of an entry
MAX_LETTERS = 200  # of a value
SECRET = SafeExceptionReporterFilter.hidden_settings  # names that Django never shows: password, token, key …


@dataclass(frozen=True, slots=True)
class TagState:
    """One tag that an entry depends on."""

    table: str
    name: str
    state: str  # clean, absent, pending
    agrees: bool | None  # with the version that the entry was filled under; None where there is no entry
    severity: str

    @property
    def shown_name(self) -> str:
        return "the whole table (generation)" if self.name == GENERATION else self.name or "every row"


@dataclass(slots=True)
class Found:
    """What is known of one entry in one region. `verdict` is hit, miss, bypass or unknown; `why` says why."""

    region: str
    key: str
    verdict: str = "unknown"
    why: str = ""
    profile: Profile | None = None
    entry: Entry | None = None
    size: int = 0
    tags: list[TagState] = field(default_factory=list)
    schemes: list[str] = field(default_factory=list)
    rows: list[list[tuple[str, str]]] = field(default_factory=list)  # column and value, where the person may see them
    row_count: int | None = None
    hidden: str = ""  # why rows are not shown
    invalidated_by: Sequence[str] = ()  # writes, in words; of a query

    @property
    def severity(self) -> str:
        return {"hit": "good", "miss": "fair", "bypass": "poor"}.get(self.verdict, "none")

    @property
    def age(self) -> float | None:
        return None if self.entry is None else max(0.0, time.time() - self.entry.made_at)

    @property
    def left(self) -> float | None:
        """Seconds until it expires."""
        return None if self.entry is None else max(0.0, self.entry.expires_at - time.time())


class NotFound(InvalidKey):
    """What was typed names nothing that can be looked up; the message says why."""


def look_up_row(region: str, model: type[models.Model], text: str, user: Any) -> Found:
    """Return the entry of `get` of one row: `text` is its primary key, or `field=value` of a unique field.

    Raise NotFound, or StoreError where the region does not answer.
    """
    name, value = condition(model, text)
    profile = profile_of(model)
    database = cached_alias(model)
    plan = get_plan(CachedQuerySet(model, using=database), database, name, value)
    connection = cacheops_of(database)
    if plan is None or profile is None or not isinstance(connection, CachedConnection):
        why = "its profile is None" if profile is None else "its `get` is not one that the cache answers by one key"
        raise NotFound(f"{model._meta.label} can't be looked up by {name}: {why}.")
    label = f"{model._meta.label_lower}:get"
    request = request_for(plan.plan, [value], connection, profile, label)
    if request is None:
        raise NotFound(f"{value!r} has no exact encoding, so no entry has it.")
    found = look_up(regions[region], request, profile_for(model, "get"))
    if may_view(user, model):
        show_rows(found, plan.names)
    elif found.entry is not None:
        found.hidden = f"Rows are shown to those who may view {model._meta.verbose_name_plural}."
    return found


def condition(model: type[models.Model], text: str) -> tuple[str, Any]:
    """Return the name of a unique field, and its value, from what a person typed. Raise NotFound."""
    name, found, value = text.strip().partition("=")
    if not found:
        name, value = "pk", text.strip()
    try:
        field_: Any = model._meta.pk if name == "pk" else model._meta.get_field(name)
        while field_.is_relation and field_.concrete:
            field_ = field_.target_field
        return name, field_.to_python(value)
    except (FieldDoesNotExist, AttributeError) as error:
        raise NotFound(f"{model._meta.label} has no field {name!r} to look up by.") from error
    except (ValidationError, ValueError, TypeError) as error:
        raise NotFound(f"{value!r} is no value of {model._meta.label}.{name}.") from error


def look_up_keys(region: str, text: str, user: Any) -> Found:
    """Return the entry of a pasted key, with the tags that were pasted behind it (`keys_of`).

    Raise NotFound, or StoreError where the region does not answer.
    """
    request = pasted_request(text)
    model = model_of(request)
    with bypassed(False):  # the panel's own reads are
        decision = decide_entry((), request.profile.timeout) if model is None else profile_for(model, None)
    found = look_up(regions[region], request, decision)
    if model is None:
        found.profile = None  # entries of functions, and under names, have each a lifetime of their own
    if user.is_superuser:
        show_rows(found, ())
    elif found.entry is not None:
        found.hidden = "A pasted key may hold rows of any model: they are shown to superusers."
    return found


def pasted_request(text: str) -> Request:
    """Return the request that made these keys: the entry's, then the tags'. Raise NotFound."""
    first, *others = text.split()[:MAX_KEYS] or [""]
    entry = parse(first)
    if entry is None or entry.kind != ENTRY or not entry.name:
        raise NotFound("A key begins as co:{default@….app_model}:e:… : paste one, or what keys_of(queryset) returns.")
    if entry.database not in SPACES and entry.alias not in connections:
        raise NotFound(f"{entry.alias} is no database of this project.")
    if entry.database not in SPACES and entry.database != name_of(entry.alias):
        raise NotFound(f"This key is of another database than the one that {entry.alias!r} leads to now.")
    tables: list[tuple[TableKeys, list[str]]] = []
    for key in others:
        tag = parse(key)
        if tag is None or tag.kind != TAG:
            raise NotFound(f"{key[:60]!r} is no tag: after the entry's key come those of its tags.")
        if tag.name == GENERATION:
            tables.append((tag.keys, []))
        elif not tables or tables[-1][0] != tag.keys:
            raise NotFound(f"Before {key[:60]!r} its table's generation is missing: paste all of keys_of(queryset).")
        else:
            tables[-1][1].append(tag.name)
    if tables and tables[0][0] != entry.keys:
        raise NotFound("The first tag is of another table than the entry.")
    made = tuple(TableTags(keys, tuple(names)) for keys, names in tables) or (TableTags(entry.keys, ()),)
    databases = () if entry.database in SPACES else (entry.alias,)
    request = Request(entry.name, made, Profile(), "look-up:panel", databases)
    model = model_of(request)
    return request if model is None else request._replace(profile=profile_of(model) or Profile())


def model_of(request: Request) -> type[models.Model] | None:
    """Return the model whose rows an entry holds; None for an entry of a function, or under a key that code chose."""
    return models_by_table().get(request.keys.table) if request.databases else None


# --- what it is, and why ----------------------------------------------------------------------------------------------


def look_up(region: Region, request: Request, decision: Profile | Bypass | None) -> Found:
    """Return the state of a request's entry in a region, without changing anything. Raise StoreError.

    `decision` is the policy's on a read of this entry that is in no transaction.
    """
    keys = request.key_list()
    values = region.store.read(keys)
    found = Found(region.name, keys[0], profile=request.profile)
    found.schemes = sorted(region.store.schemes(request.keys))
    if values[0] is not None:
        found.size = len(values[0])
        try:
            found.entry = codec.decode(values[0], keys[0])
        except CorruptEntry:
            found.why = "The bytes under this key are no entry: a reader counts a miss and fills it anew."
    found.tags = tag_states(request, values[1:], found.entry)
    bypass = decision if isinstance(decision, Bypass) else region_bypass(region, request.databases, request.tables)
    if bypass is None:
        judge(found, request, values)
    else:
        found.verdict, found.why = "bypass", bypass
    return found


def tag_states(request: Request, values: Sequence[bytes | None], entry: Entry | None) -> list[TagState]:
    names = [(table.keys, name) for table in request.tables for name in (GENERATION, *table.tags)]
    held: list[bytes] = versions_in(entry.versions) if entry else []
    found = []
    for number, ((keys, name), value) in enumerate(zip(names, values, strict=True)):
        pending = marks_in(value)
        state = "pending" if pending else "clean" if value is not None else "absent"
        agrees = None if entry is None else number < len(held) and state == "clean" and held[number] == value
        severity = "poor" if pending else "none" if agrees is None else "good" if agrees else "fair"
        found.append(TagState(keys.table, name, state, agrees, severity))
    return found


def judge(found: Found, request: Request, values: Sequence[bytes | None]) -> None:
    """Set what a read would be now, in the order in which the engine decides."""
    pending = [tag for tag in found.tags if tag.state == "pending"]
    if pending:
        found.verdict = "bypass"
        found.why = (
            f"A writer is about to change {pending[0].shown_name} of {pending[0].table}: reads go to the database."
        )
        return
    if found.entry is None:
        found.verdict = "miss"
        found.why = found.why or "There is no entry: never read, expired, or evicted. The next read fills it."
        return
    named = VERSION_BYTES * len(found.tags)
    if valid_entry(request, request.entry, values) is not None:
        found.verdict, found.why = "hit", "The entry is there, and every tag has the version that it was filled under."
        return
    changed = [tag for tag in found.tags if not tag.agrees]
    if not changed and named < len(found.entry.versions):
        more = (len(found.entry.versions) - named) // VERSION_BYTES
        found.why = (
            f"The table's generation agrees; {more} more tag{'s count' if more > 1 else ' counts'}, which a key alone "
            f"does not name{': paste all that keys_of(queryset) returns' if request.databases else ''}."
        )
        return
    found.verdict = "miss"
    if not changed:
        found.why = "The entry was filled under fewer tags than were pasted."
        return
    name = f"{changed[0].shown_name} of {changed[0].table}"
    if changed[0].state == "absent":
        found.why = f"The tag {name} is gone: a write took it away, or it was evicted."
    else:
        found.why = f"A write changed {name} after the entry was filled."


# --- rows -------------------------------------------------------------------------------------------------------------


def show_rows(found: Found, names: Sequence[str]) -> None:
    """Put the entry's rows into what is shown; columns with the names of secrets stay hidden."""
    if found.entry is None:
        return
    try:
        rows = found.entry.rows()
    except CorruptEntry as error:
        found.hidden = str(error)
        return
    found.row_count = len(rows)
    for row in rows[:MAX_ROWS]:
        columns = names or [f"column {number}" for number in range(1, len(row) + 1)]
        found.rows.append([(name, shown_value(name, value)) for name, value in zip(columns, row, strict=False)])


def shown_value(name: str, value: Any) -> str:
    if SECRET.search(name):
        return HIDDEN
    if isinstance(value, bytes):
        return f"{len(value):,} bytes"
    text = "none" if value is None else str(value)
    return text if len(text) <= MAX_LETTERS else f"{text[:MAX_LETTERS]}…"


__all__ = ["Found", "NotFound", "StoreError", "look_up_keys", "look_up_row"]
