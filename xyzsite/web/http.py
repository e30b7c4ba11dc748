"""Requests as the pages get them, and answers with a whole page or with the part that htmx asks for."""

from collections.abc import Callable
from functools import partial, wraps
from typing import Any

from django.contrib.messages import get_messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.cache import patch_vary_headers
from django_htmx.middleware import HtmxDetails

from users.models import User
from xyzsite.kept import kept_answer


class PageRequest(HttpRequest):
    """A request of a signed-in user, as SignInRequiredMiddleware and HtmxMiddleware leave it."""

    user: User
    htmx: HtmxDetails
    is_poll: bool = False  # of a page that keeps itself up to date (xyzsite.web.live)


def render_part(request: PageRequest, page: str, part: str, target: str, context: dict[str, Any]) -> HttpResponse:
    """Render the template `part` where htmx asks to replace the element `target`, else the whole `page` around it."""
    asked_for_part = bool(request.htmx) and request.htmx.target == target and not request.htmx.history_restore_request
    response = render(request, part if asked_for_part else page, context | {"target": target, "part": asked_for_part})
    # Both stand at one address: no cache may take one for the other.
    patch_vary_headers(response, ["HX-Request", "HX-Target"])
    return response


def kept(view: Callable[..., HttpResponse]) -> Callable[..., HttpResponse]:
    """Answer with the page that the view has made for this visitor and address, if it would read the same now.

    Messages are shown once: a page that would show some is made for it, and not kept.
    """

    @wraps(view)
    def kept_view(request: PageRequest, *args: object, **kwargs: object) -> HttpResponse:
        make = partial(view, request, *args, **kwargs)
        if not request.is_poll and len(get_messages(request)):
            return make()
        return kept_answer(request, request.user, make)

    return kept_view


def page_number(request: HttpRequest) -> int:
    """Return the page that the query string asks for; 1 for nonsense."""
    text = request.GET.get("page", "")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else 1


def sort_from(request: HttpRequest, sorts: dict[str, Any], default: str = "name") -> str:
    """Return the order that the query string asks for, a leading dash turning it; the default for nonsense."""
    sort = request.GET.get("sort", "")
    return sort if sort.removeprefix("-") in sorts else default
