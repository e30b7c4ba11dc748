"""Whole answers that are kept: for one visitor, with a token of each request, and only while they are right."""

import re
from collections.abc import Callable
from datetime import timedelta
from random import random
from typing import Any
from unittest.mock import patch

import pytest
from django.contrib import messages
from django.contrib.messages.storage.fallback import FallbackStorage
from django.http import HttpRequest, HttpResponse
from django.test import Client, RequestFactory

from cacheops import ReadRecord
from locations.models import Membership, Role
from tests.xyzsite.web.conftest import World
from users.models import User
from xyzsite.kept import TOKEN, Kept, KeptAnswers, kept_answer, kept_answers
from xyzsite.web import overview as page

pytestmark = pytest.mark.django_db(transaction=True)
FOOT = re.compile(rb'<p id="foot".*?</p>', re.S)


@pytest.fixture
def member(world: World) -> Client:
    kept_answers.clear()
    client = Client(enforce_csrf_checks=True)
    client.force_login(world.member)
    return client


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Count how often the overview is made."""
    calls: list[int] = []

    def overview_of(ids: Any, make: Callable[[Any], Any] = page.overview_of) -> Any:
        calls.append(1)
        return make(ids)

    monkeypatch.setattr(page, "overview_of", overview_of)
    return calls


@pytest.fixture(autouse=True)
def _one_minute(monkeypatch: pytest.MonkeyPatch, world: World) -> None:
    monkeypatch.setattr("django.utils.timezone.now", lambda: world.now)


def warm(client: Client, address: str = "/") -> HttpResponse:
    for _ in range(3):
        answer = client.get(address)
        assert answer.status_code == 200
    return answer


def test_a_page_is_made_once_with_a_token_of_each_request(member: Client, made: list[int]) -> None:
    before = warm(member)
    calls = len(made)
    after = member.get("/")
    assert len(made) == calls
    for name in ("Content-Type", "Vary", "Cache-Control", "Content-Security-Policy"):
        assert after.headers[name] == before.headers[name]
    assert after["Content-Length"] == str(len(after.content))
    (old,), (new,) = TOKEN.findall(before.content), TOKEN.findall(after.content)
    assert old != new
    assert FOOT.sub(b"", TOKEN.sub(b"", after.content)) == FOOT.sub(b"", TOKEN.sub(b"", before.content))
    assert member.post("/sign-out/", {"csrfmiddlewaretoken": new.decode()}).status_code == 302
    assert member.get("/").status_code == 302  # to sign in


def test_a_page_is_made_anew_with_each_minute(
    member: Client, made: list[int], monkeypatch: pytest.MonkeyPatch, world: World
) -> None:
    warm(member)
    calls = len(made)
    monkeypatch.setattr("django.utils.timezone.now", lambda: world.now + timedelta(minutes=1))
    warm(member)
    assert len(made) == calls + 1


def test_a_page_is_nobody_elses(member: Client, staff: Client, world: World) -> None:
    for address in ("/", "/locations/", "/api/devices"):
        assert b"Ridge" not in warm(member, address).content
        assert b"Ridge" in warm(staff, address).content
        assert b"Ridge" not in member.get(address).content
    assert b"Ann" in member.get("/").content
    assert b"Ann" not in staff.get("/").content


def test_rights_and_names_count_from_the_next_request_on(member: Client, world: World) -> None:
    address = "/locations/harbor/"
    assert b"data-tick-all" in warm(member, address).content
    Membership.objects.update(role=Role.VIEWER)
    assert b"data-tick-all" not in warm(member, address).content
    User.objects.filter(pk=world.member.pk).update(first_name="Anna")
    assert b"Anna" in member.get(address).content
    Membership.objects.all().delete()
    assert member.get(address).status_code == 404
    User.objects.filter(pk=world.member.pk).update(is_active=False)
    assert member.get(address).status_code == 302


def test_a_message_is_shown_once(member: Client) -> None:
    warm(member)
    with patch.object(FallbackStorage, "_get", lambda storage: ([messages.Message(25, "It is saved.")], True)):
        assert b"It is saved." in member.get("/").content
    assert b"It is saved." not in member.get("/").content


def test_what_is_asked_for_is_what_is_answered(member: Client) -> None:
    whole = warm(member, "/locations/")
    part = member.get("/locations/", headers={"HX-Request": "true", "HX-Target": "locations"})
    assert b"<html" in whole.content
    assert b"Overview</h1>" in warm(member).content
    assert b"Locations</h1>" in member.get("/locations/").content
    assert b"Locations</h1>" not in member.get("/").content
    assert b"<html" not in part.content
    assert b"<html" in member.get("/locations/", headers={"HX-Request": "true"}).content
    assert member.head("/").content == b""
    tag = member.get("/", headers={"If-None-Match": '"none"'})["ETag"]
    assert member.get("/", headers={"If-None-Match": tag}).status_code == 304


def test_only_what_is_whole_is_kept(member: Client, made: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ReadRecord, "end", lambda *arguments: None)
    warm(member)
    assert len(made) == 3
    assert kept_answers.bytes == 0


def test_only_what_is_asked_for_by_get_is_kept(world: World) -> None:
    for method in (RequestFactory().get, RequestFactory().post, RequestFactory().get):
        request = method("/")
        answers = [kept_answer(request, world.member, lambda: HttpResponse(str(random()))).content for _ in range(2)]
        assert (answers[0] == answers[1]) == (request.method == "GET")


class Holds(ReadRecord):
    def is_unchanged(self) -> bool:
        return True


def test_the_least_recently_used_answers_go_first() -> None:
    answers = KeptAnswers(max_bytes=800)
    for name in range(8):
        answers.keep(name, Kept((b"x",), {}, Holds(), 100))
    assert answers.find(0) is not None
    answers.keep("large", Kept((b"x",), {}, Holds(), 101))
    assert answers.find("large") is None  # it would push out too many others
    answers.keep("new", Kept((b"x",), {}, Holds(), 100))
    assert [name for name in [*range(8), "new"] if answers.find(name) is None] == [1]
    answers.keep("new", Kept((b"y",), {}, Holds(), 60))
    assert answers.bytes == 760
    assert answers.find("new").answer(HttpRequest()).content == b"y"  # type: ignore[union-attr]
