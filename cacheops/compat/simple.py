"""django-cacheops' simple caches: values by key that end by their time, or by hand."""

from collections.abc import Callable
from contextlib import suppress
from typing import Any, TypeVar
from uuid import uuid4

from django.core.cache import BaseCache, InvalidCacheBackendError, caches
from django.core.cache.backends.base import DEFAULT_TIMEOUT

from cacheops.conf import conf
from cacheops.decorators.functions import CachedFunction, NotKept
from cacheops.decorators.views import CachedView
from cacheops.exceptions import CacheMiss, InvalidOption
from cacheops.orm.samples import Sample

F = TypeVar("F", bound=Callable[..., Any])
MISSING = object()
FILE_ALIAS = "file_cache"


class SimpleCache:
    """Values under keys that begin with CACHEOPS_PREFIX, in one of Django's caches, in and out of transactions."""

    def get(self, cache_key: str) -> Any:
        """Return a value. Raise CacheMiss where there is none."""
        value = self.backend().get(self._key(cache_key), MISSING)
        if value is MISSING:
            raise CacheMiss(cache_key)
        return value

    def set(self, cache_key: str, data: Any, timeout: float | None = None) -> None:
        """Store a value for some seconds; None: until it is evicted."""
        self.backend().set(self._key(cache_key), data, timeout)

    def delete(self, cache_key: str) -> None:
        self.backend().delete(self._key(cache_key))

    def backend(self) -> BaseCache:
        return caches[conf.local_region]

    def _key(self, key: str) -> str:
        return f"{conf.prefix}:{key}"


class FileCache(SimpleCache):
    """The alias `file_cache` in CACHES, and decorators whose results it holds."""

    def backend(self) -> BaseCache:
        with suppress(InvalidCacheBackendError):
            return caches[FILE_ALIAS]
        raise InvalidOption(
            "file_cache needs an alias of this name: CACHES = {…, 'file_cache': {'BACKEND': "
            "'django.core.cache.backends.filebased.FileBasedCache', 'LOCATION': a folder that nobody else can write}}."
        )

    def cached(
        self, timeout: float | None = None, extra: Any = None, key: str | None = None
    ) -> Callable[[F], CachedFunction[Any, Any]]:
        """Keep a function's results in files for some seconds; None: as long as the alias says."""
        if callable(timeout):
            raise InvalidOption("Write @file_cache.cached(timeout=…), with brackets.")
        return lambda func: FileFunction(self, func, timeout, extra, key)

    def cached_view(
        self, timeout: float | None = None, extra: Any = None, key: str | None = None
    ) -> Callable[[F], CachedView]:
        """Keep a view's answers to GET and HEAD in files, by the rules of `cached_view`."""
        return lambda view: CachedView(FileFunction(self, view, timeout, extra, key))


class FileFunction(CachedFunction[Any, Any]):
    """A cached function whose results are in files. Their keys hold the call's stamp: a new one makes them misses."""

    def __init__(
        self, cache: FileCache, func: Callable[..., Any], timeout: float | None, extra: Any, key: str | None
    ) -> None:
        super().__init__(func, extra=extra, key=key)
        self._cache, self._seconds = cache, DEFAULT_TIMEOUT if timeout is None else timeout

    def samples_to_cache(self) -> list[Sample] | None:
        return [] if conf.enabled else None

    def answer(self, samples: Any, call: Any, variant: Any, load: Callable[[], Any]) -> Any:
        backend, key = self._cache.backend(), self._entry(call, variant)
        value = backend.get(key, MISSING)
        if value is MISSING:
            try:
                value = load()
            except NotKept as past:
                return past.result
            backend.set(key, value, self._seconds)
        return value

    def invalidate_call(self, call: Any) -> None:
        self._cache.backend().delete(self._stamp(call))

    def _entry(self, call: Any, variant: Any) -> str:
        stamp = self._cache.backend().get_or_set(self._stamp(call), lambda: uuid4().hex, None)
        return f"{stamp}:{self.keys.entry_digest(self.keys.call_digest(call), variant)}"

    def _stamp(self, call: Any) -> str:
        return f"{conf.prefix}:call:{self.keys.call_digest(call)}"


cache = SimpleCache()
file_cache = FileCache()
