"""A page of the entries that a region holds of a model: how old and how large each is, and when it ends."""

import time
from dataclasses import dataclass

from django.db import models

from cacheops.databases import table_keys
from cacheops.encoding import rows as codec
from cacheops.exceptions import CorruptEntry
from cacheops.regions import regions
from cacheops.warming.replica import cached_alias

PAGE = 100  # entries looked at for a page, about; those that a filter leaves out are not shown


@dataclass(frozen=True, slots=True)
class ListedEntry:
    """One entry. Seconds; `age` and `left` are None where its bytes are none that a reader takes."""

    key: str
    size: int
    age: float | None = None
    left: float | None = None


@dataclass(frozen=True, slots=True)
class EntriesPage:
    """What was found in one page of a scan: the oldest first. `following` is the next page's cursor, "" at the end."""

    entries: tuple[ListedEntry, ...]
    looked_at: int
    following: str


def entries_of(
    model: type[models.Model],
    region: str,
    older: int | None = None,
    larger: int | None = None,
    ends: int | None = None,
    at: str = "",
) -> EntriesPage:
    """Return a page of a model's entries in a region, from the cursor `at` on. Raise StoreError.

    `older` and `ends` are seconds, `larger` bytes: of age, of what is left, of size.
    """
    store = regions[region].store
    keys, following = store.scan_page(table_keys(cached_alias(model), model._meta.db_table).entry(""), at, PAGE)
    now = time.time()
    found = [listed(key, value, now) for key, value in zip(keys, store.read(keys), strict=True) if value is not None]
    shown = [
        one
        for one in found
        if (older is None or (one.age or 0.0) > older)
        and (larger is None or one.size > larger)
        and (ends is None or (one.left or 0.0) <= ends)
    ]
    shown.sort(key=lambda one: -(one.age or 0.0))
    return EntriesPage(tuple(shown), len(found), following)


def listed(key: str, value: bytes, now: float) -> ListedEntry:
    try:
        entry = codec.decode(value, key)
    except CorruptEntry:
        return ListedEntry(key, len(value))
    return ListedEntry(key, len(value), max(0.0, now - entry.made_at), max(0.0, entry.expires_at - now))
