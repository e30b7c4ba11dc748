"""Sign-in that is refused after too many failures of a name or an address: what django-axes asks of us.

django-axes stands where Django checks a password, so that no page to sign in can be forgotten, the admin's included.
"""

import logging
from collections.abc import Iterator
from typing import Any

from axes.backends import AxesStandaloneBackend
from axes.handlers.base import AbstractAxesHandler, AxesBaseHandler
from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.template.loader import render_to_string

from users.models import User
from xyzsite.api.errors import ApiError, error_response
from xyzsite.throttling.addresses import client_address
from xyzsite.throttling.limits import Limit

logger = logging.getLogger(__name__)

Credentials = dict[str, Any]


class ThrottledBackend(AxesStandaloneBackend):
    """Refuse before a password is looked at. Without a request, as in a shell, there is nobody to refuse."""

    def authenticate(self, request: HttpRequest | None, **credentials: Any) -> None:
        if request is not None:
            super().authenticate(request, **credentials)


class FailureHandler(AbstractAxesHandler, AxesBaseHandler):
    """Counts failures; one that was refused is none, or whoever goes on trying would never get in again."""

    def is_locked(self, request: Any, credentials: Credentials | None = None) -> bool:
        request.axes_retry_after = max(limit.wait(caller) for limit, caller in limits(request, credentials))
        return bool(request.axes_retry_after)

    def get_failures(self, request: Any, credentials: Credentials | None = None) -> int:
        return max(limit.used(caller) for limit, caller in limits(request, credentials))

    def user_login_failed(self, sender: Any, credentials: Credentials, request: Any = None, **kwargs: Any) -> None:
        if request is None or request.axes_locked_out:
            return
        for limit, caller in limits(request, credentials):
            limit.add(caller)
            if seconds := limit.wait(caller):  # the name is not logged: it may be a password, in the wrong field
                address = client_address(request) or "an unknown address"
                logger.warning("%s: refused for %s s, the last failure was from %s.", limit.name, seconds, address)

    def user_logged_in(self, *args: Any, **kwargs: Any) -> None:
        """Keep what is counted: whoever has a password of their own could go on guessing others'."""

    def user_logged_out(self, *args: Any, **kwargs: Any) -> None:
        """Keep what is counted."""


def limits(request: HttpRequest, credentials: Credentials | None) -> Iterator[tuple[Limit, str]]:
    """Yield the limits on failures, each with whom it counts."""
    seconds = settings.XYZ_SIGN_IN_SECONDS
    name = str((credentials or {}).get(User.USERNAME_FIELD, ""))
    yield Limit("sign-in-name", settings.XYZ_SIGN_IN_FAILURES_PER_NAME, seconds), name
    if address := client_address(request):
        yield Limit("sign-in-address", settings.XYZ_SIGN_IN_FAILURES_PER_ADDRESS, seconds), address


def refusal(request: Any, response: HttpResponse, credentials: Credentials | None) -> HttpResponse:
    """Return what is answered instead of the sign-in page: JSON below /api/, elsewhere a page."""
    headers = {"Retry-After": str(request.axes_retry_after)}
    if request.path_info.startswith("/api/"):
        return error_response(ApiError(429, headers=headers))
    page = render_to_string("429.html", {"minutes": -(-request.axes_retry_after // 60)})
    return HttpResponse(page, status=429, headers=headers | {"Cache-Control": "no-store"})
