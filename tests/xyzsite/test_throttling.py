"""Sign-in and the API are refused after too many tries, by region and by process, and allowed again when it said."""

import itertools
from collections.abc import Callable, Iterator
from typing import Any

import environ
import pytest
from axes.models import AccessAttempt
from django.core.cache import cache
from django.core.cache.backends.dummy import DummyCache
from django.db import connection
from django.test import Client, RequestFactory
from django.test.utils import CaptureQueriesContext
from hypothesis import given
from hypothesis import strategies as st

from tests.xyzsite.api.conftest import Caller
from users.models import ApiToken, User
from xyzsite.settings.environment import networks
from xyzsite.settings.regions import caches_from_environment
from xyzsite.throttling import limits
from xyzsite.throttling.addresses import client_address
from xyzsite.throttling.limits import Limit

PHRASE = "a good pass phrase"
PAGES = ["/sign-in/", "/admin/login/"]

addresses = (f"198.51.{high}.{low}" for high in range(256) for low in range(256))  # each once in a run
numbers = itertools.count()


class Clock:
    """The time by which limits count."""

    def __init__(self, now: float) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock(limits.now())
    monkeypatch.setattr(limits, "now", made)
    return made


@pytest.fixture(autouse=True)
def _few_tries(settings: Any) -> Iterator[None]:
    settings.XYZ_SIGN_IN_FAILURES_PER_NAME, settings.XYZ_SIGN_IN_FAILURES_PER_ADDRESS = 3, 5
    settings.XYZ_SIGN_IN_SECONDS = 900
    settings.XYZ_API_CALLS_PER_MINUTE = 3
    forget_counts()
    yield
    forget_counts(region=False)  # which a test may have sent away


@pytest.fixture
def person(db: None) -> User:
    return User.objects.create_user(f"person-{next(numbers)}", password=PHRASE, is_staff=True)


@pytest.fixture
def away(settings: Any) -> None:
    """Let the process run in a region whose server does not answer."""
    env = environ.Env()
    env.ENVIRON = {"REDIS_URL_US_WEST_2": "redis://127.0.0.1:1"}
    settings.CACHES = caches_from_environment(env, "us-west-2")
    settings.CACHEOPS_LOCAL_REGION = "us-west-2"


def forget_counts(process: bool = True, region: bool = True) -> None:
    if process:
        limits.process_cache.clear()
    if region:
        cache.delete_pattern("throttle:*")


def sign_in(name: str, password: str = PHRASE, address: str = "", page: str = "/sign-in/") -> Any:
    client = Client(REMOTE_ADDR=address or next(addresses))
    return client.post(page, {"username": name, "password": password, "next": "/"})


def fail(name: str, times: int, **options: Any) -> None:
    for _ in range(times):
        assert sign_in(name, "wrong", **options).status_code == 200


@pytest.mark.parametrize("page", PAGES)
def test_one_name_is_refused_whatever_the_address(person: User, clock: Clock, page: str) -> None:
    fail(person.username, 3, page=page)
    refused = sign_in(person.username, page=page)
    assert (refused.status_code, "sessionid" in refused.cookies) == (429, False)
    assert 1 <= int(refused["Retry-After"]) <= 900
    assert refused["Cache-Control"] == "no-store"
    assert b"Signing in has failed too often" in refused.content
    assert sign_in("somebody else", "wrong").status_code == 200


def test_one_address_is_refused_whatever_the_names(person: User, clock: Clock) -> None:
    address = next(addresses)
    for number in range(5):
        fail(f"name-{number}", 1, address=address)
    assert sign_in(person.username, address=address).status_code == 429
    assert sign_in(person.username).status_code == 302


def test_a_right_password_works_after_the_time_that_was_said_and_not_before(person: User, clock: Clock) -> None:
    fail(person.username, 3)
    seconds = int(sign_in(person.username)["Retry-After"])
    clock.now += seconds - 1
    assert sign_in(person.username, "wrong")["Retry-After"] == "1"  # and being refused lengthens nothing
    clock.now += 1
    assert sign_in(person.username).status_code == 302


def test_what_succeeds_is_not_counted(person: User, clock: Clock) -> None:
    address = next(addresses)
    assert {sign_in(person.username, address=address).status_code for _ in range(7)} == {302}


def test_what_is_refused_is_not_counted(person: User, clock: Clock) -> None:
    address = next(addresses)
    fail("somebody else", 3, address=address)
    assert {sign_in("somebody else", address=address).status_code for _ in range(4)} == {429}
    assert sign_in(person.username, address=address).status_code == 302


def test_without_a_limit_nobody_is_refused(person: User, clock: Clock, settings: Any) -> None:
    settings.XYZ_SIGN_IN_FAILURES_PER_NAME = settings.XYZ_SIGN_IN_FAILURES_PER_ADDRESS = 0
    fail(person.username, 7, address=next(addresses))


def test_failures_write_nothing_to_the_database(person: User) -> None:
    with CaptureQueriesContext(connection) as queries:
        fail(person.username, 3)
        assert sign_in(person.username).status_code == 429
    assert {query["sql"].split()[0] for query in queries} <= {"SELECT", "SAVEPOINT", "RELEASE"}
    assert not AccessAttempt.objects.exists()


@pytest.mark.parametrize(
    ("process", "region", "status"),
    [(True, False, 429), (False, True, 429), (True, True, 302)],
    ids=["another process", "a flushed cache", "both anew"],
)
def test_either_count_is_enough(person: User, clock: Clock, process: bool, region: bool, status: int) -> None:
    fail(person.username, 3)
    forget_counts(process, region)
    assert sign_in(person.username).status_code == status


def test_without_a_cache_the_process_counts(person: User, clock: Clock, away: None) -> None:
    assert sign_in(person.username).status_code == 302
    fail(person.username, 3)
    seconds = int(sign_in(person.username)["Retry-After"])
    assert sign_in("somebody else", "wrong").status_code == 200
    clock.now += seconds
    assert sign_in(person.username).status_code == 302


def with_token(user: User) -> Callable[[], Any]:
    caller = Caller(ApiToken.issue(user, "test")[1])
    return lambda: caller.get("/me")


def with_session(user: User) -> Callable[[], Any]:
    client = Client()
    client.force_login(user)
    return lambda: client.get("/api/me")


@pytest.mark.parametrize("caller", [with_token, with_session])
@pytest.mark.parametrize("lost", [False, True], ids=["with a cache", "without"])
def test_a_caller_of_the_api_is_refused_and_no_other(
    request: pytest.FixtureRequest, person: User, clock: Clock, caller: Callable[[User], Any], lost: bool
) -> None:
    if lost:
        request.getfixturevalue("away")
    call, another = caller(person), with_token(person)
    assert [call().status_code for _ in range(4)] == [200, 200, 200, 429]
    refused = call()
    assert refused.json()["error"] == {
        "code": "too_many_requests",
        "message": f"This caller may call 3 times a minute: call again in {refused['Retry-After']} s.",
        "fields": {},
    }
    assert another().status_code == 200
    clock.now += int(refused["Retry-After"]) - 1
    assert call().status_code == 429
    clock.now += 1
    assert call().status_code == 200


@given(st.floats(min_value=0, max_value=4e9), st.integers(min_value=1, max_value=1000), st.text())
def test_a_wait_ends_when_it_says(start: float, seconds: int, caller: str) -> None:
    with pytest.MonkeyPatch.context() as patch:
        forget_counts(region=False)
        patch.setattr(limits, "cache", DummyCache("", {}))
        patch.setattr(limits, "now", lambda: start)
        limit = Limit("test", 1, seconds)
        assert (limit.wait(caller), limit.add(caller)) == (0, 0)
        wait = limit.wait(caller)
        assert 1 <= wait <= seconds
        patch.setattr(limits, "now", lambda: start + wait)
        assert limit.wait(caller) == 0


@pytest.mark.parametrize(
    ("remote", "forwarded", "expected"),
    [
        ("203.0.113.9", "198.51.100.1", "203.0.113.9"),  # no proxy of ours: whatever it says
        ("10.0.0.1", "198.51.100.1", "198.51.100.1"),
        ("10.0.0.1", "192.0.2.66, 198.51.100.1", "198.51.100.1"),  # made up, and what the proxy has added
        ("10.0.0.1", "192.0.2.66, 10.0.0.66, 198.51.100.1, 10.0.0.2", "198.51.100.1"),
        ("10.0.0.1", "", "10.0.0.1"),
        ("10.0.0.1", "198.51.100.1, nonsense", "10.0.0.1"),
        ("::ffff:10.0.0.1", "198.51.100.1", "198.51.100.1"),
        ("2001:db8:1:2:3::4", "198.51.100.1", "2001:db8:1:2::/64"),
        ("10.0.0.1", "2001:db8:1:2:3::5", "2001:db8:1:2::/64"),
        ("", "198.51.100.1", ""),  # a Unix socket
    ],
)
def test_only_trusted_proxies_say_where_a_request_comes_from(
    settings: Any, remote: str, forwarded: str, expected: str
) -> None:
    settings.XYZ_TRUSTED_PROXIES = networks("TRUSTED_PROXIES", ["10.0.0.0/24"])
    request = RequestFactory().get("/", REMOTE_ADDR=remote, headers={"X-Forwarded-For": forwarded})
    assert client_address(request) == expected


def test_nobody_chooses_an_address_to_go_on_guessing(person: User, clock: Clock, settings: Any) -> None:
    settings.XYZ_SIGN_IN_FAILURES_PER_NAME = 0
    client = Client(REMOTE_ADDR=next(addresses))
    statuses = [
        client.post("/sign-in/", {"username": "x", "password": "y"}, headers={"X-Forwarded-For": made_up}).status_code
        for made_up in itertools.islice(addresses, 6)
    ]
    assert statuses == [200] * 5 + [429]
