"""Gauges: figures that other parts of a process keep themselves, read when they are shown."""

import re
from collections.abc import Callable, Mapping
from typing import TypeAlias

from cacheops.engine import Registrations, register_component
from cacheops.exceptions import InvalidOption

Gauges: TypeAlias = Callable[[], Mapping[str, float]]  # values now by name, such as "depth"

NAME = re.compile(r"[a-z][a-z0-9_]*")  # becomes part of a metric's name

_gauges: Registrations[Gauges] = register_component(Registrations())


def register_source(name: str, source: Gauges) -> None:
    """Show a part's gauges beside ours: `register_source("write_behind", lambda: {"depth": 3.0})`.

    They are named cacheops_NAME_FIGURE. The function may raise CacheopsError or DatabaseError: then its gauges are
    missing. A second registration of a name replaces the first. Raise InvalidOption for a name that is no metric's.
    """
    if not NAME.fullmatch(name):
        raise InvalidOption(f"{name!r} can't name a source of figures: use small letters, digits and underscores.")
    _gauges[name] = source


def registered_gauges() -> dict[str, Gauges]:
    """Return the functions by name."""
    return dict(_gauges)
