"""What is read of a request while a cached view or function runs: whatever tells one visitor from others is noticed."""

import json
import re
import uuid
from collections.abc import Callable
from typing import Any

import pytest
from django.http import HttpRequest, HttpResponse
from django.middleware.csrf import get_token
from django.template import Engine, RequestContext
from django.test import AsyncRequestFactory, RequestFactory

from cacheops import cached, cached_view
from tests.cacheops import visitor_urls
from users.models import User

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _prefix(settings: Any) -> None:
    settings.CACHEOPS_PREFIX = f"t-{uuid.uuid4().hex[:8]}"


READS: dict[str, Callable[[Any], Any]] = {
    "csrf cookie": lambda request: request.META["CSRF_COOKIE"],
    "certificate": lambda request: request.META.get("SSL_CLIENT_S_DN"),
    "shibboleth": lambda request: "eppn" in request.META and request.META["eppn"],
    "set default": lambda request: request.META.setdefault("GEOIP_CITY", ""),
    "popped": lambda request: request.META.pop("GEOIP_CITY"),
    "client": lambda request: request.META["REMOTE_ADDR"],
    "content type": lambda request: request.META.get("CONTENT_TYPE"),
    "content type of the request": lambda request: request.content_params,
    "charset": lambda request: request.GET["q"],
    "items": lambda request: [value for key, value in request.META.items() if key == "eppn"],
    "values": lambda request: [value for value in request.META.values() if "visitor" in str(value)],
    "names": lambda request: [key for key in request.META if key.startswith("X_")],
    "names backwards": lambda request: [key for key in reversed(request.META) if key.startswith("X_")],
    "dict": lambda request: dict(request.META)["eppn"],
    "unpacked": lambda request: {**request.META}["eppn"],
    "merged": lambda request: (request.META | {})["eppn"],
    "copy": lambda request: request.META.copy()["eppn"],
    "text": lambda request: re.findall("visitor-.", str(request.META)),
    "named as ours": lambda request: (request.META["user"], request.META["META"]),
    "environ": lambda request: request.environ["eppn"],
    "environ's header": lambda request: request.environ["HTTP_X_ANY"],
    "header": lambda request: request.headers["X-Any"],
    "header named as ours": lambda request: (request.headers["User"], request.headers["Cookies"]),
    "headers": lambda request: [name for name in request.headers if name.startswith("X-")],
    "headers' items": lambda request: [item for item in request.headers.items() if item[0].startswith("X-")],
    "dict of headers": lambda request: dict(request.headers)["X-Any"],
    "text of headers": lambda request: str(request.headers),
    "how many headers": lambda request: len(request.headers),
    "accepts": lambda request: request.accepts("text/a"),
    "preferred": lambda request: request.get_preferred_type(["text/a", "text/b"]),
    "body": lambda request: request.body.decode(),
    "body again": lambda request: request.body.decode(),
    "read": lambda request: request.read().decode(),
    "lines": lambda request: [line.decode() for line in request],
    "input": lambda request: request.META["wsgi.input"].read().decode(),
    "scope": lambda request: request.scope["user"],
    "scope's headers": lambda request: [value.decode() for name, value in request.scope["headers"] if name == b"x-any"],
    "scope's client": lambda request: request.scope["client"][0],
}
ASYNC = ("scope", "scope's headers", "scope's client")


def asked_by_visitor(read: str, name: str) -> HttpRequest:
    headers = {
        "x-any": name,
        "user": name,
        "cookies": name,
        "x-" + name: "1",
        "accept": f"text/{name}",
        **({"x-more": "1"} if name == "a" else {}),
    }
    mine = f"visitor-{name}"
    if read in ASYNC:
        request: Any = AsyncRequestFactory().get("/page", headers=headers)
        request.scope |= {"user": mine, "client": (f"10.0.0.{len(name)}{ord(name)}", 1)}
        return request  # type: ignore[no-any-return]
    meta = dict.fromkeys(("CSRF_COOKIE", "SSL_CLIENT_S_DN", "eppn", "GEOIP_CITY", "user", "META", f"X_{name}"), mine)
    charset = "latin-1" if name == "b" and read.startswith(("content", "charset")) else "utf-8"
    request = RequestFactory().generic(
        "GET", "/page", mine, f"text/plain; charset={charset}", QUERY_STRING="q=%C3%BC", headers=headers,
        REMOTE_ADDR=f"10.0.0.{ord(name)}", **meta,
    )  # fmt: skip
    if read in ("accepts", "body again"):
        READS[read](request)  # as middleware may have done already
    return request  # type: ignore[no-any-return]


@pytest.mark.parametrize("read", READS)
@pytest.mark.parametrize("kind", ["view", "function", "nested", "closure"])
def test_whatever_is_read_of_a_request_is_for_its_visitor(read: str, kind: str) -> None:
    def shown(request: HttpRequest) -> str:
        return json.dumps(READS[read](request), default=str)

    view = cached_view(timeout=60, key=f"view of {read}")(lambda request: visitor_urls.said(shown(request)))
    function = cached(timeout=60, key=f"function of {read}")(shown)
    nested = cached(timeout=60, key=f"nested of {read}")(lambda given: shown(given["request"][0]))

    def ask(name: str) -> str:
        request = asked_by_visitor(read, name)
        if kind == "view":
            return view(request).content.decode()
        if kind == "function":
            return function(request)
        if kind == "nested":
            return nested({"request": [request]})
        return cached(timeout=60)(closure(request, read))()

    expected = {name: shown(asked_by_visitor(read, name)) for name in "ab"}
    assert expected["a"] != expected["b"]
    assert [ask(name) for name in "aabbab"] == [expected[name] for name in "aabbab"]


def closure(request: HttpRequest, read: str) -> Callable[[], str]:
    return lambda: json.dumps(READS[read](request), default=str)


HARMLESS: dict[str, Callable[[Any], Any]] = {
    "path": lambda request: (request.path, request.META["PATH_INFO"], request.META.get("SCRIPT_NAME")),
    "query": lambda request: (request.GET, request.META["QUERY_STRING"], request.environ["QUERY_STRING"]),
    "address": lambda request: (request.build_absolute_uri("/b"), request.get_host(), request.get_port()),
    "scheme": lambda request: (request.is_secure(), request.environ["wsgi.url_scheme"]),
    "method": lambda request: (request.method, request.META["REQUEST_METHOD"], request.POST),
    "fragment": lambda request: (
        Engine(libraries=visitor_urls.LIBRARIES)
        .from_string("{% load cacheops %}{% cached 60 'plain' %}text{% endcached %}")
        .render(RequestContext(request))
    ),
    "context": lambda request: (
        Engine(
            context_processors=[
                f"django.{name}"
                for name in (
                    "template.context_processors.request",
                    "template.context_processors.i18n",
                    "contrib.auth.context_processors.auth",
                    "contrib.messages.context_processors.messages",
                )
            ]
        )
        .from_string("{{ request.path }}")
        .render(RequestContext(request))
    ),
}


@pytest.mark.parametrize("read", HARMLESS)
@pytest.mark.parametrize("kind", ["view", "function"])
def test_what_tells_nothing_of_a_visitor_is_shared(read: str, kind: str) -> None:
    calls = []

    def shown(request: HttpRequest) -> str:
        calls.append(1)
        return str(HARMLESS[read](request))

    view = cached_view(timeout=60, key=f"view of {read}")(lambda request: visitor_urls.said(shown(request)))
    ask = view if kind == "view" else cached(timeout=60, key=f"function of {read}")(shown)
    for name in "ab":
        ask(RequestFactory().get("/page?a=1", REMOTE_ADDR=f"10.0.0.{ord(name)}", headers={"x-any": name}))
    assert calls == [1]


def test_a_cookie_that_is_set_as_a_header_is_not_shared() -> None:
    def view(request: HttpRequest) -> HttpResponse:
        return HttpResponse(headers={"Set-Cookie": f"number={next(numbers)}"})

    numbers = iter(range(9))
    kept = cached_view(timeout=60, key="cookie as a header")(view)
    assert [kept(RequestFactory().get("/"))["Set-Cookie"] for _ in range(2)] == ["number=0", "number=1"]


# --- requests as arguments --------------------------------------------------------------------------------------------


def test_a_result_is_for_the_visitor_of_the_request_that_it_was_made_of() -> None:
    calls = []

    @cached(timeout=60, key="greeting")
    def greeting(request: Any) -> str:
        calls.append(1)
        return f"{request.user.pk} {request.session.get('color')} {request.COOKIES.get('color')}"

    def ask(pk: int | None, session: str, color: str) -> str:
        request: Any = RequestFactory().get("/", headers={"cookie": f"color={color}"} if color else {})
        request.user, request.session = User(pk=pk), SessionOf(session)  # as of middleware that goes by a header
        return greeting(request)

    asked = [(1, "s", ""), (2, "s", ""), (None, "s", ""), (None, "t", ""), (None, "t", "red"), (1, "s", "")]
    assert [ask(*one) for one in asked] == [f"{pk} {session} {color or None}" for pk, session, color in asked]
    assert len(calls) == 5


class SessionOf(dict[str, str]):
    def __init__(self, key: str) -> None:
        self.session_key = key
        super().__init__(color=key)


def test_a_function_gives_no_token_to_another_visitor() -> None:
    token = cached(timeout=60, key="token", extra=lambda request: 1)(lambda request: get_token(request))
    assert token(RequestFactory().get("/")) != token(RequestFactory().get("/"))
    secret = cached_view(timeout=60, key="secret", extra=lambda request: 1)(
        lambda request: visitor_urls.said(request.META["CSRF_COOKIE"])
    )
    assert [secret(RequestFactory().get("/", CSRF_COOKIE=name)).content for name in "ab"] == [b"a", b"b"]


def test_what_was_posted_is_for_the_one_who_did() -> None:
    posted = cached(timeout=60, key="posted")(lambda request: request.POST["name"])
    for read_before in (False, True):
        requests = [RequestFactory().post("/", {"name": name}) for name in "ab"]
        assert not read_before or [request.POST["name"] for request in requests] == ["a", "b"]
        assert [posted(request) for request in requests] == ["a", "b"]


def test_a_function_in_a_function_is_kept_where_both_may_be() -> None:
    calls = []

    @cached(timeout=60, key="inner")
    def inner(request: HttpRequest) -> str:
        calls.append("inner")
        return f"{request.COOKIES.get('color')} {request.META.get('HTTP_X_ANY')}"

    @cached(timeout=60, key="outer")
    def outer(request: HttpRequest) -> str:
        calls.append("outer")
        return inner(request)

    @cached(timeout=60, key="outermost")
    def outermost(request: HttpRequest) -> str:
        calls.append("outermost")
        return request.COOKIES["color"] + plain_inner(request)

    plain_inner = cached(timeout=60, key="plain inner")(lambda request: request.COOKIES["color"])
    for name in "ab":
        request = RequestFactory().get("/", headers={"x-any": name, "cookie": "color=red"})
        assert outer(request) == f"red {name}"
        assert outermost(request) == "redred"
    assert calls == ["outer", "inner", "outermost", "outer", "inner"]


def test_the_refusal_of_a_function_says_what_to_do(caplog: pytest.LogCaptureFixture) -> None:
    def told(request: HttpRequest) -> Any:
        return request.headers.get("X-Api-Key")

    by_key = cached(timeout=60, extra=lambda request: request.headers.get("X-Api-Key"), key="by key")(told)
    name = f"told {uuid.uuid4()}"  # the log says it once a minute
    for one in (cached(timeout=60, key=name)(told), by_key):
        for _ in range(2):
            for value in "ab":
                assert one(RequestFactory().get("/", headers={"x-api-key": value})) == value
    assert [record.getMessage() for record in caplog.records] == [
        f"{name} is not cached, as it uses the visitor's headers[x-api-key]: "
        "say by extra=lambda request, …: … what it depends on."
    ]
    assert by_key.key(RequestFactory().get("/", headers={"x-api-key": "a"})).get() == "a"
