"""The keys of a cached function: of itself, of its calls, and of what a callable `extra` says of them."""

import functools
import inspect
from collections.abc import Callable
from contextlib import suppress
from types import CellType, CodeType, FunctionType, MethodType
from typing import Any

from asgiref.sync import iscoroutinefunction
from django.db.models.manager import BaseManager
from django.utils.timezone import get_current_timezone_name
from django.utils.translation import get_language

from cacheops.databases import default_by_settings
from cacheops.encoding.arguments import PLAIN, CallKeys, name_of, plain_key
from cacheops.encoding.rows import FORMAT
from cacheops.exceptions import InvalidKey, InvalidOption
from cacheops.protocol.keys import digest

CLAIMS = "_cacheops_claims"  # attribute of a decorated function: by key, what was cached in its name


class FunctionKeys:
    """Tells a function's calls apart by their arguments (encoding/arguments.py).

    Raise InvalidKey for a function that may share its name with others, such as one made in a function of what has no
    key, unless `key` names it, or a constant `extra` says what it was made of; InvalidOption for what can't be cached.
    """

    def __init__(self, func: Callable[..., Any], extra: Any, key: str | None) -> None:
        self.name = name_of(func) if key is None else key
        self.chooses = callable(extra) and not isinstance(extra, type | BaseManager)  # otherwise it is a constant
        self._func = func
        self._extra = extra
        self._key = key
        self._signature = _signature_of(func)
        self._own = ""
        self._captured = False  # whether its key holds what it takes from around it, which may change
        if iscoroutinefunction(func) or inspect.isasyncgenfunction(func) or inspect.isgeneratorfunction(func):
            raise InvalidOption(f"{self.name} can't be cached: its result comes later. Cache a function that it calls.")
        if self.chooses:
            self._check_extra()
        else:
            self.of("extra", extra, compiles=False)
        function_key = self._function_key(CallKeys(compiles=False))
        if key is None and extra is None:
            self._claim(function_key)

    @property
    def names_one(self) -> bool:
        """Whether its key tells it from all others, and `key`, `extra` or a decorator have no part in that."""
        code = getattr(self._func, "__code__", None)
        return (
            self._key is None
            and self._extra is None
            and code is not None
            and self._func.__qualname__ == code.co_qualname
        )

    def call(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Return the key of a call's arguments, however they were given: f(1, b=2) is f(1, 2)."""
        if self._signature is None:
            return self.of("args", args), sorted((name, self.of(name, kwargs[name])) for name in kwargs)
        bound = self._signature.bind(*args, **kwargs)
        bound.apply_defaults()
        return [(name, self.of(name, value)) for name, value in bound.arguments.items()]

    def requests(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> list[Any]:
        """Return the requests that the key of a call was made of, however deep they are."""
        finder = CallKeys(compiles=False)
        taken = [cell.cell_contents for cell in self._func.__closure__ or ()] if self._captured else []
        for value in (*args, *kwargs.values(), *taken):
            if type(value) not in PLAIN:
                with suppress(InvalidKey, RecursionError):
                    finder.of(value)
        return finder.requests

    def extra(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Return the key of what a callable `extra` says of a call."""
        return self.of("extra", self._extra(*args, **kwargs)) if self.chooses else None

    def call_digest(self, call: Any) -> str:
        """Return the digest of a call of this function: of all its variants."""
        return _digest((self._own or self._own_digest(), call))

    def entry_digest(self, call_digest: str, variant: Any) -> str:
        """Return the digest of one variant of a call, in the active language and time zone.

        The default database is part of it: results of tests are not the running site's. So is the format of entries:
        while two releases run, neither overwrites what only the other reads.
        """
        where = f"{FORMAT} {call_digest} {get_language()} {get_current_timezone_name()} {default_by_settings()}"
        return digest(where.encode() if variant is None else f"{where} {variant!r}".encode(errors="surrogatepass"))

    def of(self, name: str, value: Any, *, compiles: bool = True) -> Any:
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
                f"{self.name} is cached, and has no key for its argument {name!r}: {error}. Pass a plain value that "
                "stands for it, or give its class a __repr__ that tells its instances apart."
            ) from error

    def _own_digest(self) -> str:
        """Return the digest of the function and its constant `extra`, kept if that is plain: it does not change."""
        extra = None if self.chooses else self.of("extra", self._extra)
        found = _digest((self._function_key(CallKeys()), extra))
        if (self.chooses or type(self._extra) in PLAIN) and not self._captured:
            self._own = found
        return found

    def _function_key(self, keys: CallKeys) -> Any:
        if self._key is not None:
            if not self._key:
                raise InvalidKey(f"The key of {name_of(self._func)} is empty.")
            return "key", self._key
        try:
            return keys.of(self._func)
        except (InvalidKey, RecursionError) as error:
            if self._extra is not None and not self.chooses and "<lambda>" not in self.name:
                return "named", self.name
            if isinstance(self._func, FunctionType) and not hasattr(self._func, "__wrapped__"):
                return self._made(keys)
            raise self._nameless(error) from error

    def _made(self, keys: CallKeys) -> Any:
        """Return the key of a function made in a function: name, code, and the values that it takes from around it."""
        code = self._func.__code__
        self._captured = bool(code.co_freevars)
        try:
            taken = [self._taken(keys, cell) for cell in self._func.__closure__ or ()]
        except (InvalidKey, RecursionError) as error:
            raise self._nameless(error) from error
        return "made", self.name, code_key(code), taken

    def _taken(self, keys: CallKeys, cell: CellType) -> Any:
        try:
            value = cell.cell_contents
        except ValueError:  # of a function that calls itself, while it is decorated
            return "itself"
        return "itself" if inspect.unwrap(value) is self._func else keys.of(value)

    def _nameless(self, error: Exception) -> InvalidKey:
        return InvalidKey(
            f"{self.name} is cached, and its name does not tell it from others: {error}. Name it by `key`, and by "
            "`extra` the values that it takes from around it; or move it into the module and make them parameters."
        )

    def _claim(self, function_key: Any) -> None:
        """Raise InvalidKey for a decorated function whose key another has: one decorator, with other parameters."""
        inner = inspect.unwrap(self._func)
        if inner is self._func or not isinstance(inner, FunctionType):
            return
        claims = vars(inner).setdefault(CLAIMS, {})
        if claims.setdefault(repr(function_key), self._func) is not self._func:
            raise InvalidKey(f"{self.name} is cached twice, under decorators of one name: name each of them by `key`.")

    def _check_extra(self) -> None:
        """Raise InvalidOption for a callable `extra` that can't take the arguments of a call."""
        if iscoroutinefunction(self._extra):
            raise InvalidOption(f"The extra of {self.name} is asynchronous: give a plain function.")
        takes = _signature_of(self._extra)
        if takes is None or self._signature is None:
            return
        needed = [one for one in self._signature.parameters.values() if one.default is one.empty]
        plain = [one.name for one in needed if one.kind in (one.POSITIONAL_ONLY, one.POSITIONAL_OR_KEYWORD)]
        named = {one.name: None for one in needed if one.kind is one.KEYWORD_ONLY}
        by_name = {**dict.fromkeys(plain[1:]), **named}  # as Django calls views
        if not _binds(takes, plain, named) and not _binds(takes, plain[:1], by_name):
            wanted = ", ".join(self._signature.parameters)
            raise InvalidOption(
                f"The extra of {self.name} is called with the same arguments, and can't take them: write it as a "
                f"function of ({wanted})."
            )


def code_key(code: CodeType) -> Any:
    """Return what a code does, the same in every process: two functions made in one may share a name."""
    inner = CallKeys(compiles=False)
    constants = [code_key(one) if isinstance(one, CodeType) else inner.of(one) for one in code.co_consts]
    return code.co_code, code.co_names, code.co_varnames, code.co_freevars, constants


def innermost(func: Any) -> Any:
    """Return the function that decorators, partials and methods stand for."""
    inner = inspect.unwrap(func)
    while isinstance(inner, functools.partial | MethodType):
        inner = inspect.unwrap(inner.func if isinstance(inner, functools.partial) else inner.__func__)
    return inner


def _signature_of(func: Callable[..., Any]) -> inspect.Signature | None:
    try:
        return inspect.signature(func)
    except ValueError:  # some of those that are written in C
        return None


def _binds(signature: inspect.Signature, args: list[str], kwargs: dict[str, Any]) -> bool:
    try:
        signature.bind(*args, **kwargs)
    except TypeError:
        return False
    return True


def _digest(key: Any) -> str:
    return digest(repr(key).encode(errors="surrogatepass"))
