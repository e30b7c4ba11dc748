"""Sign-in, the page foot and Server-Timing, headers of security, and reads of one's own writes."""

import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from typing import Any

from django.conf import settings
from django.contrib.auth.middleware import LoginRequiredMiddleware
from django.core.exceptions import PermissionDenied, RequestDataTooBig
from django.db import DEFAULT_DB_ALIAS, Error, connections
from django.http import HttpRequest, HttpResponse, RawPostDataException, UnreadablePostError
from django.http.response import HttpResponseBase

from cacheops.monitoring import RequestStats, collect_request_stats
from cacheops.regions.database_away import is_away
from cacheops.regions.lag import Lag, ask_primary
from cacheops.regions.read_scope import ReadScope, in_scope
from xyzsite import positions
from xyzsite.replica import lags_shown
from xyzsite.router import REPLICA
from xyzsite.unavailable import unavailable

ResponseMaker = Callable[[HttpRequest], HttpResponse]

FOOT_PLACE = b"<!-- page foot -->"
# Content security policies (W3C CSP 3). Nobody loads from other hosts or runs a script that stands in the page itself.
PAGE_POLICY = (
    "default-src 'self'; object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; "
    "img-src 'self' data:"
)
POLICIES = {  # by the first name space of the address; all others have PAGE_POLICY
    # django-unfold writes its colours into each page, and Alpine.js evaluates what stands in attributes.
    "admin": f"{PAGE_POLICY}; style-src 'self' 'unsafe-inline'; script-src 'self' 'unsafe-eval'",
    "api": f"{PAGE_POLICY}; style-src 'self' 'unsafe-inline'",  # of Swagger's pictures
}
STAFF_ONLY = (
    "The administration is for staff. What your role lets you change of devices, you change on their pages and on "
    "those of their locations."
)
# What no page of ours uses, and no script that got into one shall ask a browser for.
PERMISSIONS = "camera=(), display-capture=(), geolocation=(), microphone=(), payment=(), usb=()"


class SignInRequiredMiddleware(LoginRequiredMiddleware):
    """Redirect anonymous users to sign in, as Django's does; load the user only where a view requires one.

    A view that is open to all, such as the health check, then answers although the database does not. Who is signed in
    and no administrator is told so, where Django's admin would ask them to sign in again.
    """

    def process_view(
        self, request: HttpRequest, view_func: Callable[..., Any], view_args: Any, view_kwargs: Any
    ) -> HttpResponseBase | None:
        is_admin = request.resolver_match is not None and "admin" in request.resolver_match.app_names
        if not is_admin and not getattr(view_func, "login_required", True):
            return None
        try:
            if is_admin and request.user.is_authenticated and not request.user.is_staff:
                raise PermissionDenied(STAFF_ONLY)
            return super().process_view(request, view_func, view_args, view_kwargs)
        except Error as error:
            if not is_away(error):
                raise
            return unavailable(request)


class DatabaseAwayMiddleware:
    """Answer 503 where a view needs the database and it is away."""

    def __init__(self, get_response: ResponseMaker) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        return self.get_response(request)

    def process_exception(self, request: HttpRequest, error: Exception) -> HttpResponse | None:
        return unavailable(request) if is_away(error) else None


class PageFootMiddleware:
    """Count a page's look-ups, SQL queries and milliseconds; show them in `Server-Timing` and at the page's foot."""

    def __init__(self, get_response: ResponseMaker) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        queries = QueryCounter()
        started = time.perf_counter()
        with collect_request_stats() as stats, ExitStack() as stack:
            for connection in connections.all():
                stack.enter_context(connection.execute_wrapper(queries))
            response = self.get_response(request)
        milliseconds = (time.perf_counter() - started) * 1000
        if stats.unchecked:  # RFC 9211
            response["Cache-Status"] = f'{settings.XYZ_REGION}; hit; detail="database away"'
        elif stats.lagging:
            response["Cache-Status"] = f'{settings.XYZ_REGION}; fwd=bypass; detail="readings may be missing"'
        lags = lags_shown()
        response["Server-Timing"] = server_timing(stats, queries.count, milliseconds, lags)
        if not response.streaming and FOOT_PLACE in response.content:
            foot = foot_line(stats, queries.count, milliseconds, lags)
            response.content = response.content.replace(FOOT_PLACE, foot.encode())
            if "Content-Length" in response:  # CommonMiddleware, further in, has measured the page without its foot
                response["Content-Length"] = str(len(response.content))
        return response


class QueryCounter:
    """A database execute wrapper (topics/db/instrumentation) that counts statements."""

    def __init__(self) -> None:
        self.count = 0

    def __call__(self, execute: Callable[..., Any], sql: str, params: Any, many: bool, context: dict[str, Any]) -> Any:
        self.count += 1
        return execute(sql, params, many, context)


def server_timing(stats: RequestStats, queries: int, milliseconds: float, lags: Mapping[str, Lag]) -> str:
    """Return the header's value (W3C Server-Timing); counts stand in `desc`, as `dur` is for milliseconds only."""
    return (
        f'region;desc="{settings.XYZ_REGION}", hits;desc="{stats.hits}", misses;desc="{stats.misses}", '
        f'sql;desc="{queries}", total;dur={milliseconds:.1f}'
        f"{''.join(lag_timing(name, lag) for name, lag in lags.items())}"
    )


def lag_timing(name: str, lag: Lag) -> str:
    duration = f";dur={lag.seconds * 1000:.0f}" if lag.is_known else ""
    return f', {name}{duration};desc="{lag.bytes} bytes behind"'


def foot_line(stats: RequestStats, queries: int, milliseconds: float, lags: Mapping[str, Lag]) -> str:
    away = " <strong>The database is away: this is what was last known.</strong>" if stats.unchecked else ""
    if stats.lagging:
        away += " <strong>The region does not answer: readings of the last minute may be missing.</strong>"
    return (
        f"<span>{settings.XYZ_REGION}</span> <span>{counted(stats.hits, 'cache hit')}</span> "
        f"<span>{counted(stats.misses, 'miss', 'misses')}</span> "
        f"<span>{counted(queries, 'SQL query', 'SQL queries')}</span> <span>{milliseconds:.0f} ms</span>"
        f"{''.join(lag_words(name, lag) for name, lag in lags.items())}{away}"
    )


def lag_words(name: str, lag: Lag) -> str:
    said = f"{lag.seconds:.1f} s" if lag.is_known else "far"
    return f" <span>{name} {said} behind</span>"


def counted(number: int, one: str, many: str = "") -> str:
    return f"{number} {one if number == 1 else many or one + 's'}"


class PageSecurityMiddleware:
    """Say with each answer what a browser may load for it and do with it, and that nobody may keep it.

    Whatever a view makes may show data of people: only a view that says so itself can be kept by caches. Static files
    are answered before, by WhiteNoise.
    """

    def __init__(self, get_response: ResponseMaker) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self.get_response(request)
        pages_of_django = settings.DEBUG and response.status_code >= 400  # styled in place
        if not pages_of_django:
            namespaces = request.resolver_match.namespaces if request.resolver_match else []
            policy = POLICIES.get(namespaces[0], PAGE_POLICY) if namespaces else PAGE_POLICY
            response.headers.setdefault("Content-Security-Policy", policy)
        response.headers.setdefault("Permissions-Policy", PERMISSIONS)
        response.headers.setdefault("Cache-Control", "no-store")
        return response


class PositionMiddleware:
    """Let a request see what its caller has written, also where it reads a replica that is behind.

    Of primary and replica the one is read where the other is found away.

    It stands outside of the session's, which writes when the others are done.
    """

    def __init__(self, get_response: ResponseMaker) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if not positions.are_used():
            return self.get_response(request)
        with in_scope(positions.scope_of(request)) as scope:
            response = self.get_response(request)
            if response.status_code == 503 and REPLICA in connections.settings and self._leaves(scope, request):
                response = self.get_response(request)  # nothing was committed: it may be done again, from the other one
            if DEFAULT_DB_ALIAS in scope.written:  # also where the request has failed in the end
                positions.carry(request, response, scope.ask(DEFAULT_DB_ALIAS))
        return response

    def _leaves(self, scope: ReadScope, request: HttpRequest) -> bool:
        """Return whether what a request was answered 503 for may be read from the other database."""
        if scope.leave_lost(REPLICA):
            return True
        ask_primary(DEFAULT_DB_ALIAS)  # where it is away, this one is to know, and the next
        return scope.leave_away(DEFAULT_DB_ALIAS, REPLICA) and has_body_still(request)


def has_body_still(request: HttpRequest) -> bool:
    """Return whether a request's body can be read once more, as it was not taken from the stream."""
    try:
        return request.body is not None
    except (RawPostDataException, RequestDataTooBig, UnreadablePostError):
        return False
