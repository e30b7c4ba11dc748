"""Kinds of settings: which values are right, what to write instead of others, and the check that finds those."""

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from importlib.util import find_spec
from inspect import signature
from ipaddress import ip_network
from typing import Any, Generic, NamedTuple, TypeVar

from django.utils.module_loading import import_string

from cacheops.engine import memo
from cacheops.exceptions import InvalidKey, InvalidOption
from cacheops.protocol.keys import checked_key
from cacheops.ttl import MAX_TTL, TTLManager

T = TypeVar("T")

MIN_WAIT = 0.001  # seconds: Redis counts milliseconds; 0 is for ever in its WAIT, and refused in SET … PX
MAX_SECONDS = MAX_TTL


@dataclass(frozen=True)
class Kind(Generic[T]):
    """What a setting may be. `check` is the id of the check that finds other values, `expects` what to write instead.

    `read` returns the value to use, or raises ValueError: its text follows the setting's name, in place of "is VALUE".
    """

    check: str
    expects: str
    read: Callable[[Any], T]


def _if(allowed: Callable[[Any], bool]) -> Callable[[Any], Any]:
    def read(value: Any) -> Any:
        if not allowed(value):
            raise ValueError
        return value

    return read


# --- Numbers ----------------------------------------------------------------------------------------------------------


def _in_range(value: Any, types: Any, least: float, most: float) -> bool:
    return isinstance(value, types) and not isinstance(value, bool) and least <= value <= most  # NaN is in no range


def number(expects: str, least: float, most: float, check: str = "E015") -> Kind[float]:
    return Kind(check, expects, _if(lambda value: _in_range(value, (int, float), least, most)))


def seconds(least: float = 0, check: str = "E013") -> Kind[float]:
    return number(f"seconds from {least:g} to {MAX_SECONDS} (30 days)", least, MAX_SECONDS, check)


def whole(least: int, unit: str = "", check: str = "E014") -> Kind[int]:
    expects = f"a whole number{unit and f' of {unit}'}, {least} or more"
    return Kind(check, expects, _if(lambda value: _in_range(value, int, least, sys.maxsize)))


# --- Words ------------------------------------------------------------------------------------------------------------


def choice(check: str, *values: str) -> Kind[str]:
    return Kind(check, " or ".join(map(repr, values)), _if(lambda value: value in values))


@memo()  # a callable's results are checked at each read
def is_prefix(text: str) -> bool:
    """Return whether text can begin a key: it may be empty, and no part of it may have a meaning to the servers."""
    try:
        return not text or bool(checked_key(text))
    except InvalidKey:
        return False


class Asked(NamedTuple):
    """Whose keys a function in CACHEOPS_PREFIX names the beginning of: those of one table, or of no table at all.

    As django-cacheops' `query` it has `db`, `dbs`, `table` and `tables`. Of a query over several tables each is asked
    for, as a write to it is. What belongs to no table (functions, values by key) is of the database "default".
    """

    db: str
    tables: tuple[str, ...] = ()

    @property
    def dbs(self) -> tuple[str, ...]:
        return (self.db,)

    @property
    def table(self) -> str:
        """The table. Raise InvalidOption for keys that belong to none."""
        if not self.tables:
            raise InvalidOption("CACHEOPS_PREFIX asks for the table of keys that belong to none: see `tables` first.")
        return self.tables[0]


Prefixes = Callable[[Asked], Any]


def asked_prefix(prefix: Prefixes, asked: Asked) -> str:
    """Return what a project's function says. Raise InvalidOption for what can't be a prefix."""
    found = prefix(asked)
    if not isinstance(found, str) or not is_prefix(found):
        raise InvalidOption(f"CACHEOPS_PREFIX is a function that returned {found!r}. Use {PREFIX.expects}.")
    return found


def _takes(function: Callable[..., Any], *args: Any) -> bool:
    try:
        signature(function).bind(*args)
    except TypeError:
        return False
    except ValueError:  # a builtin without a signature
        return not args
    return True


def _prefix(value: Any) -> str | Prefixes:
    if isinstance(value, str) and "." in value and _is_module(value.partition(".")[0]):
        try:
            value = import_string(value)
        except ImportError as error:
            raise ValueError(f"is {value!r}, which is taken as the path of a function, and {error}") from None
    if isinstance(value, str) and is_prefix(value):
        return value
    if callable(value) and _takes(value):
        return lambda asked: value()
    if callable(value) and _takes(value, Asked("default")):
        return value
    raise ValueError


def _is_module(name: str) -> bool:
    return name in sys.modules or (name.isidentifier() and find_spec(name) is not None)


def _token(value: Any) -> str:
    """Return a secret, which no message shows."""
    if not isinstance(value, str):
        raise ValueError(f"is of type {type(value).__name__}")
    if any(character.isspace() for character in value):
        raise ValueError("holds white space")
    return value


# --- Several ----------------------------------------------------------------------------------------------------------


def _texts(value: Any) -> tuple[str, ...]:
    if not isinstance(value, list | tuple) or not all(isinstance(text, str) for text in value):
        raise ValueError
    return tuple(value)


def _regions(value: Any) -> tuple[str, ...]:
    found = _texts(value)
    if len(set(found)) < len(found):
        raise ValueError(f"is {value!r}, which names a region twice")
    if not all(found) or not found:
        raise ValueError
    return found


def _regions_by_database(value: Any) -> tuple[str, ...] | Mapping[str, tuple[str, ...]]:
    if not isinstance(value, Mapping):
        return _regions(value)
    if not value or not all(isinstance(database, str) and database for database in value):
        raise ValueError
    return {database: _regions(own) for database, own in value.items()}


def _networks(value: Any) -> tuple[str, ...]:
    found = _texts(value)
    for network in found:
        try:
            ip_network(network, strict=False)
        except ValueError:
            raise ValueError(f"has {network!r}, which is no network") from None
    return found


def by_name(expects: str, allowed: Callable[[Any], bool], check: str = "E020") -> Kind[Mapping[str, Any]]:
    """Return the kind of a dictionary whose keys are text, and whose values are allowed."""

    def read(value: Any) -> Mapping[str, Any]:
        if not isinstance(value, Mapping):
            raise ValueError
        for name, one in value.items():
            if not isinstance(name, str) or not allowed(one):
                raise ValueError(f"has {name!r}: {one!r}")
        return value

    return Kind(check, f"a dictionary of {expects}", read)


def _in_any_case(kind: Kind[Mapping[str, Any]]) -> Kind[Mapping[str, Any]]:
    return replace(kind, read=lambda value: {name.lower(): one for name, one in kind.read(value).items()})


def _replicas(value: Any) -> int | Mapping[str, int]:
    return value if _in_range(value, int, 0, sys.maxsize) else REPLICAS_BY_REGION.read(value)


def _strategies(value: Any) -> TTLManager:
    if not isinstance(value, Mapping):
        raise ValueError
    try:
        return TTLManager(value)
    except InvalidOption as error:
        raise ValueError(f"is wrong: {error}") from error


FLAG: Kind[bool] = Kind("E012", "True or False", _if(lambda value: isinstance(value, bool)))
SHARE = number("a number from 0 to 1", 0, 1)
FACTOR = number("a number, 0 or more", 0, sys.float_info.max)
PREFIX: Kind[str | Prefixes] = Kind(
    "E016",
    "printable ASCII without spaces, *, ?, [, ], {, } and backslashes, or a function that returns it (or its dotted "
    "path), which is called with nothing, or with what it is asked for",
    _prefix,
)
TOKEN = Kind("E017", "text without white space", _token)
REGION: Kind[str] = Kind("E007", "the name of a region as text", _if(lambda value: isinstance(value, str)))
REGIONS: Kind[tuple[str, ...] | Mapping[str, tuple[str, ...]]] = Kind(
    "E018",
    "a list or tuple of one or more CACHES aliases, each once, or a dictionary of such by database",
    _regions_by_database,
)
NETWORKS = Kind("E019", "a list or tuple of networks such as '10.0.0.0/8'", _networks)
PROFILES = _in_any_case(
    by_name("profiles by model, each a dictionary or None", lambda one: one is None or isinstance(one, Mapping))
)
OPTIONS = by_name("a profile's options", lambda one: True)
ALIASES = by_name("aliases of primaries by alias of a replica", lambda one: isinstance(one, str) and bool(one))
TEXTS = by_name("names by region", lambda one: isinstance(one, str) and bool(one))
REPLICAS_BY_REGION = by_name("whole numbers", lambda one: _in_range(one, int, 0, sys.maxsize))
REPLICAS: Kind[int | Mapping[str, int]] = Kind(
    "E014", "a whole number, 0 or more, or a dictionary of such by region", _replicas
)
STRATEGIES = Kind("E004", f"a dictionary of seconds by name, from 0 to {MAX_SECONDS} (30 days)", _strategies)
