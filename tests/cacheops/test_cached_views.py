"""cached_view and cached_view_as: responses as entries, invalidated by their samples or their addresses."""

import uuid
from typing import Any

import pytest
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.test import RequestFactory
from django.utils.decorators import method_decorator
from django.views.generic import View

from cacheops import cached_view, cached_view_as
from cacheops.exceptions import InvalidKey
from locations.models import Location

pytestmark = pytest.mark.django_db(transaction=True)

KEPT = ("Private", "no-cache", "no-store", "public")  # directives of Cache-Control


@pytest.fixture(autouse=True)
def _prefix(settings: Any) -> None:
    settings.CACHEOPS_PREFIX = f"t-{uuid.uuid4().hex[:8]}"


@pytest.fixture
def harbor() -> Location:
    return Location.objects.create(name="Harbor", code="harbor")


def test_a_view_is_answered_from_the_cache_until_its_sample_changes(harbor: Location) -> None:
    calls = []

    @cached_view_as(Location, timeout=60, key="a_view_is_answered_from_the_cache_until_its_sample_changes")
    def view(request: object) -> HttpResponse:
        calls.append(1)
        response = HttpResponse(Location.objects.get(code="harbor").name, content_type="text/plain")
        response["X-Kept"] = "yes"
        return response

    ask = RequestFactory().get
    first, second = view(ask("/a")), view(ask("/a"))
    assert first.content == second.content == b"Harbor"
    assert second["X-Kept"] == "yes"
    assert second["Content-Type"] == "text/plain"
    view(ask("/a?page=2"))
    assert len(calls) == 2
    Location.objects.update(name="Pier")
    assert view(ask("/a")).content == b"Pier"


def test_a_view_is_invalidated_by_its_address() -> None:
    calls = []

    @cached_view(timeout=60, key="by_address")
    def view(request: HttpRequest, number: int = 0) -> HttpResponse:
        calls.append(request.method)
        return HttpResponse("here")

    ask = RequestFactory()
    path = "/a?x=%C3%BC"
    requests = [ask.get(path), ask.head(path), ask.get(path, headers={"hx-request": "true"})]

    def count() -> int:
        before = len(calls)
        for request in [*requests, ask.get("/b")]:
            view(request)
        view(requests[0], number=1)
        return len(calls) - before

    assert (count(), count()) == (5, 0)
    for address in (
        "http://testserver/a?x=%C3%BC",
        "http://TestServer/a?x=ü",
        "http://testserver/a?x=ü#top",
        "HTTP://testserver./a?x=%c3%bc",
        "http://testserver:80/%61?%78=%C3%bc",
        requests[0],
    ):
        view.invalidate(address)  # type: ignore[attr-defined]
        assert (count(), count()) == (4, 0)
    view.invalidate("https://testserver/a?x=ü")  # type: ignore[attr-defined]
    assert count() == 0


def test_an_address_is_invalidated_however_it_is_written() -> None:
    calls = []

    @cached_view(timeout=60, key="however it is written")
    def view(request: HttpRequest) -> HttpResponse:
        calls.append(1)
        return HttpResponse("here")

    asked = RequestFactory().get("/c d/?q=a+b", secure=True)
    for host in ("testserver", "TestServer:443", "testserver."):
        for query in ("q=a+b", "q=a%20b", "%71=a%20%62"):
            view(asked)
            view.invalidate(f"https://{host}/c%20d/?{query}")  # type: ignore[attr-defined]
    view(asked)
    assert len(calls) == 10
    calls.clear()
    for address in (
        "https://testserver:80/c%20d/?q=a+b",
        "http://testserver/c%20d/?q=a+b",
        "https://testserver/c%20d/",
    ):
        view.invalidate(address)  # type: ignore[attr-defined]
        view(asked)
    assert not calls
    for text in (
        "/a",
        "testserver/a",
        "",
        "a view's name",
        "ftp://testserver/a",
        "http://sam@testserver/",
        "http://a:b/",
    ):
        with pytest.raises(InvalidKey, match="no full address"):
            view.invalidate(text)  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("host", "written"),
    [
        ("xn--bcher-kva.example", "http://Bücher.example/a"),
        ("[::1]:8000", "http://[::1]:8000/%61"),
        ("site.example:99999", None),  # no address: Django answers it all the same
        (f"{'a' * 64}..example", None),
    ],
)
def test_a_host_is_known_however_it_is_written(settings: Any, host: str, written: str | None) -> None:
    settings.ALLOWED_HOSTS = ["*"]
    calls = []

    @cached_view(timeout=60, key=f"at {host}")
    def view(request: HttpRequest) -> HttpResponse:
        calls.append(1)
        return HttpResponse("here")

    asked = RequestFactory().get("/a", headers={"host": host})
    for _ in range(2):
        view(asked)
        view(asked)
        view.invalidate(written or asked)  # type: ignore[attr-defined]
    assert len(calls) == 2


def test_a_class_based_view_is_cached_by_its_method() -> None:
    calls = []

    @method_decorator(cached_view(timeout=60, key="class_based"), name="dispatch")
    class Page(View):
        def get(self, request: HttpRequest) -> HttpResponse:
            calls.append(1)
            return HttpResponse(request.headers.get("X-Any"))

    page = Page.as_view()
    vars(View.dispatch).pop("_cacheops_varies", None)
    for _ in range(3):  # the first tells that it varies on a header
        for value in "ab":
            assert page(RequestFactory().get("/a", headers={"x-any": value})).content == value.encode()
    assert len(calls) == 3


def test_posts_errors_cookies_and_streams_pass_the_cache() -> None:
    calls = []

    def with_cookie() -> HttpResponse:
        response = HttpResponse("hello")
        response.set_cookie("who", "sam")
        return response

    answers = {
        "/error": lambda: HttpResponse(status=404),
        "/cookie": with_cookie,
        "/stream": lambda: StreamingHttpResponse([b"a"]),
        **{
            f"/{kept}": lambda kept=kept: HttpResponse(headers={"Cache-Control": f"max-age=9, {kept}"}) for kept in KEPT
        },
        "/post": lambda: HttpResponse("done"),
    }

    @cached_view(timeout=60, key="posts_errors_cookies_and_streams_pass_the_cache")
    def view(request: object) -> HttpResponse:
        calls.append(request.path)
        return answers[request.path]()

    factory = RequestFactory()
    passing = ("/error", "/cookie", "/stream", "/Private", "/no-cache", "/no-store")
    for path in (*passing, "/public"):
        view(factory.get(path))
        view(factory.get(path))
    view(factory.post("/post"))
    view(factory.post("/post"))
    assert calls == [path for path in passing for _ in range(2)] + ["/public", "/post", "/post"]
