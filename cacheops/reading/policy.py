"""Whether a read may be answered from the cache: one decision for queries, patterns, warming and the panel.

A decision is the profile that the read is cached by, or the reason why it goes to the database. What depends on the
region is decided last, when it is to be asked.
"""

from collections.abc import Iterable, Sequence
from enum import StrEnum
from typing import NamedTuple, Protocol

from django.db.models import Model

from cacheops.conf import conf
from cacheops.profiles import Profile, profile_of
from cacheops.reading.options import QueryOptions, is_bypassed
from cacheops.regions import Region
from cacheops.regions.switches import switches
from cacheops.stores.base import TableTags
from cacheops.stores.circuit_breaker import CircuitState


class Bypass(StrEnum):
    """Why a read goes to the database, as the panel tells it."""

    DISABLED = "CACHEOPS_ENABLED is off: every read goes to the database."
    BLOCK = "The code that reads is in a block of bypassed()."
    NO_PROFILE = "The model's profile is None: it is neither cached nor invalidated."
    LEVEL = "The profile, or the query, has the level bypass."
    OPERATION = "The model's profile does not cache this operation."
    NO_TIMEOUT = "The timeout is 0: nothing would be kept."
    ENGINE = "The database has Django's own engine, which does not call the cache."
    REGION = "This process's region does not cache the database (CACHEOPS_REGIONS)."
    FOLLOWER = "It depends on a database replica and on another database, which no position tells of."
    REFUSED = "Django refuses queries here: in a coroutine, or in a test that may not ask the database."
    SNAPSHOT = "The open transaction may see an older state of the database."
    WRITTEN = "The open transaction has changed a table that is read."
    SESSION = "The database session has settings, or tables, of its own, which an entry can't name."
    QUERY = (
        "What this query depends on can't be known: raw SQL, a lock, a random order, the present moment and the like "
        "(docs/caveats.md)."
    )
    VALUE = "A parameter has no exact encoding, so no entry has it."
    PAUSED = "An administrator has paused the caching of this model."
    CIRCUIT = "This process's circuit of the region is open: reads go to the database until it is tried again."


class ConnectionState(Protocol):
    """What a decision needs to know of a database connection: `connection.cacheops`."""

    @property
    def alias(self) -> str:
        """The alias of the database."""

    @property
    def is_cached(self) -> bool:
        """Whether the database's engine is one of ours."""

    def refuses_queries(self) -> bool:
        """Return whether Django refuses queries here."""

    def has_snapshot(self) -> bool:
        """Return whether reads may see a state of the past."""

    def has_known_session(self) -> bool:
        """Return whether the settings by which the session answers are known."""

    def has_own_session(self) -> bool:
        """Return whether the session's settings are others than those it began with."""

    def has_written(self, tables: Iterable[str]) -> bool:
        """Return whether the open transaction has changed one of these tables."""


class Source(NamedTuple):
    """A model, its connection and the tables of one thing that an entry is made of."""

    model: type[Model]
    connection: ConnectionState
    tables: Iterable[str]


def decide(
    model: type[Model], operation: str, connection: ConnectionState, options: QueryOptions | None = None
) -> Profile | Bypass:
    """Decide for a query. Once its tables are known, `connection.has_written` decides the rest (Bypass.WRITTEN)."""
    if is_bypassed():
        return Bypass.BLOCK
    profile = profile_for(model, operation, options)
    if isinstance(profile, Bypass):
        return profile
    return connection_bypass(connection) or profile


def profile_for(model: type[Model], operation: str | None, options: QueryOptions | None = None) -> Profile | Bypass:
    """Decide by the settings and the query's options alone. The operation None stands for any."""
    if not conf.enabled:
        return Bypass.DISABLED
    profile = profile_of(model)
    if profile is None:
        return Bypass.NO_PROFILE
    if options is not None:
        profile = options.over(profile)
    if profile.level == "bypass":
        return Bypass.LEVEL
    if operation not in profile.ops and operation is not None:
        return Bypass.OPERATION
    return profile if profile.timeout > 0 else Bypass.NO_TIMEOUT


def decide_entry(sources: Iterable[Source], timeout: float) -> Bypass | None:
    """Decide for an entry that code names itself (cache-aside, functions, write-through); None: it may be cached.

    Its life is the code's own, so the models' operations and levels do not count, only that their writes invalidate.
    """
    if not conf.enabled:
        return Bypass.DISABLED
    if is_bypassed():
        return Bypass.BLOCK
    if timeout <= 0:
        return Bypass.NO_TIMEOUT
    databases: set[str] = set()
    for model, connection, tables in sources:
        if profile_of(model) is None:
            return Bypass.NO_PROFILE
        bypass = connection_bypass(connection)
        if bypass is not None:
            return bypass
        if connection.has_own_session():  # such an entry names none
            return Bypass.SESSION
        if connection.has_written(tables):
            return Bypass.WRITTEN
        databases.add(connection.alias)
    return Bypass.FOLLOWER if len(databases) > 1 and not databases.isdisjoint(conf.followers) else None


def connection_bypass(connection: ConnectionState) -> Bypass | None:
    if not connection.is_cached:
        return Bypass.ENGINE
    if connection.refuses_queries():
        return Bypass.REFUSED
    if conf.local_databases is not None and connection.alias not in conf.local_databases:
        return Bypass.REGION
    if connection.has_snapshot():
        return Bypass.SNAPSHOT
    return None if connection.has_known_session() else Bypass.SESSION


def region_bypass(region: Region, databases: Sequence[str], tables: Sequence[TableTags]) -> Bypass | None:
    """Return why a read does not ask this region, None where it may. Whether it may probe is for the region's guard."""
    if switches.is_paused(databases, tables):
        return Bypass.PAUSED
    return Bypass.CIRCUIT if region.breaker.state is CircuitState.OPEN else None
