"""Cached functions: the result of a call as an entry."""

import functools
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack, suppress
from dataclasses import replace
from typing import Any, Generic, ParamSpec, Self, TypeVar, cast

from django.db.models import Model

from cacheops.conf import conf
from cacheops.decorators.keys import FunctionKeys
from cacheops.decorators.visitors import watched
from cacheops.encoding import objects
from cacheops.encoding.arguments import SCRIPTED, WHO_ASKS
from cacheops.engine import memo
from cacheops.exceptions import CacheMiss, InvalidOption, UnencodableValue
from cacheops.instrumentation.minute_log import minute_log
from cacheops.orm.samples import Sample, SampleLike, model_of, sample_databases, sample_tables
from cacheops.profiles import Profile, profile_of
from cacheops.protocol.keys import FUNCTIONS, TableKeys
from cacheops.reading.fetch import fetch
from cacheops.reading.not_cached import note_bypass
from cacheops.reading.policy import decide_entry
from cacheops.reading.request import Request
from cacheops.regions import regions
from cacheops.signals import cache_read
from cacheops.stores.base import MarkedTable, TableTags

P = ParamSpec("P")
R = TypeVar("R")

UNSAMPLED = Profile()  # of functions that depend on nothing but time
NOT_MADE = object()  # the place of a key that is made on first use: it may need the database
SETS = 3  # how often a value is given to a key while other readers load its call
CALL = "call"  # the scheme of a function's calls: one tag a call


class NotKept(Exception):
    """Carries a result past the cache: one that belongs to a single visitor, an error, a stream."""

    def __init__(self, result: Any) -> None:
        super().__init__("not kept")
        self.result = result


class CachedFunction(Generic[P, R]):
    """A function and its cache. Calling it answers from the cache; the attributes are those of the function.

    A call has an entry for every value of a callable `extra`, language and time zone, and of the samples where several
    functions may have one name; invalidation reaches all of them.
    """

    def __init__(
        self,
        func: Callable[P, R],
        samples: Iterable[SampleLike] = (),
        *,
        timeout: float | str | None = None,
        extra: Any = None,
        lock: bool = True,
        key: str | None = None,
    ) -> None:
        functools.update_wrapper(self, func)
        self.func = func
        self.keys = FunctionKeys(func, extra, key)
        self._samples = tuple(samples)
        self._model = model_of(self._samples[0]) if self._samples else None
        self._timeout = timeout
        self._lock = lock
        self._kept_last = True
        self._samples_key: Any = None if self.keys.names_one or not self._samples else NOT_MADE

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        samples = self.samples_to_cache()
        if samples is None:
            return self.func(*args, **kwargs)
        extra = self.keys.extra(args, kwargs)
        return self.answer(samples, self.keys.call(args, kwargs), extra, lambda: self._load(args, kwargs))

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        return self if instance is None else functools.partial(self, instance)

    def key(self, *args: P.args, **kwargs: P.kwargs) -> "CallKey[R]":
        """Return the key of the entry of a call with these arguments, in the active language and time zone."""
        return self.entry_key(self.keys.call(args, kwargs), self.keys.extra(args, kwargs))

    def invalidate(self, *args: P.args, **kwargs: P.kwargs) -> None:
        """Make a call with these arguments a miss, in every region that answers. Raise StoreUnavailable otherwise."""
        self.invalidate_call(self.keys.call(args, kwargs))

    def _load(self, args: Any, kwargs: Any) -> R:
        """Call the function. Raise NotKept where it uses more of a request than the key of one holds."""
        with ExitStack() as stack:
            uses = [stack.enter_context(watched(request)) for request in self.keys.requests(args, kwargs)]
            result = self.func(*args, **kwargs)
        for used in uses:
            used.visitor |= {f"headers[{name}]" for name in used.headers - SCRIPTED.keys()}
            if why := used.why_not_shared(chosen=self.keys.chooses, known=WHO_ASKS):
                minute_log.warning(("function", self.keys.name), "%s is not cached, as %s", self.keys.name, why)
                raise NotKept(result)
        return result

    # --- by the key of a call -----------------------------------------------------------------------------------------

    def samples_to_cache(self) -> Sequence[Sample] | None:
        """Return what a result depends on; None where calls go past the cache now."""
        samples = [Sample(given) for given in self._samples]
        bypass = decide_entry((sample.source for sample in samples), self._profile().timeout)
        if bypass is not None:
            note_bypass(f"{self.keys.name}:call", bypass)
        return samples if bypass is None else None

    def answer(self, samples: Sequence[Sample], call: Any, variant: Any, load: Callable[[], R]) -> R:
        """Return the result of a variant of a call, from its entry if it is there, otherwise of `load`.

        `load` may raise NotKept with a result.
        """
        request = self._request(samples, call, variant)
        called: list[R] = []

        def rows() -> list[tuple[Any]]:
            called.append(load())
            return [(packed_or_none(called[0]),)]

        try:
            found = fetch(request, rows)
        except NotKept as past:
            self._kept_last = False  # the next ones do not wait for one another
            return cast(R, past.result)
        self._kept_last = True
        if cache_read.receivers:
            key = request.keys.entry(request.digest)
            cache_read.send_robust(None, func=self.func, hit=not called, key=key, op="call")
        return called[0] if called else objects.unpack(found[0][0])

    def entry_key(self, call: Any, variant: Any) -> "CallKey[R]":
        request = self._request([Sample(given) for given in self._samples], call, variant)
        return CallKey(request.keys.entry(request.digest), self, call, variant)

    def invalidate_call(self, call: Any) -> None:
        """Make all variants of a call misses. Raise StoreUnavailable, at the end, for regions that don't answer."""
        own = MarkedTable(self._table(), frozenset({self.keys.call_digest(call)}))
        regions.invalidate(lambda region: region.store.invalidate([own]))

    def _table(self) -> TableKeys:
        return TableKeys.of(conf.prefix, FUNCTIONS, self.keys.name)

    def _request(self, samples: Sequence[Sample], call: Any, variant: Any) -> Request:
        tag = self.keys.call_digest(call)
        own = TableTags(self._table(), (tag,), (CALL,))
        if self._samples_key is NOT_MADE:
            self._samples_key = self.keys.of("samples", self._samples)
        told = variant if self._samples_key is None else (self._samples_key, variant)
        return Request(
            self.keys.entry_digest(tag, told),
            (own, *sample_tables(samples)),
            self._profile(),
            f"{self.keys.name}:call",
            sample_databases(samples),
        )

    def _profile(self) -> Profile:
        return _profile_of_calls(self._model, self._timeout, self._lock and self._kept_last)


class CallKey(str, Generic[R]):
    """The key of a call's entry, as text; `get`, `set` and `delete` are those of django-cacheops."""

    def __new__(cls, text: str, function: CachedFunction[..., R], call: Any, variant: Any) -> Self:
        key = super().__new__(cls, text)
        key._function, key._call, key._variant = function, call, variant
        return key

    _function: CachedFunction[..., R]
    _call: Any
    _variant: Any

    def get(self) -> R:
        """Return the result that is kept. Raise CacheMiss where there is none, or the cache may not answer."""
        return self._answer(self._miss)

    def set(self, value: R) -> None:
        """Keep a value as the result, and make what is kept of the call in other languages and time zones misses.

        Keep none where calls go past the cache now, or other readers are faster each time.
        """
        given: list[R] = []

        def load() -> R:
            given.append(value)
            return value

        for _ in range(SETS):
            self.delete()
            with suppress(CacheMiss):
                self._answer(load)
            if given:
                return

    def delete(self) -> None:
        """Make the call a miss, as `invalidate` does."""
        self._function.invalidate_call(self._call)

    def _answer(self, load: Callable[[], R]) -> R:
        samples = self._function.samples_to_cache()
        return self._miss() if samples is None else self._function.answer(samples, self._call, self._variant, load)

    def _miss(self) -> R:
        raise CacheMiss(str(self))


@memo()
def _profile_of_calls(model: type[Model] | None, timeout: float | str | None, lock: bool) -> Profile:
    profile = (profile_of(model) if model is not None else None) or UNSAMPLED
    return replace(
        profile, timeout=conf.ttl.get_ttl(profile.timeout if timeout is None else timeout), lock=lock, level="fresh"
    )


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

    `key` names a function that others may share a name with. `extra` is part of the key of each call: a value, or a
    function of the call's arguments.
    """
    if callable(timeout):
        raise InvalidOption("Write @cached(timeout=…), with brackets.")
    return lambda func: CachedFunction(func, timeout=timeout, extra=extra, lock=lock, key=key)


def cached_as(
    *samples: SampleLike,
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


def check_samples(samples: Iterable[SampleLike]) -> None:
    if not samples:
        raise InvalidOption("cached_as needs a sample: a queryset, a model or an instance; or use cached.")
    for sample in samples:
        if profile_of(model_of(sample)) is None:
            raise InvalidOption(f"{model_of(sample)._meta.label} has the profile None: it can't be a sample.")
