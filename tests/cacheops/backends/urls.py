"""Pages for the tests of this folder."""

import itertools

from django.http import HttpResponse
from django.urls import path
from django.views.decorators.cache import cache_page

calls = itertools.count(1)


def counted(request):
    return HttpResponse(f"call {next(calls)} for {request.GET.get('q', 'nobody')}")


def visit(request):
    request.session["visits"] = request.session.get("visits", 0) + 1
    return HttpResponse(request.session["visits"])


def leave(request):
    request.session.flush()
    return HttpResponse("left")


urlpatterns = [
    path("counted", cache_page(60)(counted)),
    path("visit", visit),
    path("leave", leave),
]
for pattern in urlpatterns:
    pattern.callback.login_required = False
