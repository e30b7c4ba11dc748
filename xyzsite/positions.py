"""How a position travels from one request to the next: in the region's cache by session, and signed, in a cookie that
leads to other regions, or in a header for programs.

What is unsigned or old is ignored, and counted in the events of "position".
"""

from collections.abc import Iterator
from contextlib import suppress
from typing import Any, NamedTuple

from django.conf import settings
from django.core.cache import DEFAULT_CACHE_ALIAS, caches
from django.core.signing import BadSignature, SignatureExpired, TimestampSigner
from django.db import DEFAULT_DB_ALIAS, connections
from django.http import HttpRequest, HttpResponse

from cacheops.conf import conf
from cacheops.instrumentation.counters import counters
from cacheops.regions.database_away import away_databases
from cacheops.regions.position import Position
from cacheops.regions.read_scope import ReadScope
from cacheops.sessions import cache_key
from xyzsite.router import REPLICA

COOKIE, HEADER = "position", "X-Position"
SECONDS = 60  # how long a write is remembered; any replica that is read has it by then (CACHEOPS_MAX_LAG)
UNKNOWN = "unknown"  # something was written, and the database did not tell its position
MAX_CARRIED = 8  # of one request: more are a mistake, or an attack

signer = TimestampSigner(salt="xyzsite.positions")


class Carried(NamedTuple):
    """What a request brings with it."""

    positions: list[Position]
    is_unknown: bool  # of a write, whose reader must read the primary


def are_used() -> bool:
    """Return whether somebody may read a replica: this region, or another one to which a person may go."""
    is_followed = REPLICA in connections.settings or len(conf.regions) > 1
    return is_followed and connections[DEFAULT_DB_ALIAS].vendor == "postgresql"


def carried_by(request: HttpRequest) -> Carried:
    """Return the positions that a request brings with it."""
    texts = {text for text in _unsigned(request) if text}
    if kept := _kept(request.COOKIES.get(settings.SESSION_COOKIE_NAME)):
        texts.add(kept)
    positions = []
    for text in texts - {UNKNOWN}:
        with suppress(ValueError):  # of an earlier release
            positions.append(Position.parse(text))
    return Carried(positions, UNKNOWN in texts)


def carry(request: HttpRequest, response: HttpResponse, position: Position | None) -> None:
    """Let the position of what a request has written, None for an unknown one, come back with the next one."""
    text = signer.sign(UNKNOWN if position is None else str(position))
    response[HEADER] = text
    response.set_cookie(COOKIE, text, max_age=SECONDS, httponly=True, secure=request.is_secure(), samesite="Lax")
    key = getattr(getattr(request, "session", None), "session_key", None)
    if key and position is not None and REPLICA in connections.settings:
        _cache().set_max(_session_key(key), str(position), SECONDS)  # two responses may overtake each other


def _unsigned(request: HttpRequest) -> Iterator[str]:
    """Yield what is signed in the cookies and headers of our name, unless it is old or wrong."""
    pairs = (part.strip().partition("=") for part in request.META.get("HTTP_COOKIE", "").split(";"))
    signed = [value.strip('"') for name, _, value in pairs if name == COOKIE]
    signed += [value.strip() for value in request.headers.get(HEADER, "").split(",") if value.strip()]
    for text in signed[:MAX_CARRIED]:
        try:
            yield signer.unsign(text, max_age=SECONDS)
        except SignatureExpired:
            counters.event("position", old=1)
        except BadSignature:
            counters.event("position", unsigned=1)


def _kept(session_key: str | None) -> str | None:
    """Return what this region remembers of a session; nothing where it reads the primary anyway."""
    if not session_key or REPLICA not in connections.settings:
        return None
    found: str | None = _cache().get(_session_key(session_key))
    return found


def _cache() -> Any:
    """Return the region's own: a RegionCache or a MemoryCache."""
    return caches[DEFAULT_CACHE_ALIAS]


def _session_key(session_key: str) -> str:
    return f"{cache_key(session_key)}:position"


def scope_of(request: HttpRequest) -> ReadScope:
    """Return the scope in which a request reads: unsafe methods read the primary, forms and checks of theirs too.

    While that is away, nothing is written but readings, which are buffered: they are checked by what the region knows.
    """
    carried = carried_by(request)
    is_unsafe = request.method not in ("GET", "HEAD", "OPTIONS", "TRACE")
    scope = ReadScope(carried.positions, on_primary=is_unsafe and not away_databases.is_away(DEFAULT_DB_ALIAS))
    if carried.is_unknown:
        scope.written.add(DEFAULT_DB_ALIAS)
    return scope
