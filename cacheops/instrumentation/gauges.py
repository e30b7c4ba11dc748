"""Figures that other parts keep themselves: asked for when somebody looks, not counted here."""

import re
from collections.abc import Callable, Mapping
from typing import TypeAlias

from cacheops.engine import Registrations, register_component
from cacheops.exceptions import InvalidOption

Source: TypeAlias = Callable[[], Mapping[str, float]]  # names of figures, such as "depth", and their values now

NAME = re.compile(r"[a-z][a-z0-9_]*")  # becomes part of a metric's name

_sources: Registrations[Source] = register_component(Registrations())


def register_source(name: str, source: Source) -> None:
    """Show a part's figures beside ours: `register_source("write_behind", lambda: {"depth": 3.0})`.

    They are gauges, named cacheops_NAME_FIGURE. The source may raise CacheopsError or DatabaseError: then its figures
    are missing. A second registration of a name replaces the first. Raise InvalidOption for a name that is no metric's.
    """
    if not NAME.fullmatch(name):
        raise InvalidOption(f"{name!r} can't name a source of figures: use small letters, digits and underscores.")
    _sources[name] = source


def registered_sources() -> dict[str, Source]:
    """Return the sources by name."""
    return dict(_sources)
