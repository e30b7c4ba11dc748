"""System checks of what a region's servers have: replicas, and an eviction policy that keeps buffers."""

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

from django.core.checks import CheckMessage, Tags, register
from django.db import OperationalError, connections

from cacheops.checks.messages import TAG, found, message
from cacheops.conf import conf
from cacheops.exceptions import InvalidOption, StoreError
from cacheops.patterns.write_behind import cache as write_behind
from cacheops.patterns.write_behind.buffer import NoBuffer
from cacheops.regions import store_for
from cacheops.relay.publication import is_replica, problems, publication_of, unpublished_tables
from cacheops.relay.schema_changes import UNTOLD, is_telling
from cacheops.stores.base import Store

SENTINELS_HINT = (
    "The service in LOCATION is the name that `sentinel monitor` gives it: redis+sentinel://host:26379/name/0."
)


@register(Tags.caches, TAG)
def check_replicas(app_configs: Any, databases: Sequence[str] | None = None, **kwargs: Any) -> list[CheckMessage]:
    """The servers are found, and have the replicas that the settings say. Asks only where databases are asked, too."""
    return found(_confirmations) if databases else []


def _confirmations() -> Iterator[CheckMessage]:
    for region in conf.regions:
        store = store_for(region)
        try:
            if problem := store.inspection.problem():
                yield message("E027", f"{region!r}: {problem}.", SENTINELS_HINT)
            yield from _confirmations_of(store)
        except StoreError:
            continue  # it is away: nothing can be said of it
        finally:
            store.close()


def _confirmations_of(store: Store) -> Iterator[CheckMessage]:
    expected = store.wait_replicas
    links = [int(info.get("connected_slaves", 0)) for info in primaries_of(store)]
    linked = min(links, default=0)
    confirmed = store.confirmations()
    if confirmed < expected:
        yield message(
            "W006",
            f"{store.name!r}: {confirmed} of {expected} replicas confirmed, so no mark counts: each write waits for "
            "them in vain, and has whole tables invalidated by way of the queue, or is refused.",
            "Start the replicas, or set CACHEOPS_WAIT_REPLICAS = {'" + store.name + f"': {confirmed}}}.",
        )
    enough = linked if store.inspection.by_sentinels else min(linked, 1)
    hint = f"Set CACHEOPS_WAIT_REPLICAS = {{{store.name!r}: {enough}}}, or "
    if enough and not expected:
        yield message(
            "W001",
            f"{store.name!r} has {linked} replicas, and CACHEOPS_WAIT_REPLICAS does not say so: after a fail-over that "
            "loses a mark, an entry may be served stale.",
            hint + "more.",
        )
    elif expected < enough:
        yield message(
            "W009",
            f"{store.name!r} has {linked} replicas, and CACHEOPS_WAIT_REPLICAS says {expected}: when Sentinel replaces "
            "a primary that lives, processes connected to it may serve stale entries until it is a replica.",
            hint + "silence this where no write is to wait for the slowest replica.",
        )


@register(Tags.caches, TAG)
def check_relays(app_configs: Any, databases: Sequence[str] | None = None, **kwargs: Any) -> list[CheckMessage]:
    """Where relays are installed they can work, and see every cached table."""
    return [each for alias in databases or () for each in found(partial(_relays, alias))]


def _relays(alias: str) -> Iterator[CheckMessage]:
    connection: Any = connections[alias]
    try:
        if connection.vendor != "postgresql" or not hasattr(connection, "cacheops"):
            return
        is_published, in_recovery = publication_of(connection) is not None, is_replica(connection)
    except OperationalError:
        return  # it is away: nothing can be said of it
    if not is_published and alias in conf.all_followers.values():
        hint = "Run `manage.py relay --install`, or name no replica of it in CACHEOPS_FOLLOWERS."
        for problem in [*problems(alias), f"No relay is installed on {alias!r}."]:
            yield message("W011", f"{problem} So nothing is cached of its replicas.", hint)
    if not is_published or in_recovery:
        return
    for problem in problems(alias):
        yield message("E025", problem, "Or take it back: `manage.py relay --uninstall`.")
    for table in unpublished_tables(connection):
        yield message(
            "W008", f"Relays do not see what is written to {table}.", "Run `manage.py relay --install` again."
        )
    if not is_telling(connection):
        yield message("W010", UNTOLD, "Run `manage.py relay --install` as a superuser, or silence this.")


def primaries_of(store: Store) -> list[dict[str, Any]]:
    """Return what a store's primaries tell of themselves."""
    return [info for info in store.inspection.nodes() if info.get("role") == "master"]


@register(Tags.caches, TAG)
def check_buffers(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """What write-behind buffers can't be evicted. A region without replicas buffers nothing, by its own settings."""
    return found(_buffers)


def _buffers() -> Iterator[CheckMessage]:
    if not conf.wait_replicas.get(conf.local_region):
        return
    for cache in write_behind.registered.values():
        try:
            buffer = cache.buffer
            problem = "" if isinstance(buffer, NoBuffer) else buffer.problem()
        except (InvalidOption, StoreError):
            continue  # other checks tell of it
        if problem:
            yield message(
                "W004",
                f"Write-behind of {cache.name!r} does not buffer in {conf.local_region!r}; it writes the database: "
                f"{problem}.",
                "Use maxmemory-policy volatile-lru, under which what has no time to live stays.",
            )
