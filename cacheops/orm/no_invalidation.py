"""Blocks whose writes invalidate nothing."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_invalidation_disabled: ContextVar[bool] = ContextVar("cacheops_invalidation_disabled", default=False)


@contextmanager
def no_invalidation() -> Iterator[None]:
    """Let writes within the block, in this thread or task, invalidate nothing. What they change is served stale."""
    token = _invalidation_disabled.set(True)
    try:
        yield
    finally:
        _invalidation_disabled.reset(token)


def is_invalidation_disabled() -> bool:
    return _invalidation_disabled.get()
