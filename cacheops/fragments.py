"""Template fragments as entries: what the template tags and the Jinja2 extension share."""

from collections.abc import Callable
from typing import Any

from cacheops.decorators import CachedFunction, Sample


def fragment(
    name: str,
    render: Callable[[], str],
    samples: tuple[Sample, ...],
    timeout: float | str | None,
    extra: tuple[Any, ...],
) -> str:
    """Return a rendered fragment, from the cache where it is there. `extra` tells one variant from another."""
    return _function(name, render, samples, timeout)(*extra)


def invalidate_fragment(fragment_name: str, *extra: Any) -> None:
    """Make one variant of a fragment a miss, in every region."""
    _function(fragment_name, str, (), None).invalidate(*extra)


def _function(
    name: str, render: Callable[[], str], samples: tuple[Sample, ...], timeout: float | str | None
) -> CachedFunction[Any, str]:
    def rendered(*extra: Any) -> str:
        return render()

    rendered.__module__, rendered.__qualname__ = "fragment", name
    return CachedFunction(rendered, samples, timeout=timeout)
