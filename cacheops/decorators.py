"""cached, cached_as, cached_view, cached_view_as: functions whose results are entries like any other.

`cached` depends on nothing but time and `.invalidate()`. `cached_as` depends on its samples (querysets, models,
instances): a write that would change one of them invalidates the result, under the same promise as a query's.
"""

import functools
import inspect
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import replace
from typing import Any, Generic, ParamSpec, TypeVar

from django.db import models
from django.http import HttpRequest, HttpResponse

from cacheops.conf import conf
from cacheops.encoding import objects
from cacheops.encoding.arguments import PLAIN, CallKeys, NotYet, name_of, plain_key
from cacheops.exceptions import InvalidKey, InvalidOption, UnencodableValue
from cacheops.orm.samples import RowsOf, database_of, model_of, sample_tables, written_in_transaction
from cacheops.profiles import Profile, profile_of
from cacheops.protocol.keys import FUNCTIONS, TableKeys, digest
from cacheops.reading.fetch import fetch
from cacheops.reading.options import is_bypassed
from cacheops.reading.request import Request
from cacheops.regions import regions
from cacheops.signals import cache_read
from cacheops.stores.base import MarkedTable, TableTags

P = ParamSpec("P")
R = TypeVar("R")
Sample = models.QuerySet[Any] | type[models.Model] | models.Model | RowsOf

CALL = "call"  # the scheme of a function's calls: one tag a call


class CachedFunction(Generic[P, R]):
    """A function and its cache. Calling it answers from the cache; the attributes are those of the function.

    Calls are told apart by their arguments (call_keys.py). Raise InvalidKey for one that nothing tells from others, and
    for a function made in another, if nothing tells it from others made there and it has no `extra`.
    """

    def __init__(
        self,
        func: Callable[P, R],
        samples: Iterable[Sample] = (),
        *,
        timeout: float | str | None = None,
        extra: Any = None,
        lock: bool = True,
    ) -> None:
        functools.update_wrapper(self, func)
        self.func = func
        self._samples = tuple(samples)
        self._timeout = timeout
        self._extra = extra
        self._lock = lock
        self._name = name_of(func)
        self._told: str | None = None  # what tells the function from others of its name
        try:
            self._signature: inspect.Signature | None = inspect.signature(func)
        except ValueError:  # some of those that are written in C
            self._signature = None
        with suppress(NotYet):  # then by its first call
            self._told = self._told_now(calling=False)

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        if not conf.enabled or is_bypassed() or written_in_transaction(self._samples):
            return self.func(*args, **kwargs)
        called: list[R] = []

        def load() -> list[tuple[Any]]:
            called.append(self.func(*args, **kwargs))
            return [(packed_or_none(called[0]),)]

        rows = fetch(self._request(args, kwargs), load)
        if cache_read.receivers:
            cache_read.send(None, func=self.func, hit=not called, key=self.key(*args, **kwargs), op="call")
        return called[0] if called else objects.unpack(rows[0][0])

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        return self if instance is None else functools.partial(self, instance)

    def key(self, *args: P.args, **kwargs: P.kwargs) -> str:
        """Return the key of the entry of a call with these arguments."""
        request = self._request(args, kwargs)
        return request.keys.entry(request.digest)

    def invalidate(self, *args: P.args, **kwargs: P.kwargs) -> None:
        """Make a call with these arguments a miss, in every region that answers. Raise StoreUnavailable otherwise."""
        request = self._request(args, kwargs)
        own = MarkedTable(self._keys(), frozenset({request.digest}))
        for region in regions:
            region.store.invalidate([own])

    def _keys(self) -> TableKeys:
        return TableKeys.of(conf.prefix, FUNCTIONS, self._name)

    def _request(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Request:
        if self._told is None:
            self._told = self._told_now(calling=True)
        named = _digest((self._told, self._key_of("extra", self._extra), self._bound(args, kwargs)))
        own = TableTags(self._keys(), (named,), (CALL,))
        tables = sample_tables(self._samples)
        databases = tuple(sorted({database_of(sample) for sample in self._samples}))
        return Request(named, (own, *tables), self._profile(), f"{self._name}:call", databases)

    def _bound(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Return the arguments, however they were given: f(1, b=2) is f(1, 2)."""
        if self._signature is None:
            return self._key_of("args", args), sorted((name, self._key_of(name, kwargs[name])) for name in kwargs)
        bound = self._signature.bind(*args, **kwargs)
        bound.apply_defaults()
        return [(name, self._key_of(name, value)) for name, value in bound.arguments.items()]

    def _key_of(self, name: str, value: Any) -> Any:
        if type(value) in PLAIN:
            return plain_key(value)
        try:
            return CallKeys().of(value)
        except (InvalidKey, RecursionError) as error:
            parameter = self._signature.parameters.get(name) if self._signature else None
            if parameter is not None and value is parameter.default:  # such as an object that stands for "not given"
                return "default"
            raise InvalidKey(
                f"{self._name} is cached, and has no key for its argument {name!r}: {error}. Pass a plain value that "
                "stands for it, or give its class a __repr__ that tells its instances apart."
            ) from error

    def _told_now(self, *, calling: bool) -> str:
        try:
            return _digest(CallKeys(calling=calling, has_extra=self._extra is not None).of(self.func))
        except (InvalidKey, RecursionError) as error:
            raise InvalidKey(
                f"{self._name} is cached, and could be one of several functions of this name: {error}. Make it a "
                "parameter of the function, or say by `extra` what tells the function from the others."
            ) from error

    def _profile(self) -> Profile:
        profile: Profile | None = Profile()
        for sample in self._samples[:1]:
            profile = profile_of(model_of(sample))
        timeout = self._timeout if self._timeout is not None else (profile or Profile()).timeout
        return replace(profile or Profile(), timeout=conf.ttl.get_ttl(timeout), lock=self._lock, level="fresh")


def _digest(key: Any) -> str:
    return digest(repr(key).encode(errors="surrogatepass"))


def packed_or_none(value: Any) -> Any:
    """Pack a result for the entry. In the place of one that can't be is the error, for which the entry is not kept."""
    try:
        return objects.pack(value)
    except UnencodableValue as error:
        return error
    except RecursionError:
        return UnencodableValue(f"A result of type {type(value).__name__} is nested too deep, or holds itself.")


def cached(
    timeout: float | str | None = None, extra: Any = None, lock: bool = True
) -> Callable[[Callable[P, R]], CachedFunction[P, R]]:
    """Cache a function for a time (seconds, or a strategy's name; the default profile's otherwise)."""
    if callable(timeout):
        raise InvalidOption("Write @cached(timeout=…), with brackets.")
    return lambda func: CachedFunction(func, timeout=timeout, extra=extra, lock=lock)


def cached_as(
    *samples: Sample,
    timeout: float | str | None = None,
    extra: Any = None,
    lock: bool = True,
    keep_fresh: bool = True,
) -> Callable[[Callable[P, R]], CachedFunction[P, R]]:
    """Cache a function until a write changes one of its samples.

    `keep_fresh` is there for users of django-cacheops: a result is never kept when a sample changed while the function
    ran. Raise InvalidOption without samples, or for a sample that can't be followed.
    """
    if not samples:
        raise InvalidOption("cached_as needs a sample: a queryset, a model or an instance; or use cached.")
    for sample in samples:
        if profile_of(model_of(sample)) is None:
            raise InvalidOption(f"{model_of(sample)._meta.label} has the profile None: it can't be a sample.")
    return lambda func: CachedFunction(func, samples, timeout=timeout, extra=extra, lock=lock)


def cached_view(
    timeout: float | str | None = None, extra: Any = None, lock: bool = True
) -> Callable[[Callable[..., HttpResponse]], Callable[..., HttpResponse]]:
    """Cache a view's answers to GET and HEAD for a time."""
    return lambda view: _CachedView(view, CachedFunction(_finished(view), timeout=timeout, extra=extra, lock=lock))


def cached_view_as(
    *samples: Sample, timeout: float | str | None = None, extra: Any = None, lock: bool = True, keep_fresh: bool = True
) -> Callable[[Callable[..., HttpResponse]], Callable[..., HttpResponse]]:
    """Cache a view's answers to GET and HEAD until a write changes one of its samples."""
    made = cached_as(*samples, timeout=timeout, extra=extra, lock=lock, keep_fresh=keep_fresh)
    return lambda view: _CachedView(view, made(_finished(view)))


class _CachedView:
    """A view whose GET and HEAD are answered from the cache. The key is the request's method and full address."""

    def __init__(self, view: Callable[..., HttpResponse], cached_function: CachedFunction[..., HttpResponse]) -> None:
        functools.update_wrapper(self, view)
        self._view = view
        self._cached = cached_function
        self.key = cached_function.key
        self.invalidate = cached_function.invalidate

    def __call__(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        if request.method not in ("GET", "HEAD"):
            return self._view(request, *args, **kwargs)
        try:
            return self._cached(request, *args, **kwargs)
        except _NotCached as not_cached:
            return not_cached.response


class _NotCached(Exception):
    """Carries an answer past the cache: an error, one for a single visitor, a stream."""

    def __init__(self, response: Any) -> None:
        super().__init__("not cached")
        self.response = response


def _finished(view: Callable[..., Any]) -> Callable[..., HttpResponse]:
    """Return the view with its template rendered, and what is not for everybody raised past the cache."""

    @functools.wraps(view)
    def finished(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        response = view(request, *args, **kwargs)
        if hasattr(response, "render") and callable(response.render):
            response = response.render()
        if response.status_code != 200 or response.streaming or response.cookies or _is_private(response):
            raise _NotCached(response)
        return response

    return finished


def _is_private(response: HttpResponse) -> bool:
    """Say whether a response forbids to be kept, by the directives that Django's cache middleware follows."""
    control = response.get("Cache-Control", "").lower()
    return any(directive in control for directive in ("private", "no-cache", "no-store"))
