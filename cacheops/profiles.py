"""Profiles: which reads of a model are cached, for how long, at which level."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from django.db import models

from cacheops.conf import conf
from cacheops.engine import memo
from cacheops.exceptions import InvalidOption
from cacheops.ttl import is_compat

OPERATIONS = frozenset({"get", "fetch", "count", "aggregate", "exists"})
LEVELS = frozenset({"fresh", "stale_ok", "near", "bypass"})
MOST_SECONDS = {  # of the levels that have some
    "stale_ok": 3600.0,  # for longer, too many replaced versions would be remembered
    "near": 2.0,  # a process that has heard nothing for longer connects anew
}
NEAR_SECONDS = 0.5  # of the level "near" by its name alone
DEFAULT_TIMEOUT = 300.0  # seconds; the specification's default

# Written at times of their own, by Django or by us, and never worth caching.
UNTRACKED = frozenset({"sessions.session", "migrations.migration", "cacheops.queuedinvalidation", "cacheops.control"})


@dataclass(frozen=True, slots=True)
class Profile:
    """A model's policy. `timeout` in seconds."""

    ops: frozenset[str] = frozenset()
    timeout: float = DEFAULT_TIMEOUT
    lock: bool = True  # one loader, the others wait for it
    level: str = "fresh"
    seconds: float = 0.0  # of the level
    on_save: str = ""  # the field by which a saved row is read at once (cacheops.compat)

    @property
    def stale(self) -> float:
        """How long after its invalidation an entry may be served while one reader loads it anew."""
        return self.seconds if self.level == "stale_ok" else 0.0

    @property
    def near(self) -> float:
        """How old what this process knows of the region may be where it answers from its own memory; 0: it does not."""
        return self.seconds if self.level == "near" else 0.0

    @property
    def one_loads(self) -> bool:
        return self.lock or self.stale > 0


class Level(NamedTuple):
    """A level by its name, with seconds where it has some."""

    name: str
    seconds: float = 0.0

    def __str__(self) -> str:
        return f"{self.name}({self.seconds:g})" if self.seconds else self.name


def stale_ok(seconds: float) -> Level:
    """Return the level at which an entry may be served until `seconds` after its invalidation, while it is loaded anew.

    Raise InvalidOption for a time that is not above 0 and up to an hour.
    """
    return level_from(Level("stale_ok", seconds))


def near(seconds: float = NEAR_SECONDS) -> Level:
    """Return the level at which a process answers from its own memory, as the region stood up to `seconds` before.

    Raise InvalidOption for a time that is not above 0 and up to 2 seconds.
    """
    return level_from(Level("near", seconds))


def level_from(value: Any) -> Level:
    """Return a level from its name, or a name and seconds. Raise InvalidOption that says what is wrong with it."""
    name, seconds = value if isinstance(value, tuple | list) and len(value) == 2 else (value, None)
    if not isinstance(name, str) or name not in LEVELS:
        raise InvalidOption(f"{name!r} is no level. Use one of: {', '.join(sorted(LEVELS))}.")
    if name not in MOST_SECONDS:
        return Level(name)
    if name == "near" and seconds is None:
        return Level(name, NEAR_SECONDS)
    most = MOST_SECONDS[name]
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 0 < seconds <= most:
        example = NEAR_SECONDS if name == "near" else 30
        raise InvalidOption(
            f"{name} needs seconds, above 0 and up to {most:.0f}, and has {seconds!r}: write {name}({example})."
        )
    return Level(name, float(seconds))


def operations(value: Any) -> frozenset[str]:
    """Return a set of operations from "all", one name, or several. Raise InvalidOption for an unknown one."""
    if value == "all":
        return OPERATIONS
    several = not value or (isinstance(value, Iterable) and not isinstance(value, str))
    names = tuple(value or ()) if several else (value,)
    unknown = sorted(str(name) for name in names if not isinstance(name, str) or name not in OPERATIONS)
    if unknown:
        known = ", ".join(sorted(OPERATIONS))
        raise InvalidOption(f"{', '.join(unknown)}: no operation that can be cached. Use 'all', or some of: {known}.")
    return frozenset(names)


def profile_from(options: Mapping[str, Any]) -> Profile:
    """Return the profile that a setting describes. Raise InvalidOption that says what is wrong with it."""
    options, on_save = _of_django_cacheops(options)
    known = {"ops", "timeout", "lock", "level"}
    unknown = sorted(str(name) for name in options if name not in known)
    if unknown:
        raise InvalidOption(f"{', '.join(unknown)}: no option of a profile. Use: {', '.join(sorted(known))}.")
    lock = options.get("lock", True)
    if not isinstance(lock, bool):  # text is always true
        raise InvalidOption(f"lock is {lock!r}. Use True or False.")
    level = level_from(options.get("level", "fresh"))
    return Profile(
        ops=operations(options.get("ops", ())),
        timeout=conf.ttl.get_ttl(options.get("timeout", DEFAULT_TIMEOUT)),
        lock=lock,
        level=level.name,
        seconds=level.seconds,
        on_save=on_save,
    )


def _of_django_cacheops(options: Mapping[str, Any]) -> tuple[Mapping[str, Any], str]:
    """Return options without those that only django-cacheops has, and the field of `cache_on_save`."""
    left = dict(options)
    if left.pop("local_get", False):
        left.setdefault("level", "near")
    if left.pop("db_agnostic", False):
        raise InvalidOption("db_agnostic is True, and entries are kept by database, always: remove it.")
    on_save = left.pop("cache_on_save", False)
    if on_save and not is_compat():
        raise InvalidOption("cache_on_save needs 'cacheops.compat' in INSTALLED_APPS; or use WriteThroughCache.")
    if not isinstance(on_save, bool | str):
        raise InvalidOption(f"cache_on_save is {on_save!r}. Use True, or the name of a field.")
    return left, "pk" if on_save is True else on_save or ""


@memo(None)
def profile_of(model: type[models.Model]) -> Profile | None:
    """Return a model's profile; None where the model is neither cached nor invalidated.

    The most exact name wins: "app.model", "app.*", "*.*", in any case. A proxy has the profile of its own name, else of
    its model.
    """
    for candidate in (model, model._meta.concrete_model or model):
        app, name = candidate._meta.app_label.lower(), candidate._meta.model_name
        if f"{app}.{name}" in UNTRACKED:
            return None
        for pattern in (f"{app}.{name}", f"{app}.*"):
            if pattern in conf.profiles:
                return _configured(pattern)
    return _configured("*.*")


def _configured(pattern: str) -> Profile | None:
    options = conf.profiles.get(pattern, {})
    try:
        return None if options is None else profile_from({**conf.defaults, **options})
    except InvalidOption as error:
        raise InvalidOption(f"CACHEOPS[{pattern!r}], or CACHEOPS_DEFAULTS: {error}") from error
