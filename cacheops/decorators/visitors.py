"""What a view or a function uses of its visitor and of the request's headers, and which results are for one alone."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial, wraps
from typing import Any, TypeVar
from urllib.parse import quote, unquote, urlsplit

from django.http import HttpRequest
from django.http.request import HttpHeaders
from django.http.response import HttpResponseBase
from django.utils.encoding import punycode
from django.utils.functional import SimpleLazyObject

from cacheops.encoding.arguments import SCRIPTED
from cacheops.exceptions import InvalidKey

PORTS = {"http": 80, "https": 443}
# The address holds the host; requests with credentials pass the cache.
KNOWN = frozenset({"host", "authorization"})
MESSAGES = "(messages)"  # among the headers: how many wait
PARTS = ("user", "session", "COOKIES", "headers", "META", "environ", "scope")  # of a request, that are watched
REMEMBERED = ("accepted_types", "accepted_types_by_precedence", "_acached_user")  # by requests, of what is watched
TOKEN, TOKEN_USED = "CSRF_COOKIE", "CSRF_COOKIE_NEEDS_UPDATE"  # of META; django.middleware.csrf.get_token sets them
# What the address holds, and what is the server's. All else may be the visitor's.
HARMLESS = frozenset({
    "REQUEST_METHOD", "SCRIPT_NAME", "PATH_INFO", "QUERY_STRING", "SERVER_NAME", "SERVER_PORT", "SERVER_PROTOCOL",
    "SERVER_SOFTWARE", "wsgi.version", "wsgi.url_scheme", "wsgi.errors", "wsgi.multithread", "wsgi.multiprocess",
    "wsgi.run_once", "wsgi.file_wrapper", TOKEN_USED,
})  # fmt: skip
HARMLESS_IN_SCOPE = frozenset({
    "type", "asgi", "http_version", "method", "scheme", "path", "raw_path", "query_string", "root_path", "server",
})  # fmt: skip

Note = Callable[[str | None], None]  # None: all of it
Kind = TypeVar("Kind", bound=type)


@dataclass(slots=True)
class Used:
    """What was used: of the visitor ("user", "META[REMOTE_ADDR]"), and which headers, in small letters.

    `given` is what was given to this visitor alone.
    """

    visitor: set[str] = field(default_factory=set)
    headers: set[str] = field(default_factory=set)
    given: set[str] = field(default_factory=set)

    def look_at(self, name: str, value: Any) -> Any:
        self.visitor.add(name.lower())
        return value

    def look_at_header(self, name: str | None) -> None:
        if name is None:
            self.visitor.add("headers")
        elif (name := name.lower().replace("_", "-")) == "cookie":
            self.visitor.add("cookies")
        elif name not in KNOWN:
            self.headers.add(name)

    def look_at_meta(self, name: str | None) -> None:
        if name == TOKEN:
            self.given.add("CSRF token")
        elif name is not None and (header := HttpHeaders.parse_header_name(name)):
            self.look_at_header(header)
        elif name not in HARMLESS:
            self.visitor.add("META" if name is None else f"META[{name}]")

    def look_at_scope(self, name: str | None) -> None:
        if name not in HARMLESS_IN_SCOPE:
            self.visitor.add("scope" if name is None else f"scope[{name}]")

    def why_not_shared(self, *, chosen: bool, known: frozenset[str] = frozenset()) -> str | None:
        """Return why others may not get the result. `chosen`: `extra` says which do; `known`: is in its key."""
        if self.given:
            return f"it holds what is for one visitor alone ({', '.join(sorted(self.given))})."
        if not chosen and (unknown := self.visitor - known):
            parts = ", ".join(sorted(unknown))
            return f"it uses the visitor's {parts}: say by extra=lambda request, …: … what it depends on."
        return None


def noting(by_key: str, everything: str) -> Callable[[Kind], Kind]:
    """Have a mapping call its `_notes`: in these methods with the key that they are given, in the others with None."""

    def noted(method: Any, has_key: bool) -> Any:
        @wraps(method)
        def wrapper(self: Any, *args: Any, **kwargs: Any) -> Any:
            for note in self._notes:
                note(str(args[0]) if has_key else None)
            return method(self, *args, **kwargs)

        return wrapper

    def decorate(kind: Kind) -> Kind:
        for names, has_key in ((by_key, True), (everything, False)):
            for name in names.split():
                setattr(kind, name, noted(getattr(kind, name), has_key))
        return kind

    return decorate


@noting("__getitem__", "__iter__ __len__ __eq__ __repr__")
class WatchedHeaders(HttpHeaders):
    """Headers that tell which of them are read."""

    def __init__(self, held: HttpHeaders, meta: dict[str, Any], note: Note) -> None:
        self._notes: tuple[Note, ...] = (note, *getattr(held, "_notes", ()))  # they may be watched already
        super().__init__(meta)


@noting(
    "__getitem__ __contains__ get pop setdefault",
    "__iter__ __reversed__ __len__ __eq__ __ne__ __or__ __ror__ __repr__ copy items keys values popitem",
)
class WatchedDict(dict[str, Any]):
    """META, or a scope of ASGI, that tells which of its keys are read."""

    def __init__(self, held: dict[str, Any], note: Note) -> None:
        self._notes: tuple[Note, ...] = (note, *getattr(held, "_notes", ()))
        self._held = held
        super().__init__(plain(held))

    def give_back(self) -> None:
        """Make the watched one what this is now, as by the cookie of a CSRF token."""
        changed = plain(self)
        self._held.clear()
        self._held.update(changed)


def plain(held: dict[str, Any]) -> dict[str, Any]:
    return dict(dict.items(held))  # which notes nothing


@contextmanager
def watched(request: Any) -> Iterator[Used]:
    """Collect what the block uses of the visitor and of the headers, and what it gives to this visitor alone."""
    used = Used()
    with secrets_of(request) as given:
        if isinstance(request, HttpRequest):
            with _watching(request, used):
                yield used
        else:  # what wraps one can't be watched
            used.visitor.add("request")
            yield used
    used.given |= given


@contextmanager
def _watching(request: HttpRequest, used: Used) -> Iterator[None]:
    own = vars(request)
    for name in REMEMBERED:
        own.pop(name, None)
    had_read = own.get("_read_started")
    held = {name: getattr(request, name) for name in PARTS if hasattr(request, name)}
    watchers = {name: _watcher(name, value, request, used) for name, value in held.items()}
    if held.get("environ") is request.META:
        watchers["environ"] = watchers["META"]
    own.update(watchers)
    try:
        yield
    finally:
        if own.get("_read_started") != had_read or own.get("_body") or request.method not in ("GET", "HEAD"):
            used.visitor.add("body")
        if hasattr(messages_of(request), "_loaded_data"):
            used.headers.add(MESSAGES)
        for name, watcher in watchers.items():
            if type(watcher) is WatchedDict:  # isinstance() looks into what is lazy
                watcher.give_back()
            if getattr(request, name) is watcher:  # not replaced meanwhile, as by login()
                setattr(request, name, held[name])


def _watcher(name: str, value: Any, request: HttpRequest, used: Used) -> Any:
    if name == "headers":
        return WatchedHeaders(value, plain(request.META), used.look_at_header)
    if name in ("META", "environ"):
        return WatchedDict(value, used.look_at_meta)
    if name == "scope":
        return WatchedDict(value, used.look_at_scope)
    return SimpleLazyObject(partial(used.look_at, name, value))


@contextmanager
def secrets_of(request: Any) -> Iterator[set[str]]:
    """Collect what the block gives to this visitor alone: a CSRF token, messages, a nonce of the content policy."""
    given: set[str] = set()
    meta = getattr(request, "META", {})
    before = meta.pop(TOKEN_USED, None)
    try:
        yield given
    finally:
        if meta.get(TOKEN_USED):
            given.add("CSRF token")
        elif before is not None:
            meta[TOKEN_USED] = before
        messages = messages_of(request)
        if getattr(messages, "added_new", False) or (getattr(messages, "used", False) and len(messages)):
            given.add("messages")
        if getattr(request, "_csp_nonce", None):
            given.add("nonce")


def address_of(request: HttpRequest | str) -> str:
    """Return the address of a request, or of a text that is a full one, in normal form. Raise InvalidKey otherwise."""
    text = request if isinstance(request, str) else request.build_absolute_uri()
    found = normal_form(text)
    if found is None and text is request:
        raise InvalidKey(f"{text!r} is no full address: write it as request.build_absolute_uri() does, with the host.")
    return found or text


def normal_form(address: str) -> str | None:
    """Return what all ways to write a full address share, and a few others, such as with "%2F" for "/"; None for none.

    It names what is invalidated together; the key of an entry holds the address as it was asked for.
    """
    try:
        parts = urlsplit(address)
        host, port = (parts.hostname or "").rstrip("."), parts.port or PORTS[parts.scheme]
        host = host if host.isascii() else punycode(host)
        path, query = quote(unquote(parts.path or "/")), quote(unquote(parts.query.replace("+", " ")))
    except (ValueError, KeyError):
        return None
    return f"{parts.scheme}://{host}:{port}{path}?{query}" if host and parts.username is None else None


def asked_by(request: HttpRequest, names: frozenset[str]) -> list[tuple[str, Any]]:
    """Return what tells a request from others of its address: headers, and how many messages wait for the visitor.

    Each name is in it, with None for a header that was not sent: by other names, which another process may know, it is
    another key.
    """
    meta, headers = request.META, sorted(names - {MESSAGES})
    found = [(name, meta.get(SCRIPTED.get(name) or HttpHeaders.to_wsgi_name(name))) for name in headers]
    return [*found, (MESSAGES, len(messages_of(request)))] if MESSAGES in names else found


def messages_of(request: Any) -> Any:
    return getattr(request, "_messages", ())


def varies_on(response: HttpResponseBase) -> set[str]:
    """Return the request headers that a response's Vary names, in small letters."""
    return {name.strip().lower() for name in response.get("Vary", "").split(",") if name.strip()}


def is_private(response: HttpResponseBase) -> bool:
    """Return whether a response forbids to be kept, by the directives that Django's cache middleware follows."""
    control = response.get("Cache-Control", "").lower()
    return any(directive in control for directive in ("private", "no-cache", "no-store"))
