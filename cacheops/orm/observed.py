"""Reads that somebody listens to: the signal cache_read of queries."""

from collections.abc import Callable
from typing import TypeVar

from django.db import models

from cacheops.reading.request import Request
from cacheops.signals import cache_read

T = TypeVar("T")


def observed(
    model: type[models.Model] | None,
    request: Request,
    read: Callable[[Request, Callable[[], T]], T],
    load: Callable[[], T],
) -> T:
    """Return what `read` does, and tell whether it has called `load`."""
    loaded: list[bool] = []

    def loading() -> T:
        loaded.append(True)
        return load()

    found = read(request, loading)
    op = request.label.rpartition(":")[2]
    cache_read.send_robust(model, func=None, hit=not loaded, key=request.entry, op=op)
    return found
