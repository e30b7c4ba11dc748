"""What a view uses of its visitor and of the request's headers, and which responses are for one visitor alone."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any
from urllib.parse import urldefrag

from django.http import HttpRequest
from django.http.request import HttpHeaders
from django.http.response import HttpResponseBase
from django.utils.encoding import iri_to_uri
from django.utils.functional import SimpleLazyObject

from cacheops.exceptions import InvalidKey

# By these htmx and scripts ask for a part of a page: in the key of every view.
SCRIPTED = frozenset({
    "x-requested-with", "hx-request", "hx-boosted", "hx-target", "hx-trigger", "hx-trigger-name", "hx-current-url",
    "hx-history-restore-request", "hx-prompt",
})  # fmt: skip
# The address holds the host; requests with credentials pass the cache.
KNOWN = frozenset({"host", "authorization"})
MESSAGES = "messages"  # among the headers: whether any wait
VISITOR = ("user", "session", "COOKIES")
CLIENT = ("REMOTE_ADDR", "REMOTE_HOST", "REMOTE_USER")  # of META
TOKEN_USED = "CSRF_COOKIE_NEEDS_UPDATE"  # of META; django.middleware.csrf.get_token sets it


@dataclass(slots=True)
class Used:
    """What was used: parts of the visitor ("user", "session", "cookies", "client"), headers in small letters."""

    visitor: set[str] = field(default_factory=set)
    headers: set[str] = field(default_factory=set)

    def look_at(self, name: str, value: Any) -> Any:
        self.visitor.add(name.lower())
        return value

    def look_at_header(self, name: str) -> None:
        name = name.lower().replace("_", "-")
        if name == "cookie":
            self.visitor.add("cookies")
        elif name not in KNOWN:
            self.headers.add(name)

    def look_at_meta(self, name: str) -> None:
        if name in CLIENT:
            self.visitor.add("client")
        elif name.startswith("HTTP_"):
            self.look_at_header(name.removeprefix("HTTP_"))


class WatchedHeaders(HttpHeaders):
    """Headers that tell which of them are read."""

    def __init__(self, meta: Any, note: Callable[[str], None]) -> None:
        self._note = note
        super().__init__(meta)

    def __getitem__(self, key: str) -> str:
        self._note(key)
        return super().__getitem__(key)


class WatchedMeta(dict[str, Any]):
    """META that tells which of its keys are read."""

    def __init__(self, meta: dict[str, Any], note: Callable[[str], None]) -> None:
        self._note = note
        super().__init__(meta)

    def __getitem__(self, key: str) -> Any:
        self._note(key)
        return super().__getitem__(key)

    def __contains__(self, key: object) -> bool:
        self._note(str(key))
        return super().__contains__(key)

    def get(self, key: str, default: Any = None) -> Any:
        self._note(key)
        return super().get(key, default)


@contextmanager
def watched(request: HttpRequest) -> Iterator[Used]:
    """Collect what the block uses of the visitor and of the headers."""
    used = Used()
    if not isinstance(request, HttpRequest):  # what wraps one can't be watched
        used.visitor.add("request")
        yield used
        return
    meta, headers = request.META, request.headers
    held = {name: getattr(request, name) for name in VISITOR if hasattr(request, name)}
    watchers: dict[str, Any] = {name: SimpleLazyObject(partial(used.look_at, name, held[name])) for name in held}
    watchers["headers"] = WatchedHeaders(meta, used.look_at_header)
    watchers["META"] = WatchedMeta(meta, used.look_at_meta)
    vars(request).update(watchers)
    try:
        yield used
    finally:
        meta.clear()
        meta.update(dict(watchers["META"]))  # what was set meanwhile, such as the cookie of a CSRF token
        if getattr(messages_of(request), "used", False):
            used.headers.add(MESSAGES)
        for name, watcher in watchers.items():
            if getattr(request, name) is watcher:  # not replaced meanwhile, as by login()
                setattr(request, name, {**held, "META": meta, "headers": headers}[name])


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
        if messages and (messages.used or messages.added_new):
            given.add("messages")
        if getattr(request, "_csp_nonce", None):
            given.add("nonce")


def address_of(request: HttpRequest | str) -> str:
    """Return the full address of a request, or of a text that is one. Raise InvalidKey for another text."""
    if isinstance(request, str):
        return canonical(iri_to_uri(urldefrag(request).url))
    return canonical(request.build_absolute_uri())


def canonical(text: str) -> str:
    """Return an address with its scheme and host in small letters. Raise InvalidKey for what is no full address."""
    scheme, found, rest = text.partition("://")
    host, slash, path = rest.partition("/")
    if not found or not host:
        raise InvalidKey(f"{text!r} is no full address: write it as request.build_absolute_uri() does, with the host.")
    return f"{scheme.lower()}://{host.lower()}{slash}{path}"


def asked_by(request: HttpRequest, names: frozenset[str]) -> list[tuple[str, Any]]:
    """Return what tells a request from others of its address: headers, and whether messages wait for the visitor."""
    meta = request.META
    found = [(name, meta[key]) for name in names if (key := _META_KEYS.get(name) or meta_key(name)) in meta]
    if MESSAGES in names and len(messages_of(request)):
        found.append((MESSAGES, True))
    return sorted(found)


def meta_key(header: str) -> str:
    name = header.upper().replace("-", "_")
    return name if name in HttpHeaders.UNPREFIXED_HEADERS else f"{HttpHeaders.HTTP_PREFIX}{name}"


_META_KEYS = {name: meta_key(name) for name in SCRIPTED}


def messages_of(request: Any) -> Any:
    return getattr(request, "_messages", ())


def varies_on(response: HttpResponseBase) -> set[str]:
    """Return the request headers that a response's Vary names, in small letters."""
    return {name.strip().lower() for name in response.get("Vary", "").split(",") if name.strip()}


def is_private(response: HttpResponseBase) -> bool:
    """Return whether a response forbids to be kept, by the directives that Django's cache middleware follows."""
    control = response.get("Cache-Control", "").lower()
    return any(directive in control for directive in ("private", "no-cache", "no-store"))
