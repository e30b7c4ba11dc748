"""System checks: every way to get the settings wrong has an id, and a hint that says what to write instead."""

from collections.abc import Iterator
from typing import Any

from django.apps import apps
from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, Warning, register
from django.db import connections

from cacheops.conf import conf
from cacheops.exceptions import InvalidOption, StoreError
from cacheops.invalidation import cached_databases
from cacheops.patterns.write_behind import cache as write_behind
from cacheops.patterns.write_behind.buffer import NoBuffer
from cacheops.profiles import profile_from
from cacheops.regions import store_for


@register(Tags.caches)
def check_profiles(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """Every name in CACHEOPS is a model's, every option one that is known, every TTL one that can be kept."""
    return [*_profiles(), *_defaults(), *_strategies()]


def _profiles() -> Iterator[CheckMessage]:
    for name, options in conf.profiles.items():
        if not _names_a_model(name):
            yield Error(
                f"CACHEOPS names {name!r}, which is no model.",
                hint="Use 'app_label.model', 'app_label.*' or '*.*'.",
                id="cacheops.E001",
            )
        if options is None:
            continue
        try:
            profile_from({**conf.defaults, **options})
        except (InvalidOption, TypeError, ValueError) as error:
            yield Error(f"CACHEOPS[{name!r}]: {error}", id="cacheops.E002")


def _names_a_model(name: str) -> bool:
    app, _, model = name.partition(".")
    if app == "*":
        return model == "*"
    if not apps.is_installed(app) and app not in apps.app_configs:
        return False
    return model == "*" or model in apps.all_models.get(app, {})


def _defaults() -> Iterator[CheckMessage]:
    try:
        profile_from(conf.defaults)
    except (InvalidOption, TypeError, ValueError) as error:
        yield Error(f"CACHEOPS_DEFAULTS: {error}", id="cacheops.E003")


def _strategies() -> Iterator[CheckMessage]:
    try:
        assert conf.ttl
    except InvalidOption as error:
        yield Error(f"CACHEOPS_TTL_STRATEGIES: {error}", id="cacheops.E004")


@register(Tags.caches)
def check_regions(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """Every region is a CACHES alias on which entries can be kept, and this process's own is one of them."""
    return [*_regions(), *_choices()]


def _regions() -> Iterator[CheckMessage]:
    for region in conf.regions:
        if region not in settings.CACHES:
            yield Error(
                f"CACHEOPS_REGIONS names {region!r}, which is no alias in CACHES.",
                hint=f"CACHES has {', '.join(sorted(settings.CACHES))}.",
                id="cacheops.E005",
            )
            continue
        try:
            store_for(region)
        except InvalidOption as error:
            yield Error(str(error), id="cacheops.E006")
    if conf.local_region not in conf.regions:
        yield Error(
            f"CACHEOPS_LOCAL_REGION is {conf.local_region!r}, which CACHEOPS_REGIONS does not name.",
            id="cacheops.E007",
        )


def _choices() -> Iterator[CheckMessage]:
    try:
        assert conf.on_unreachable
    except InvalidOption as error:
        yield Error(str(error), id="cacheops.E008")
    for region in conf.regions:
        readers = settings.CACHES.get(region, {}).get("OPTIONS", {}).get("CLIENT_CLASS", "").endswith("ClusterClient")
        if readers and not conf.wait_replicas.get(region, 0):
            yield Warning(
                f"Region {region!r} is a cluster, and CACHEOPS_WAIT_REPLICAS does not say how many replicas its shards "
                "have: after a fail-over that loses a mark, an entry may be served stale.",
                hint="Set CACHEOPS_WAIT_REPLICAS = {'" + region + "': 1}, or more; {…: 0} where there are none.",
                id="cacheops.W001",
            )


@register(Tags.caches)  # it asks no database, and so is no database check, which `manage.py check` leaves out
def check_engines(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """A database that models with profiles are read from has an engine that calls us, and no other name."""
    if not any(options and options.get("ops", conf.defaults.get("ops")) for options in conf.profiles.values()):
        return []
    return [*_engines(), *_second_names()]


def _engines() -> Iterator[CheckMessage]:
    if not hasattr(connections["default"], "cacheops_snapshots"):
        engine = settings.DATABASES["default"]["ENGINE"]
        yield Error(
            f"CACHEOPS caches models, but DATABASES['default'] has the engine {engine}, "
            "which does not call the cache: nothing would be cached, and nothing invalidated.",
            hint="Use cacheops.db.backends.postgresql or cacheops.db.backends.sqlite3.",
            id="cacheops.E009",
        )


def _second_names() -> Iterator[CheckMessage]:
    """Entries and marks go by the alias: what is written by one name invalidates nothing that was read by another."""
    first: dict[Any, str] = {}
    for alias in cached_databases():
        given = connections[alias].settings_dict
        mirrored = given.get("TEST", {}).get("MIRROR")
        same = tuple(str(given.get(name) or "") for name in ("ENGINE", "HOST", "PORT", "NAME"))
        same += (str(given.get("OPTIONS", {}).get("options") or ""),)  # may name another search_path
        other = mirrored or (first.setdefault(same, alias) if given.get("NAME") != ":memory:" else alias)
        if other != alias:
            yield Error(
                f"DATABASES[{alias!r}] caches what is read from the database of {other!r}, or from its replica, "
                f"and writes by {other!r} would not invalidate it.",
                hint=f"Give {alias!r} Django's own engine: what is read by that name is then not cached.",
                id="cacheops.E010",
            )


@register(Tags.caches)
def check_buffers(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """What write-behind buffers can't be evicted, and its numbers can work.

    A region without replicas buffers nothing, by its own settings.
    """
    found: list[CheckMessage] = [*_write_behind_numbers()]
    if not conf.wait_replicas.get(conf.local_region):
        return found
    for cache in write_behind.registered.values():
        try:
            buffer = cache.buffer
            problem = "" if isinstance(buffer, NoBuffer) else buffer.problem()
        except (InvalidOption, StoreError):
            continue  # other checks tell of it
        if problem:
            found.append(
                Warning(
                    f"Write-behind of {cache.name!r} does not buffer in {conf.local_region!r}; it writes the database: "
                    f"{problem}.",
                    hint="Use maxmemory-policy volatile-lru, under which what has no time to live stays.",
                    id="cacheops.W004",
                )
            )
    return found


def _write_behind_numbers() -> Iterator[CheckMessage]:
    for name in ("flush_batch", "flush_seconds", "flush_retry_seconds", "flush_attempts", "buffer_bound"):
        try:
            getattr(conf, name)
        except InvalidOption as error:
            yield Error(str(error), id="cacheops.E011")
