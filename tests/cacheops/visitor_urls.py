"""Cached views that look at who asks, and how, each in another way."""

from collections.abc import Callable
from typing import Any

from asgiref.sync import async_to_sync
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.template import Context, Engine, RequestContext
from django.urls import path
from django.utils import timezone, translation
from django.views.decorators.cache import cache_control
from django.views.decorators.vary import vary_on_cookie, vary_on_headers

from cacheops import cached, cached_view

LIBRARIES = {"cacheops": "cacheops.templatetags.cacheops", "menu": "tests.cacheops.menu"}
FORMS = {
    "fragment": "{% load cacheops %}{% cached 60 'form' %}{% csrf_token %}{% endcached %}",
    "menu": "{% load menu %}{% cache_menu 'form' %}{% csrf_token %}{% endcache_menu %}",
}


def said(text: object) -> HttpResponse:
    return HttpResponse(str(text), content_type="text/plain")


def is_staff(request: HttpRequest, **arguments: Any) -> bool:
    return bool(request.user.is_staff)


def user(request: HttpRequest) -> HttpResponse:
    return said(request.user.get_username())


def session(request: HttpRequest) -> HttpResponse:
    return said(request.session.get("color"))


def cookie(request: HttpRequest) -> HttpResponse:
    return said(request.COOKIES.get("color"))


def csrf(request: HttpRequest) -> HttpResponse:
    return HttpResponse(Engine().from_string("{% csrf_token %}").render(RequestContext(request)))


def form(request: HttpRequest, kind: str, staff: bool = False) -> HttpResponse:
    template = Engine(libraries=LIBRARIES).from_string(FORMS[kind])
    return HttpResponse(template.render(RequestContext(request, {"staff": staff})))


def nonce(request: HttpRequest) -> HttpResponse:
    request._csp_nonce = request.headers.get("X-Any")  # type: ignore[attr-defined]  # as the middleware does
    return said(request.headers.get("X-Any"))


def message(request: HttpRequest) -> HttpResponse:
    return said([str(one) for one in messages.get_messages(request)])


def add_message(request: HttpRequest) -> HttpResponse:
    messages.info(request, "Well done.")
    return said("added")


def method(request: HttpRequest) -> HttpResponse:
    return HttpResponse(headers={"X-Method": str(request.method)})


def address(request: HttpRequest) -> HttpResponse:
    return said(request.build_absolute_uri())


def language(request: HttpRequest) -> HttpResponse:
    return said(translation.gettext("Monday"))


def zone(request: HttpRequest) -> HttpResponse:
    return said(timezone.get_current_timezone_name())


def htmx(request: HttpRequest) -> HttpResponse:
    return said((request.headers.get("HX-Request"), request.headers.get("X-Requested-With")))


def authorization(request: HttpRequest) -> HttpResponse:
    return said(request.headers.get("Authorization"))


def agent(request: HttpRequest) -> HttpResponse:
    return said(request.headers.get("User-Agent"))


def agent_of_meta(request: HttpRequest) -> HttpResponse:
    return said(request.META["HTTP_USER_AGENT"])


def named_as_messages(request: HttpRequest) -> HttpResponse:
    return said(request.headers.get("Messages"))


def waiting(request: HttpRequest) -> HttpResponse:
    return said(len(messages.get_messages(request)))


def asks_first(respond: Callable[[HttpRequest], HttpResponse]) -> Callable[[HttpRequest], HttpResponse]:
    """A middleware after which a request remembers who asks."""

    def answer(request: HttpRequest) -> HttpResponse:
        if request.path == "/user_later/":
            user_later(request)
        return respond(request)

    return answer


def user_later(request: HttpRequest) -> HttpResponse:
    return said(async_to_sync(request.auser)())  # type: ignore[arg-type]


def client(request: HttpRequest) -> HttpResponse:
    return said(request.META["REMOTE_ADDR"])


def staff(request: HttpRequest) -> HttpResponse:
    return said(request.user.is_staff)


def arguments(request: HttpRequest, number: int) -> HttpResponse:
    return said((number, request.user.is_staff))


@vary_on_headers("Accept")
def accept(request: HttpRequest) -> HttpResponse:
    return said(request.headers.get("Accept"))


@vary_on_cookie
def vary_cookie(request: HttpRequest) -> HttpResponse:
    return said(request.META.get("HTTP_COOKIE") or None)


@vary_on_headers("*")
def vary_all(request: HttpRequest) -> HttpResponse:
    return said(request.headers.get("X-Any"))


@cache_control(private=True)
def private(request: HttpRequest) -> HttpResponse:
    return said(request.headers.get("X-Any"))


def set_cookie(request: HttpRequest) -> HttpResponse:
    response = said(request.headers.get("X-Any"))
    response.set_cookie("any", request.headers.get("X-Any") or "")
    return response


def everybody(request: HttpRequest) -> HttpResponse:
    return said("for everybody")


@cached(timeout=60)
def greeting_of(request: HttpRequest) -> str:
    return f"{request.COOKIES.get('color')} {request.headers.get('Authorization')}"


def by_function(request: HttpRequest) -> HttpResponse:
    return said(greeting_of(request))


@cached(timeout=60)
def weekday() -> str:
    return f"{translation.gettext('Monday')} {timezone.get_current_timezone_name()}"


def in_fragment(text: str) -> str:
    engine = Engine(libraries={"cacheops": "cacheops.templatetags.cacheops", "i18n": "django.templatetags.i18n"})
    source = "{% load cacheops i18n %}{% cached 60 'day' %}{% translate 'Monday' %}{{ text }}{% endcached %}"
    return engine.from_string(source).render(Context({"text": text}))


def greeting(request: HttpRequest) -> HttpResponse:
    return said(greeting_of(request))


VIEWS: tuple[Callable[..., HttpResponse], ...] = (
    user, session, cookie, csrf, message, add_message, method, address, language, zone, htmx, authorization,
    agent, agent_of_meta, client, nonce,
    accept, vary_cookie, vary_all, private, set_cookie, everybody,
    named_as_messages, user_later, greeting,
)  # fmt: skip

cached_views = {view.__name__: cached_view(timeout=60)(view) for view in VIEWS}
cached_views["staff"] = cached_view(timeout=60, extra=is_staff)(staff)
cached_views["staff_token"] = cached_view(timeout=60, extra=is_staff, key="staff_token")(csrf)
cached_views["staff_message"] = cached_view(timeout=60, extra=is_staff, key="staff_message")(message)
cached_views["staff_waiting"] = cached_view(timeout=60, extra=is_staff)(waiting)
numbered = cached_view(timeout=60, extra=is_staff)(arguments)

urlpatterns = [path(f"{name}/", view) for name, view in cached_views.items()]
urlpatterns += [
    path("fragment/", form, {"kind": "fragment"}),
    path("menu/", form, {"kind": "menu"}),
    path("menu_uncached/", form, {"kind": "menu", "staff": True}),
    path("by_function/", by_function),
    path("arguments/<int:number>/", numbered),
    path("add_message_now/", add_message),
]
