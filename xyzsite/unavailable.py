"""The answer to what can't be answered while the database is away: 503, with the seconds after which to ask again."""

from django.http import HttpRequest, HttpResponse
from django.template.loader import render_to_string

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
