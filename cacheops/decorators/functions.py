"""Cached functions: the key of a call, and its result as an entry."""

import functools
import inspect
from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import cached_property
from types import FunctionType
from typing import Any, Generic, ParamSpec, TypeVar

from asgiref.sync import iscoroutinefunction
from django.db import models

from cacheops.conf import conf
from cacheops.encoding import objects
from cacheops.encoding.arguments import PLAIN, CallKeys, name_of, plain_key
from cacheops.exceptions import InvalidKey, InvalidOption, UnencodableValue
from cacheops.orm.samples import RowsOf, database_of, model_of, sample_tables, sources_of
from cacheops.profiles import Profile, profile_of
from cacheops.protocol.keys import FUNCTIONS, TableKeys, digest
from cacheops.reading.fetch import fetch
from cacheops.reading.policy import decide_entry
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

    Calls are told apart by their arguments (encoding/arguments.py). Raise InvalidKey for a function that may share its
    name with others, such as one made in a function, unless `key` names it, or `extra` says what it was made of.
    """

    def __init__(
        self,
        func: Callable[P, R],
        samples: Iterable[Sample] = (),
        *,
        timeout: float | str | None = None,
        extra: Any = None,
        lock: bool = True,
        key: str | None = None,
    ) -> None:
        functools.update_wrapper(self, func)
        self.func = func
        self._samples = tuple(samples)
        self._timeout = timeout
        self._extra = extra
        self._lock = lock
        self._key = key
        self._name = name_of(func) if key is None else key
        try:
            self._signature: inspect.Signature | None = inspect.signature(func)
        except ValueError:  # some of those that are written in C
            self._signature = None
        if iscoroutinefunction(func) or inspect.isasyncgenfunction(func) or inspect.isgeneratorfunction(func):
            raise InvalidOption(
                f"{self._name} can't be cached: its result is made later. Cache a function that it calls."
            )
        self.key_of("extra", extra, compiles=False)
        function_key = self._function_key(CallKeys(compiles=False))
        if key is None and extra is None:
            _claim(func, function_key)

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        if self.is_passed():
            return self.func(*args, **kwargs)
        return self.answer(self.call_key(args, kwargs), lambda: self.func(*args, **kwargs))

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        return self if instance is None else functools.partial(self, instance)

    def key(self, *args: P.args, **kwargs: P.kwargs) -> str:
        """Return the key of the entry of a call with these arguments."""
        request = self._request(self.call_key(args, kwargs))
        return request.keys.entry(request.digest)

    def invalidate(self, *args: P.args, **kwargs: P.kwargs) -> None:
        """Make a call with these arguments a miss, in every region that answers. Raise StoreUnavailable otherwise."""
        self.invalidate_call(self.call_key(args, kwargs))

    # --- by the key of a call -----------------------------------------------------------------------------------------

    def is_passed(self) -> bool:
        """Return whether calls go past the cache now."""
        return decide_entry(sources_of(self._samples), self._profile().timeout) is not None

    def answer(self, call: Any, load: Callable[[], R]) -> R:
        """Return the result of a call, from its entry if it is there, otherwise of `load`."""
        request = self._request(call)
        called: list[R] = []

        def rows() -> list[tuple[Any]]:
            called.append(load())
            return [(packed_or_none(called[0]),)]

        found = fetch(request, rows)
        if cache_read.receivers:
            key = request.keys.entry(request.digest)
            cache_read.send(None, func=self.func, hit=not called, key=key, op="call")
        return called[0] if called else objects.unpack(found[0][0])

    def invalidate_call(self, call: Any) -> None:
        own = MarkedTable(self._keys(), frozenset({self._digest(call)}))
        for region in regions:
            region.store.invalidate([own])

    # --- keys ---------------------------------------------------------------------------------------------------------

    def _keys(self) -> TableKeys:
        return TableKeys.of(conf.prefix, FUNCTIONS, self._name)

    def _request(self, call: Any) -> Request:
        named = self._digest(call)
        own = TableTags(self._keys(), (named,), (CALL,))
        tables = sample_tables(self._samples)
        databases = tuple(sorted({database_of(sample) for sample in self._samples}))
        return Request(named, (own, *tables), self._profile(), f"{self._name}:call", databases)

    def _digest(self, call: Any) -> str:
        return _digest((self._function_digest, self.key_of("extra", self._extra), call))

    def call_key(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Return the key of the arguments, however they were given: f(1, b=2) is f(1, 2)."""
        if self._signature is None:
            return self.key_of("args", args), sorted((name, self.key_of(name, kwargs[name])) for name in kwargs)
        bound = self._signature.bind(*args, **kwargs)
        bound.apply_defaults()
        return [(name, self.key_of(name, value)) for name, value in bound.arguments.items()]

    def key_of(self, name: str, value: Any, *, compiles: bool = True) -> Any:
        """Return the key of an argument. Raise InvalidKey, which names it."""
        if type(value) in PLAIN:
            return plain_key(value)
        try:
            return CallKeys(compiles=compiles).of(value)
        except (InvalidKey, RecursionError) as error:
            parameter = self._signature.parameters.get(name) if self._signature else None
            if parameter is not None and value is parameter.default:  # such as an object that stands for "not given"
                return "default"
            raise InvalidKey(
                f"{self._name} is cached, and has no key for its argument {name!r}: {error}. Pass a plain value that "
                "stands for it, or give its class a __repr__ that tells its instances apart."
            ) from error

    @cached_property
    def _function_digest(self) -> str:
        return _digest(self._function_key(CallKeys()))

    def _function_key(self, keys: CallKeys) -> Any:
        if self._key is not None:
            if not self._key:
                raise InvalidKey(f"The key of {name_of(self.func)} is empty.")
            return "key", self._key
        try:
            return keys.of(self.func)
        except (InvalidKey, RecursionError) as error:
            if self._extra is not None and "<lambda>" not in self._name:
                return "named", self._name
            raise InvalidKey(
                f"{self._name} is cached, and its name does not tell it from others: {error}. Name it by `key`, and by "
                "`extra` the values that it takes from around it; or move it into the module and make them parameters."
            ) from error

    def _profile(self) -> Profile:
        profile: Profile | None = Profile()
        for sample in self._samples[:1]:
            profile = profile_of(model_of(sample))
        timeout = self._timeout if self._timeout is not None else (profile or Profile()).timeout
        return replace(profile or Profile(), timeout=conf.ttl.get_ttl(timeout), lock=self._lock, level="fresh")


def _claim(func: Callable[..., Any], key: Any) -> None:
    """Raise InvalidKey for a decorated function whose key another has: one decorator, with other parameters."""
    inner = inspect.unwrap(func)
    if inner is func or not isinstance(inner, FunctionType):
        return
    claims = inner.__dict__.setdefault("_cacheops_claims", {})
    if claims.setdefault(repr(key), func) is not func:
        raise InvalidKey(f"{name_of(func)} is cached twice, under decorators of one name: name each of them by `key`.")


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
    timeout: float | str | None = None, extra: Any = None, lock: bool = True, key: str | None = None
) -> Callable[[Callable[P, R]], CachedFunction[P, R]]:
    """Cache a function for a time (seconds, or a strategy's name; the default profile's otherwise).

    `key` names a function that others may share a name with; `extra` is part of the key of each call.
    """
    if callable(timeout):
        raise InvalidOption("Write @cached(timeout=…), with brackets.")
    return lambda func: CachedFunction(func, timeout=timeout, extra=extra, lock=lock, key=key)


def cached_as(
    *samples: Sample,
    timeout: float | str | None = None,
    extra: Any = None,
    lock: bool = True,
    keep_fresh: bool = True,
    key: str | None = None,
) -> Callable[[Callable[P, R]], CachedFunction[P, R]]:
    """Cache a function until a write changes one of its samples.

    `keep_fresh` is there for users of django-cacheops: a result is never kept when a sample changed while the function
    ran. Raise InvalidOption without samples, or for a sample that can't be followed.
    """
    check_samples(samples)
    return lambda func: CachedFunction(func, samples, timeout=timeout, extra=extra, lock=lock, key=key)


def check_samples(samples: Iterable[Sample]) -> None:
    if not samples:
        raise InvalidOption("cached_as needs a sample: a queryset, a model or an instance; or use cached.")
    for sample in samples:
        if profile_of(model_of(sample)) is None:
            raise InvalidOption(f"{model_of(sample)._meta.label} has the profile None: it can't be a sample.")
