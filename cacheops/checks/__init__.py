"""System checks: every way to get the settings wrong has an id, and a hint that says what to write instead."""

from collections.abc import Iterator
from difflib import get_close_matches
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from django.apps import apps
from django.conf import settings
from django.core.checks import CheckMessage, Tags, register
from django.db import connections

from cacheops.checks.django_cacheops import FILES, instead_of
from cacheops.checks.messages import CHECKS, OPTIONS_HINT, TAG, found, message
from cacheops.checks.servers import check_buffers, check_relays, check_replicas
from cacheops.conf import SETTINGS, conf
from cacheops.exceptions import InvalidOption
from cacheops.invalidation import cached_databases
from cacheops.orm.connection import cacheops_of
from cacheops.profiles import profile_from
from cacheops.regions import store_for

__all__ = [
    "CHECKS",
    "check_buffers",
    "check_distribution",
    "check_engines",
    "check_profiles",
    "check_regions",
    "check_relays",
    "check_replicas",
    "check_settings",
]


@register(Tags.caches, TAG)
def check_distribution(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """No other distribution has put its files into this package."""
    try:
        other = version("django-cacheops")
    except PackageNotFoundError:
        return []
    return [
        message(
            "E023",
            f"django-cacheops {other} is installed, too. Both are a package `cacheops`, and their files are mixed.",
            "pip uninstall django-cacheops xyz-cacheops, then install xyz-cacheops anew.",
        )
    ]


@register(Tags.caches, TAG)
def check_settings(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """Every setting is known, and right by itself."""
    return [*_values(), *_names()]


def _values() -> Iterator[CheckMessage]:
    for setting in SETTINGS:
        if problem := setting.problem():
            yield message(setting.kind.check, problem, setting.hint)


def _names() -> Iterator[CheckMessage]:
    known = {setting.name.removeprefix("CACHEOPS_"): setting.name for setting in SETTINGS}
    for name in sorted(set(dir(settings)) - set(known.values())):
        if name.startswith("CACHEOPS") or name in FILES:
            close = get_close_matches(name.removeprefix("CACHEOPS").strip("_"), known, n=1)
            hint = instead_of(name, getattr(settings, name)) or (
                f"Did you mean {known[close[0]]}?" if close else "Remove it."
            )
            yield message(
                "W005",
                f"{name} is no setting of cacheops, and does nothing.",
                f"{hint} docs/reference/cacheops-settings.md has all.",
            )


@register(Tags.caches, TAG)
def check_profiles(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """Every name in CACHEOPS is a model's, every option one that is known, every TTL one that can be kept."""
    return found(_profiles, _defaults)


def _profiles() -> Iterator[CheckMessage]:
    defaults, profiles, _ = conf.defaults, conf.profiles, conf.ttl  # each is right by itself
    for name, options in profiles.items():
        yield from _unknown_name(name)
        if options is None:
            continue
        try:
            profile_from({**defaults, **options})
        except InvalidOption as error:
            yield message("E002", f"CACHEOPS[{name!r}]: {error}", OPTIONS_HINT)


def _unknown_name(name: str) -> Iterator[CheckMessage]:
    """Find what a name of CACHEOPS gets wrong; settings may name apps that only some processes install."""
    app, _, model = name.partition(".")
    models = {label.lower(): apps.all_models[label] for label in apps.app_configs}
    if name == "*.*":
        return
    if app.isidentifier() and model and app not in models:
        close = get_close_matches(app, models, n=1)
        yield message(
            "W007",
            f"CACHEOPS names {name!r}, and no app {app!r} is installed: the profile stands for nothing.",
            f"Did you mean {close[0]!r}?" if close else "Install the app, or remove the name.",
        )
    elif model != "*" and model not in models.get(app, {}):
        yield message(
            "E001", f"CACHEOPS names {name!r}, which is no model.", "Use 'app_label.model', 'app_label.*' or '*.*'."
        )


def _defaults() -> Iterator[CheckMessage]:
    defaults, _ = conf.defaults, conf.ttl
    try:
        profile_from(defaults)
    except InvalidOption as error:
        yield message("E003", f"CACHEOPS_DEFAULTS: {error}", OPTIONS_HINT)


@register(Tags.caches, TAG)
def check_regions(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """Every region is a CACHES alias on which entries can be kept, and this process's own is one of them."""
    return found(_regions, _regions_of_databases, _followers, _local_region, _by_region, _durations, _replicas)


def _regions() -> Iterator[CheckMessage]:
    for region in conf.regions:
        if region not in settings.CACHES:
            yield message(
                "E005",
                f"CACHEOPS_REGIONS names {region!r}, which is no alias in CACHES.",
                f"CACHES has {', '.join(sorted(settings.CACHES))}.",
            )
            continue
        try:
            store_for(region)
        except InvalidOption as error:
            if not any(setting.problem() for setting in SETTINGS):  # it reads some, which check_settings has found
                yield message("E006", str(error), "docs/reference/caches.md has what an alias needs.")


def _regions_of_databases() -> Iterator[CheckMessage]:
    for database in cached_databases():
        if not conf.regions_of(database):
            yield message(
                "E024",
                f"The database {database!r} has an engine that is cached, and CACHEOPS_REGIONS no region for it.",
                f"Add {database!r}: (…), or use Django's own engine for it.",
            )


def _followers() -> Iterator[CheckMessage]:
    for alias, primary in conf.all_followers.items():
        both = set(conf.regions_of(alias)) & set(conf.regions_of(primary))
        known = {name: connections[name].vendor for name in (alias, primary) if name in connections}
        read = (alias, primary) if alias in conf.followers else (primary,)  # another region's replica need not be known
        if any(known.get(name) != "postgresql" or not cacheops_of(name).is_cached for name in read):
            problem = "both must be in DATABASES, with the engine cacheops.db.backends.postgresql"
        elif alias == primary or primary in conf.all_followers:
            problem = f"{primary!r} must be a primary"
        elif both:
            problem = f"CACHEOPS_REGIONS has both in {', '.join(sorted(both))}, where writers mark: a region caches one"
        elif not conf.has_fixed_prefix:
            problem = "CACHEOPS_PREFIX is a function, and a relay would not know whose keys to invalidate"
        else:
            continue
        yield message(
            "E026",
            f"CACHEOPS_FOLLOWERS has {alias!r}: {primary!r}, and {problem}.",
            "docs/how-to/followers.md has an example.",
        )


def _local_region() -> Iterator[CheckMessage]:
    if conf.local_region not in conf.regions:
        yield message(
            "E007",
            f"CACHEOPS_LOCAL_REGION is {conf.local_region!r}, which CACHEOPS_REGIONS does not name.",
            f"Use one of: {', '.join(conf.regions)}.",
        )


def _by_region() -> Iterator[CheckMessage]:
    known = {*conf.regions, *settings.CACHES}  # one file may serve processes with different regions
    for name, given in (
        ("CACHEOPS_WAIT_REPLICAS", conf.wait_replicas),
        ("CACHEOPS_CLOUDWATCH_CLUSTERS", conf.cloudwatch_clusters),
    ):
        for region in given:
            if region not in known:
                yield message(
                    "E021", f"{name} has {region!r}, which is no region.", f"Use some of: {', '.join(conf.regions)}."
                )


def _durations() -> Iterator[CheckMessage]:
    for name, waits in (
        ("CACHEOPS_WAIT_SECONDS", conf.wait_seconds),
        ("CACHEOPS_TIMEOUT", conf.timeout),
        ("CACHEOPS_REMOTE_TIMEOUT", conf.remote_timeout),
    ):
        if waits >= conf.mark_seconds:
            yield message(
                "E022",
                f"CACHEOPS_MARK_SECONDS is {conf.mark_seconds}, and {name} {waits}: "
                "a mark would end before the servers have had the time to confirm it.",
                f"Use more than {waits} for CACHEOPS_MARK_SECONDS: it must also outlast any commit.",
            )


def _replicas() -> Iterator[CheckMessage]:
    for region in conf.regions:  # of servers that the settings do not call a cluster, check_replicas asks
        readers = settings.CACHES.get(region, {}).get("OPTIONS", {}).get("CLIENT_CLASS", "").endswith("ClusterClient")
        if readers and not conf.wait_replicas.get(region, 0):
            yield message(
                "W001",
                f"Region {region!r} is a cluster, and CACHEOPS_WAIT_REPLICAS does not say how many replicas its shards "
                "have: after a fail-over that loses a mark, an entry may be served stale.",
                "Set CACHEOPS_WAIT_REPLICAS = {'" + region + "': 1}, or more; {…: 0} where there are none.",
            )


@register(Tags.caches, TAG)  # it asks no database, and so is no database check, which `manage.py check` leaves out
def check_engines(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """A database that models with profiles are read from has an engine that calls us, and no other name."""
    return found(_databases)


def _databases() -> Iterator[CheckMessage]:
    if any(options and options.get("ops", conf.defaults.get("ops")) for options in conf.profiles.values()):
        yield from _engines()
        yield from _second_names()


def _engines() -> Iterator[CheckMessage]:
    if not cacheops_of("default").is_cached:
        engine = settings.DATABASES["default"]["ENGINE"]
        yield message(
            "E009",
            f"CACHEOPS caches models, but DATABASES['default'] has the engine {engine}, "
            "which does not call the cache: nothing would be cached, and nothing invalidated.",
            "Use cacheops.db.backends.postgresql or cacheops.db.backends.sqlite3.",
        )


def _second_names() -> Iterator[CheckMessage]:
    """Entries and marks go by the alias: what is written by one name invalidates nothing that was read by another."""
    first: dict[Any, str] = {}
    for alias in cached_databases():
        if alias in conf.all_followers:  # a relay tells of those writes
            continue
        given = connections[alias].settings_dict
        mirrored = given.get("TEST", {}).get("MIRROR")
        same = tuple(str(given.get(name) or "") for name in ("ENGINE", "HOST", "PORT", "NAME"))
        same += (str(given.get("OPTIONS", {}).get("options") or ""),)  # may name another search_path
        other = mirrored or (first.setdefault(same, alias) if given.get("NAME") != ":memory:" else alias)
        if other != alias:
            yield message(
                "E010",
                f"DATABASES[{alias!r}] caches what is read from the database of {other!r}, or from its replica, "
                f"and writes by {other!r} would not invalidate it.",
                f"Give {alias!r} Django's own engine: what is read by that name is then not cached.",
            )
