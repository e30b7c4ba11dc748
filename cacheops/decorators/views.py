"""Cached views: answers to GET and HEAD."""

import functools
from collections.abc import Callable
from typing import Any

from django.http import HttpRequest, HttpResponse

from cacheops.decorators.functions import CachedFunction, Sample, check_samples

View = Callable[..., HttpResponse]


def cached_view(
    timeout: float | str | None = None, extra: Any = None, lock: bool = True, key: str | None = None
) -> Callable[[View], View]:
    """Cache a view's answers to GET and HEAD for a time."""
    return lambda view: CachedView(CachedFunction(view, timeout=timeout, extra=extra, lock=lock, key=key))


def cached_view_as(
    *samples: Sample,
    timeout: float | str | None = None,
    extra: Any = None,
    lock: bool = True,
    keep_fresh: bool = True,
    key: str | None = None,
) -> Callable[[View], View]:
    """Cache a view's answers to GET and HEAD until a write changes one of its samples."""
    check_samples(samples)
    return lambda view: CachedView(CachedFunction(view, samples, timeout=timeout, extra=extra, lock=lock, key=key))


class CachedView:
    """A view whose GET and HEAD are answered from the cache. The key is the request's method and full address."""

    def __init__(self, cached: CachedFunction[..., HttpResponse]) -> None:
        functools.update_wrapper(self, cached.func)
        self._cached = cached
        self.key = cached.key
        self.invalidate = cached.invalidate

    def __call__(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        view = self._cached.func
        if request.method not in ("GET", "HEAD") or self._cached.is_passed():
            return view(request, *args, **kwargs)

        def load() -> HttpResponse:
            response = rendered(view(request, *args, **kwargs))
            if response.status_code != 200 or response.streaming or response.cookies or is_private(response):
                raise NotCached(response)
            return response

        try:
            return self._cached.answer(self._cached.call_key((request, *args), kwargs), load)
        except NotCached as not_cached:
            return not_cached.response


class NotCached(Exception):
    """Carries a response past the cache: an error, one for a single visitor, a stream."""

    def __init__(self, response: Any) -> None:
        super().__init__("not cached")
        self.response = response


def rendered(response: Any) -> HttpResponse:
    if hasattr(response, "render") and callable(response.render):
        response = response.render()
    return response


def is_private(response: HttpResponse) -> bool:
    """Return whether a response forbids to be kept, by the directives that Django's cache middleware follows."""
    control = response.get("Cache-Control", "").lower()
    return any(directive in control for directive in ("private", "no-cache", "no-store"))
