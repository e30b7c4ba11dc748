"""What one query, or one block of code, asks of the cache beyond its model's profile."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from typing import Any

from django.db.models.sql.query import Query

from cacheops.profiles import Profile

ATTRIBUTE, ROWS = "_cacheops", "_cacheops_rows"  # of a Query, which copies them to its clones

_bypassed: ContextVar[bool] = ContextVar("cacheops_bypassed", default=False)


@dataclass(frozen=True, slots=True)
class QueryOptions:
    """None leaves what the profile says."""

    ops: frozenset[str] | None = None
    timeout: float | None = None
    lock: bool | None = None
    level: str | None = None
    seconds: float | None = None  # of the level

    def over(self, profile: Profile) -> Profile:
        """Return a profile with these options."""
        given = {name: getattr(self, name) for name in self.__slots__ if getattr(self, name) is not None}
        return replace(profile, **given)


NOCACHE = QueryOptions(ops=frozenset(), level="bypass")


def options_of(query: Query) -> QueryOptions | None:
    return query.__dict__.get(ATTRIBUTE)


def set_options(query: Query, options: QueryOptions) -> None:
    query.__dict__[ATTRIBUTE] = options


def leave_rows(query: Query, rows: list[Any]) -> None:
    """Have a query go past the cache, and leave its rows in `rows` as the driver returned them."""
    query.__dict__[ROWS] = rows


def left_rows(query: Query) -> list[Any] | None:
    return query.__dict__.get(ROWS)


@contextmanager
def bypassed(past: bool = True) -> Iterator[None]:
    """Read from the database within the block, in this thread or task; with False, as usual again."""
    token = _bypassed.set(past)
    try:
        yield
    finally:
        _bypassed.reset(token)


def is_bypassed() -> bool:
    return _bypassed.get()


_sources: ContextVar[Mapping[str, str] | None] = ContextVar("cacheops_sources", default=None)


@contextmanager
def loaded_from(sources: Mapping[str, str]) -> Iterator[None]:
    """Load what a database is asked for from another alias within the block: a replica that holds the same rows."""
    token = _sources.set(sources)
    try:
        yield
    finally:
        _sources.reset(token)


def source_of(database: str) -> str:
    """Return the alias from which a database's rows are loaded."""
    return (_sources.get() or {}).get(database, database)
