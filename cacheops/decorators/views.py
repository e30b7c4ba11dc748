"""Cached views: answers to GET and HEAD."""

import functools
import logging
from collections.abc import Callable
from types import FunctionType
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase

from cacheops.decorators.functions import CachedFunction, CallKey, NotKept, check_samples
from cacheops.decorators.keys import innermost
from cacheops.decorators.visitors import Used, address_of, asked_by, is_private, normal_form, varies_on, watched
from cacheops.encoding.arguments import SCRIPTED
from cacheops.orm.samples import SampleLike

logger = logging.getLogger("cacheops")

VARIES, TOLD = "_cacheops_varies", "_cacheops_told"  # attributes of a view's function

View = Callable[..., HttpResponse]


def cached_view(
    timeout: float | str | None = None, extra: Any = None, lock: bool = True, key: str | None = None
) -> Callable[[View], View]:
    """Cache a view's answers to GET and HEAD for a time."""
    return lambda view: CachedView(CachedFunction(view, timeout=timeout, extra=extra, lock=lock, key=key))


def cached_view_as(
    *samples: SampleLike,
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
    """A view whose GET and HEAD are answered from the cache, to each visitor only what is for everybody.

    Which responses are shared with whom: docs/how-to/use-cacheops.md, "Views and visitors".
    """

    def __init__(self, cached: CachedFunction[..., HttpResponse]) -> None:
        functools.update_wrapper(self, cached.func)
        self._cached = cached
        # Kept with the view's function: method_decorator makes a new CachedView for each request.
        inner = innermost(cached.func)
        self._memory: dict[str, Any] = vars(inner) if isinstance(inner, FunctionType) else {}

    def __call__(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        view = self._cached.func
        has_credentials = "HTTP_AUTHORIZATION" in request.META and not self._cached.keys.chooses  # RFC 9111, 3.5
        is_read = request.method in ("GET", "HEAD")
        samples = self._cached.samples_to_cache() if is_read and not has_credentials else None
        if samples is None:
            return view(request, *args, **kwargs)
        headers = self._headers

        def load() -> HttpResponse:
            with watched(request) as used:
                response = rendered(view(request, *args, **kwargs))
            if not self._is_shared(response, used, headers):
                raise NotKept(response)
            return response

        address, variant = self._call(request, args, kwargs, headers)
        return self._cached.answer(samples, address, variant, load)

    def key(self, request: HttpRequest, *args: Any, **kwargs: Any) -> CallKey[Any]:
        """Return the key of the entry of a request, in the active language and time zone."""
        return self._cached.entry_key(*self._call(request, args, kwargs, self._headers))

    def invalidate(self, address: HttpRequest | str, *args: Any, **kwargs: Any) -> None:
        """Make all responses of an address misses: a full one, or a request's. The view's arguments are part of it.

        Raise InvalidKey for a text that is no full address, StoreUnavailable after all regions that answer.
        """
        self._cached.invalidate_call(address_of(address))

    @property
    def _headers(self) -> frozenset[str]:
        """What its responses were found to vary on in this process: names of headers, in small letters."""
        found: frozenset[str] = self._memory.get(VARIES) or frozenset(SCRIPTED)
        return found

    def _call(self, request: HttpRequest, args: Any, kwargs: Any, headers: frozenset[str]) -> tuple[str, Any]:
        """Return a request's address, and what tells it from others of that address."""
        full = request.build_absolute_uri()
        arguments = self._cached.keys.of("arguments", (args, kwargs)) if args or kwargs else None
        extra = self._cached.keys.extra((request, *args), kwargs)
        return normal_form(full) or full, (request.method, full, asked_by(request, headers), arguments, extra)

    def _is_shared(self, response: Any, used: Used, headers: frozenset[str]) -> bool:
        """Return whether others may get this response; tell once why not, where its author may not know.

        A view may return another thing, of which a decorator around it makes a response.
        """
        if isinstance(response, HttpResponseBase):
            sets_cookies = response.cookies or response.has_header("Set-Cookie")
            if response.status_code != 200 or response.streaming or sets_cookies or is_private(response):
                return False
            for name in varies_on(response):
                used.look_at_header(name)
        if why := used.why_not_shared(chosen=self._cached.keys.chooses):
            if self._memory.setdefault(TOLD, why) is why:
                logger.warning("%s is not cached, as %s", self._cached.keys.name, why)
            return False
        unknown = used.headers - headers  # the key of this response does not hold them
        self._memory[VARIES] = self._headers | unknown - {"*"}  # the next look-ups are by them
        return not unknown


def rendered(response: Any) -> HttpResponse:
    if hasattr(response, "render") and callable(response.render):
        response = response.render()
    return response
