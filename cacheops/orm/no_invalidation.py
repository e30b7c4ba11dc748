"""Blocks whose writes invalidate nothing."""

from collections.abc import Callable
from contextlib import ContextDecorator
from contextvars import ContextVar
from typing import Any, Self, TypeVar, overload

F = TypeVar("F", bound=Callable[..., Any])

_depth: ContextVar[int] = ContextVar("cacheops_no_invalidation", default=0)


class _NoInvalidation(ContextDecorator):
    """Let nothing be invalidated within a block or a function, in this thread or task: writes are served stale.

    Nor by invalidate_obj, invalidate_model and invalidate_all, which stand behind the block.

    `with no_invalidation():` and `@no_invalidation()`, or as django-cacheops has them: without parentheses.
    """

    @overload
    def __call__(self) -> Self: ...

    @overload
    def __call__(self, func: F) -> F: ...

    def __call__(self, func: Any = None) -> Any:
        return self if func is None else super().__call__(func)

    def __enter__(self) -> None:
        _depth.set(_depth.get() + 1)

    def __exit__(self, *error: object) -> None:
        _depth.set(_depth.get() - 1)


no_invalidation = _NoInvalidation()


def is_invalidation_disabled() -> bool:
    return _depth.get() > 0
