"""What one visitor got is never answered to another: cookies, users, tokens, languages, hosts, methods, headers."""

import inspect
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.http import HttpRequest, HttpResponse
from django.test import Client, RequestFactory
from django.utils import timezone, translation

from cacheops import cached, cached_view
from tests.cacheops import visitor_urls
from users.models import User

pytestmark = pytest.mark.django_db

Ask = Callable[[], Any]


@pytest.fixture(autouse=True)
def _site(settings: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    settings.CACHEOPS_PREFIX = f"t-{uuid.uuid4().hex[:8]}"
    settings.ROOT_URLCONF = "tests.cacheops.visitor_urls"
    settings.MIDDLEWARE = [
        "django.contrib.sessions.middleware.SessionMiddleware",
        "django.middleware.locale.LocaleMiddleware",
        "django.middleware.csrf.CsrfViewMiddleware",
        "django.contrib.auth.middleware.AuthenticationMiddleware",
        "django.contrib.messages.middleware.MessageMiddleware",
        "tests.cacheops.visitor_urls.asks_first",
    ]
    settings.LANGUAGES = [("en", "English"), ("de", "German")]
    settings.USE_I18N = True
    monkeypatch.setattr(translation, "_trans", type(translation._trans)())  # it looks at USE_I18N once
    new_process()
    yield
    translation.activate("en")


def new_process() -> None:
    """Have the views forget what this process has found their responses to vary on."""
    for view in visitor_urls.VIEWS:
        vars(inspect.unwrap(view)).pop("_cacheops_varies", None)


def visitor(name: str = "", **flags: bool) -> Client:
    client = Client()
    if name:
        client.force_login(User.objects.create_user(name, **flags))
    return client


def text_of(client: Client, page: str, **options: Any) -> str:
    response = client.get(f"/{page}/", **options)
    assert response.status_code == 200
    return response.content.decode()


def with_session(color: str) -> Client:
    client = Client()
    session = client.session
    session["color"] = color
    session.save()
    return client


def with_cookie(color: str) -> Client:
    client = Client()
    client.cookies["color"] = color
    return client


# --- who asks ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("page", ["user", "session", "cookie", "vary_cookie", "by_function"])
def test_what_depends_on_a_visitor_is_for_that_one(page: str) -> None:
    if page == "user":
        pairs = [(visitor("ann"), "ann"), (visitor("bob"), "bob"), (visitor(), "")]
    else:
        make = with_session if page == "session" else with_cookie
        pairs = [(make(color), color) for color in ("red", "blue")] + [(Client(), "None")]
    for _ in range(2):
        for client, expected in pairs:
            assert expected in text_of(client, page)


def test_the_refusal_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    vars(visitor_urls.user).pop("_cacheops_told", None)
    for name in ("ann", "bob"):
        text_of(visitor(name), "user")
    told = [record.getMessage() for record in caplog.records if "visitor_urls.user" in record.getMessage()]
    assert told == [
        "tests.cacheops.visitor_urls.user is not cached, as it uses the visitor's session, user: "
        "say by extra=lambda request, …: … what it depends on."
    ]


def test_extra_says_what_a_response_depends_on() -> None:
    flags = {"ann": True, "bob": False, "eve": True}
    people = [(visitor(name, is_staff=flag), str(flag)) for name, flag in flags.items()]
    for client, expected in [*people, *reversed(people)]:
        assert text_of(client, "staff") == expected
        assert text_of(client, "arguments/7") == f"(7, {expected})"
    assert hits(lambda: [text_of(client, "staff") for client, _ in people]) == 3
    for page in ("staff_message", "staff_message", "staff_message"):
        text_of(people[0][0], page)
    assert hits(lambda: text_of(people[2][0], "staff_message")) == 1  # where no message waits


def test_a_token_is_for_one_visitor_whatever_extra_says() -> None:
    for page in ("csrf", "staff_token", "fragment", "menu", "menu_uncached"):
        ann, bob = visitor(), visitor()
        for _ in range(2):
            for client in (ann, bob):
                form = text_of(client, page)
                assert "csrfmiddlewaretoken" in form
                assert client.cookies["csrftoken"].value
        assert ann.cookies["csrftoken"].value != bob.cookies["csrftoken"].value


def test_messages_are_shown_to_the_one_that_they_are_for() -> None:
    for page in ("message", "staff_message"):
        ann, bob = visitor(), visitor()
        text_of(ann, "add_message_now")
        assert text_of(ann, page) == "['Well done.']"
        assert text_of(bob, page) == "[]"
        text_of(bob, "add_message")
        text_of(ann, "add_message")
        assert text_of(ann, page) == "['Well done.']"
        assert text_of(bob, page) == "['Well done.']"


def test_how_many_messages_wait_tells_visitors_apart() -> None:
    """Without a look at any of them, and whatever extra says."""
    people = [(visitor(), 2), (visitor(), 1), (visitor(), 0)]
    for client, count in people:
        for _ in range(count):
            text_of(client, "add_message_now")
    for client, count in [*people, *reversed(people)]:
        assert text_of(client, "staff_waiting") == str(count)
    assert hits(lambda: text_of(visitor(), "staff_waiting")) == 1


def test_requests_with_credentials_pass_the_cache() -> None:
    for token in ("Bearer a", "Bearer b"):
        assert text_of(Client(), "authorization", headers={"authorization": token}) == token
        assert token in text_of(Client(), "by_function", headers={"authorization": token})
    assert text_of(Client(), "authorization") == "None"
    assert hits(lambda: text_of(Client(), "authorization")) == 1


def test_what_a_view_does_to_its_request_is_seen_after_it() -> None:
    def change(request: HttpRequest) -> HttpResponse:
        del request.META["HTTP_X_ANY"]
        request.META["HTTP_X_OTHER"] = "set"
        return HttpResponse()

    request = RequestFactory().get("/", headers={"x-any": "1"})
    meta = request.META
    cached_view(timeout=60, key="change")(change)(request)
    assert request.META is meta
    assert "HTTP_X_ANY" not in meta
    assert meta["HTTP_X_OTHER"] == "set"


def test_a_user_that_is_asked_for_later_is_the_visitors() -> None:
    for _ in range(2):
        for name in ("ann", "bob"):
            client = visitor(f"{name}-{uuid.uuid4().hex[:6]}")
            assert name in text_of(client, "user_later")


def test_what_depends_on_a_request_by_a_function_does_so_by_a_view() -> None:
    for _ in range(2):
        for color in ("None", "red", "None", "blue"):
            client = Client() if color == "None" else with_cookie(color)
            assert color in text_of(client, "greeting")


# --- how it is asked --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("page", "one", "other"),
    [
        ("address", {"headers": {"host": "one.example"}}, {"headers": {"host": "two.example"}}),
        ("address", {"secure": True}, {"secure": False}),
        ("address", {"query_params": {"a": "1"}}, {"query_params": {"a": "2"}}),
        ("language", {"headers": {"accept-language": "en"}}, {"headers": {"accept-language": "de"}}),
        ("htmx", {"headers": {"hx-request": "true"}}, {}),
        ("htmx", {"headers": {"x-requested-with": "XMLHttpRequest"}}, {}),
        ("accept", {"headers": {"accept": "text/html"}}, {"headers": {"accept": "application/json"}}),
        ("agent", {"headers": {"user-agent": "a"}}, {"headers": {"user-agent": "b"}}),
        ("agent_of_meta", {"headers": {"user-agent": "a"}}, {"headers": {"user-agent": "b"}}),
        ("client", {"REMOTE_ADDR": "10.0.0.1"}, {"REMOTE_ADDR": "10.0.0.2"}),
        ("vary_all", {"headers": {"x-any": "1"}}, {"headers": {"x-any": "2"}}),
        ("private", {"headers": {"x-any": "1"}}, {"headers": {"x-any": "2"}}),
        ("nonce", {"headers": {"x-any": "1"}}, {"headers": {"x-any": "2"}}),
        ("set_cookie", {"headers": {"x-any": "1"}}, {"headers": {"x-any": "2"}}),
    ],
)
def test_what_is_asked_in_another_way_is_another_response(page: str, one: Any, other: Any) -> None:
    for first, second in ((one, other), (other, one)):
        answers = [text_of(Client(), page, **options) for options in (first, second, first, second)]
        assert answers[0] != answers[1]
        assert answers[:2] == answers[2:]


@pytest.mark.parametrize("page", ["address", "language", "htmx", "accept", "agent", "everybody"])
def test_what_is_alike_is_a_hit(page: str) -> None:
    for _ in range(2):  # which header it varies on is known from the first response on
        text_of(visitor(f"u-{uuid.uuid4().hex[:6]}"), page)
    assert hits(lambda: text_of(visitor("ann"), page)) == 1


@pytest.mark.parametrize("page", ["accept", "agent", "agent_of_meta", "named_as_messages"])
def test_what_one_process_has_found_does_not_mislead_another(page: str) -> None:
    """Which headers a response varies on is each process' own knowledge; what they keep is for all of them."""
    name = {"accept": "accept", "named_as_messages": "messages"}.get(page, "user-agent")
    asked: list[dict[str, Any]] = [{"headers": {name: value}} for value in ("a", "b")]
    if page != "agent_of_meta":
        asked.append({})  # without it
    expected = ["a", "b", "None"]
    for stored in range(len(asked)):
        for _ in range(2):  # the second is kept
            assert text_of(Client(), page, **asked[stored]) == expected[stored]
        new_process()
        for options, text in zip(asked, expected, strict=False):
            assert text_of(Client(), page, **options) == text
            new_process()


def test_get_and_head_are_two_responses() -> None:
    client = Client()
    for ask in (client.get, client.head, client.get, client.head):
        assert ask("/method/")["X-Method"] == ask.__name__.upper()
    assert client.post("/method/")["X-Method"] == "POST"


def test_a_time_zone_and_a_language_are_part_of_every_result() -> None:
    for _ in range(2):
        for language, day in (("en", "Monday"), ("de", "Montag")):
            for zone in ("Asia/Tokyo", "UTC"):
                with translation.override(language), timezone.override(zone):
                    assert visitor_urls.weekday() == f"{day} {zone}"
                    assert visitor_urls.in_fragment("!") == f"{day}!"
                    request = RequestFactory().get("/zone/")
                    assert visitor_urls.cached_views["zone"](request).content == zone.encode()


def test_invalidation_reaches_every_language() -> None:
    calls = []
    day = cached(timeout=60, key="day")(lambda name: calls.append(name))
    for language in ("en", "de", "en"):
        with translation.override(language):
            day("a")
    assert len(calls) == 2
    day.invalidate("a")
    for language in ("en", "de"):
        with translation.override(language):
            day("a")
    assert len(calls) == 4


def hits(ask: Ask) -> int:
    """Return how many calls an `ask` answers from the cache."""
    from cacheops import cache_read

    heard: list[bool] = []

    def listen(**kwargs: Any) -> None:
        heard.append(kwargs["hit"])

    cache_read.connect(listen)
    try:
        ask()
    finally:
        cache_read.disconnect(listen)
    return sum(heard)
