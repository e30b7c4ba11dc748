"""Keys of the arguments of cached functions, as plain values: the same in every process with this code.

Arguments are known by their value: an instance by its database and primary key, a queryset by its SQL, a request by its
method, address and who asks, an object of a project's by its `repr`, a function by its name. A value that nothing tells
from others of its kind raises InvalidKey: two calls must never share a key by accident.
"""

import builtins
import dataclasses
import enum
import functools
import re
from collections import deque
from collections.abc import Callable
from types import BuiltinFunctionType, FunctionType, MethodType
from typing import Any

from django.core.exceptions import EmptyResultSet
from django.db.models import Model, Prefetch, QuerySet
from django.db.models.expressions import BaseExpression
from django.db.models.manager import BaseManager
from django.db.models.query import RawQuerySet
from django.http import HttpRequest
from django.http.request import HttpHeaders
from django.utils.functional import LazyObject, empty
from django.utils.tree import Node

from cacheops.exceptions import InvalidKey, shortened

PLAIN = frozenset({bool, int, float, str, bytes, type(None)})
ADDRESS = re.compile(r" at 0x[0-9a-fA-F]+")  # in the repr of what is known by nothing but its place in memory
ANONYMOUS = "django.contrib.auth.models.AnonymousUser"  # by its name: the app may not be installed
# In the key of every request, by their names in META: by these htmx and scripts ask for a part of a page; by the last
# the query is decoded.
SCRIPTED = {name: HttpHeaders.to_wsgi_name(name) for name in (
    "x-requested-with", "hx-request", "hx-boosted", "hx-target", "hx-trigger", "hx-trigger-name", "hx-current-url",
    "hx-history-restore-request", "hx-prompt", "content-type",
)}  # fmt: skip
# What else of the visitor the key of an argument tells, as decorators/visitors.py names it.
WHO_ASKS = frozenset({"cookies", "session", "user", "META[REMOTE_USER]"})
NAMELESS = ("<locals>", "<lambda>")  # in the names of functions and classes that others may share


def name_of(func: Callable[..., Any]) -> str:
    """Return a function's name, by which it is shown and its entries are found; a class-based view's is its class's."""
    while isinstance(func, functools.partial):
        func = func.func
    func = getattr(func, "view_class", func)
    return f"{func.__module__}.{getattr(func, '__qualname__', type(func).__qualname__)}"


def plain_key(value: Any) -> Any:
    kind = type(value)
    # Python writes no decimals of over 4,300 digits.
    return kind.__name__, hex(value) if kind is int and value.bit_length() > 64 else value


class CallKeys:
    """Makes keys. Without `compiles`, querysets are not compiled, which may need the database: to check a value."""

    def __init__(self, *, compiles: bool = True) -> None:
        self._compiles = compiles
        self.requests: list[Any] = []  # that it has met, and what wraps one

    def of(self, value: Any) -> Any:
        """Return a value's key. Raise InvalidKey."""
        kind = type(value)
        if kind in PLAIN:
            return plain_key(value)
        for known, key in _KEYS:
            if isinstance(value, known):
                return key(self, value)
        return self._other(value)

    # --- values -------------------------------------------------------------------------------------------------------

    def _lazy(self, value: Any) -> Any:
        if value._wrapped is empty:
            value._setup()
        return self.of(value._wrapped)

    def _subclass(self, value: Any) -> Any:
        base = next(base for base in (str, bytes, int, float) if isinstance(value, base))
        return _class_name(type(value)), base.__repr__(value)

    def _items(self, value: Any) -> Any:
        return _class_name(type(value)), [self.of(item) for item in value]

    def _dict(self, value: dict[Any, Any]) -> Any:
        # Not its own items(): a QueryDict's has but the last value of each name.
        return _class_name(type(value)), [(self.of(key), self.of(item)) for key, item in dict.items(value)]

    def _set(self, value: Any) -> Any:
        return _class_name(type(value)), sorted(repr(self.of(item)) for item in value)

    def _member(self, value: enum.Enum) -> Any:
        return _class_name(type(value)), value.name, self.of(value.value)

    def _pattern(self, value: "re.Pattern[Any]") -> Any:
        return "pattern", value.pattern, value.flags  # its repr ends after 200 characters

    def _class(self, value: type) -> Any:
        if "<locals>" in value.__qualname__:
            raise InvalidKey(f"{_class_name(value)} is a class made in a function, where others may get this name")
        return "class", _class_name(value)

    # --- Django's -----------------------------------------------------------------------------------------------------

    def _instance(self, value: Model) -> Any:
        pk, database = value.pk, value._state.db
        if not value._state.adding and pk is not None and not (isinstance(pk, tuple) and None in pk):
            return "instance", value._meta.label_lower, database, self.of(pk)
        deferred = value.get_deferred_fields()
        names = [field.attname for field in value._meta.concrete_fields if field.attname not in deferred]
        values = [(name, self.of(getattr(value, name))) for name in names]
        return "unsaved", value._meta.label_lower, database, values

    def _queryset(self, value: "QuerySet[Any]") -> Any:
        if not self._compiles:
            return "queryset"
        try:
            sql, parameters = value.query.clone().get_compiler(using=value.db).as_sql()
        except EmptyResultSet:
            sql, parameters = "", ()
        fields, shown = self.of(getattr(value, "_fields", None)), _class_name(getattr(value, "_iterable_class"))  # noqa: B009
        prefetched = self.of(getattr(value, "_prefetch_related_lookups", ()))
        made_by = _class_name(type(value)), value.model._meta.label, value.db, shown, fields, prefetched
        return "queryset", made_by, sql, self.of(tuple(parameters))

    def _manager(self, value: "BaseManager[Any]") -> Any:
        return "manager", self._queryset(value.all())

    def _raw_queryset(self, value: Any) -> Any:
        return "raw", value.model._meta.label, value.db, str(value.raw_query), self.of(value.params)

    def _prefetch(self, value: "Prefetch[Any, Any, Any]") -> Any:
        lookup: Any = value
        return "prefetch", lookup.prefetch_through, lookup.to_attr, self.of(lookup.queryset)

    def _expression(self, value: Any) -> Any:
        return "expression", self.of(value.identity)

    def _conditions(self, value: Node) -> Any:
        return _class_name(type(value)), value.connector, value.negated, self.of(value.children)

    def _request(self, value: HttpRequest) -> Any:
        """Return the key of a request. Who asks is told by the user, too: middleware may know that by any header."""
        self.requests.append(value)
        headers = [value.META.get(name) for name in (*SCRIPTED.values(), "HTTP_COOKIE", "HTTP_AUTHORIZATION")]
        user, session = getattr(value, "user", None), getattr(value, "session", None)
        who = value.META.get("REMOTE_USER"), getattr(session, "session_key", None), self.of(getattr(user, "pk", user))
        return "request", value.method, value.build_absolute_uri(), headers, who

    # --- functions ----------------------------------------------------------------------------------------------------

    def _function(self, value: FunctionType) -> Any:
        wrapped = getattr(value, "__wrapped__", None)
        if wrapped is not None:  # functools.wraps has given it the name of another
            return "wrapper", value.__globals__["__name__"], value.__code__.co_qualname, self.of(wrapped)
        view_class = getattr(value, "view_class", None)
        if view_class is not None:  # View.as_view() returned it
            return "view", self.of(view_class), self.of(getattr(value, "view_initkwargs", {}))
        if any(mark in value.__qualname__ for mark in NAMELESS):
            raise InvalidKey(f"{name_of(value)} was made in a function, where others may get this name")
        return "function", name_of(value)

    def _method(self, value: MethodType) -> Any:
        return "method", self.of(value.__self__), self.of(value.__func__)

    def _partial(self, value: "functools.partial[Any]") -> Any:
        return "partial", self.of(value.func), self.of(value.args), self.of(value.keywords)

    def _builtin(self, value: BuiltinFunctionType) -> Any:
        owner: Any = value.__self__
        return "builtin", value.__qualname__, owner.__name__ if hasattr(owner, "__spec__") else self.of(owner)

    # --- others -------------------------------------------------------------------------------------------------------

    def _other(self, value: Any) -> Any:
        kind = type(value)
        name = _class_name(kind)
        if dataclasses.is_dataclass(kind):
            fields = [field.name for field in dataclasses.fields(kind)]
            return name, [(field, self.of(getattr(value, field))) for field in fields]
        if name == ANONYMOUS:
            return (name,)
        if hasattr(value, "build_absolute_uri"):  # what wraps a request, as that of Django REST framework
            return name, self._request(value)
        if callable(getattr(value, "__wrapped__", None)):  # a function that functools.wraps has dressed as another
            return name, self.of(value.__wrapped__)
        if kind.__module__.startswith("psycopg.") and hasattr(value, "obj"):  # its repr is cut
            return name, self.of(value.obj)
        if (held := _buffer(value)) is not None:  # as of numpy's arrays, whose repr is cut
            return name, held
        text = repr(value)
        if kind.__repr__ is object.__repr__ or ADDRESS.search(text):
            raise InvalidKey(f"nothing tells {shortened(value)} from others of its class")
        return name, text


def _buffer(value: Any) -> Any:
    try:
        held = memoryview(value)
    except TypeError:
        return None
    return None if "O" in held.format else (held.format, held.shape, held.tobytes())


def _class_name(kind: type) -> str:
    return kind.__qualname__ if kind.__module__ == builtins.__name__ else f"{kind.__module__}.{kind.__qualname__}"


_KEYS: tuple[tuple[Any, Callable[[CallKeys, Any], Any]], ...] = (
    (LazyObject, CallKeys._lazy),  # first: it says that it is what it wraps
    (enum.Enum, CallKeys._member),
    ((str, bytes, int, float), CallKeys._subclass),
    ((list, tuple, deque), CallKeys._items),
    (dict, CallKeys._dict),
    ((set, frozenset), CallKeys._set),
    (Model, CallKeys._instance),
    (QuerySet, CallKeys._queryset),
    (BaseManager, CallKeys._manager),
    (RawQuerySet, CallKeys._raw_queryset),
    (HttpRequest, CallKeys._request),
    (Prefetch, CallKeys._prefetch),
    (BaseExpression, CallKeys._expression),
    (Node, CallKeys._conditions),
    (type, CallKeys._class),
    (FunctionType, CallKeys._function),
    (MethodType, CallKeys._method),
    (functools.partial, CallKeys._partial),
    (BuiltinFunctionType, CallKeys._builtin),
    (re.Pattern, CallKeys._pattern),
)
