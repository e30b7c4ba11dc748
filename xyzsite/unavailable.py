"""The answer to what can't be answered while the database is away: 503, with the seconds after which to ask again."""

import sys

from django.http import HttpRequest, HttpResponse
from django.template.loader import render_to_string
from django.views import defaults

from cacheops.regions.database_away import is_away
from xyzsite.api.errors import UNAVAILABLE_SECONDS, ApiError, error_response


def unavailable(request: HttpRequest) -> HttpResponse:
    """Return the answer: JSON below /api/, elsewhere a page that asks nothing of the database."""
    if request.path_info.startswith("/api/"):
        return error_response(ApiError(503))
    return HttpResponse(
        render_to_string("503.html", {"seconds": UNAVAILABLE_SECONDS}),
        status=503,
        headers={"Retry-After": str(UNAVAILABLE_SECONDS), "Cache-Control": "no-store"},
    )


def server_error(request: HttpRequest) -> HttpResponse:
    """Answer an error that no view has raised, but a session that is saved, or an error page that names the user."""
    error = sys.exception()
    return unavailable(request) if error is not None and is_away(error) else defaults.server_error(request)
