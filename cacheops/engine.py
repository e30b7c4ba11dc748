"""The owner of what a process remembers: modules hold none of it themselves.

A component is an object that one module makes (`regions`, `counters`, the plans) and whose attributes belong to the
engine in use. A memo keeps a function's results. When settings change, all memos are emptied, and each component drops
what it made of the old ones. A test that wants a process which knows nothing makes an engine and uses it in a block:

    with Engine().in_use():
        ...
"""

from collections import UserDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any, ParamSpec, Self, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


class Component:
    """Base of the objects that hold state. Made without arguments; methods may be called by all threads."""

    def new(self) -> Self:
        """Return what a new engine begins with in this component's place."""
        return type(self)()

    def settings_changed(self) -> None:
        """Drop what was made of the settings: one whose name begins with CACHEOPS, or CACHES, is another now."""

    def schema_changed(self) -> None:
        """Drop what was made of the databases' tables: one may have other columns, or other types, now."""

    def close(self) -> None:
        """Let go what the component holds open: its engine is thrown away."""


class Registrations(Component, UserDict[str, T]):
    """Things by their names, registered when apps are loaded; a new engine knows them, too."""

    def new(self) -> Self:
        return type(self)(self.data)


ComponentType = TypeVar("ComponentType", bound=Component)
_components: list[Component] = []  # filled by imports, as the next is
_memos: list[Callable[[], None]] = []  # what empties each


def register_component(made: ComponentType) -> ComponentType:
    """Make an object a component of the engine, and return it."""
    _components.append(made)
    return made


def memo(maxsize: int | None = 1024) -> Callable[[Callable[P, T]], Callable[P, T]]:
    """Have the engine keep up to `maxsize` results of a function that depends on its arguments, models and settings."""

    def decorate(function: Callable[P, T]) -> Callable[P, T]:
        cached: Any = lru_cache(maxsize)(function)
        _memos.append(cached.cache_clear)
        return cached

    return decorate


def settings_changed() -> None:
    """Have every component drop what was made of the settings."""
    empty_memos()
    for component in _components:
        component.settings_changed()


def schema_changed() -> None:
    """Have every component drop what was made of the databases' tables."""
    for component in _components:
        component.schema_changed()


def empty_memos() -> None:
    """Have every memo forget its results."""
    for empty in _memos:
        empty()


class Engine:
    """The state of every component, as in a process that has just begun."""

    def __init__(self) -> None:
        self._states = [(component, vars(component.new())) for component in _components]

    @contextmanager
    def in_use(self) -> Iterator[None]:
        """Use this state within the block, in all threads; close it afterwards."""
        outer = [(component, vars(component)) for component, _ in self._states]
        _install(self._states)
        try:
            yield
        finally:
            for component, _ in reversed(self._states):  # a component may use those that were registered before it
                component.close()
            _install(outer)


def _install(states: list[tuple[Component, dict[str, Any]]]) -> None:
    for component, state in states:
        component.__dict__ = state
    empty_memos()
