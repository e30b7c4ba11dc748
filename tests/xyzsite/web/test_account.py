"""Signing in and out, and what people change of their own."""

import re

import pytest
from django.test import Client
from django.utils import timezone

from tests.xyzsite.web.conftest import World
from users.models import ApiToken

PHRASE = "a good pass phrase"


def test_signing_in_leads_to_where_one_was_going(world: World) -> None:
    client = Client()
    page = client.get("/sign-in/?next=/locations/harbor/")
    assert b'name="next" value="/locations/harbor/"' in page.content
    answer = client.post("/sign-in/", {"username": "ann", "password": PHRASE, "next": "/locations/harbor/"})
    assert (answer.status_code, answer.url) == (302, "/locations/harbor/")


def test_signing_in_never_leads_to_another_host(world: World) -> None:
    answer = Client().post("/sign-in/", {"username": "ann", "password": PHRASE, "next": "https://example.com/"})
    assert answer.url == "/"


def test_a_wrong_password_is_told(world: World) -> None:
    answer = Client().post("/sign-in/", {"username": "ann", "password": "wrong"})
    assert b"do not belong together" in answer.content


def test_signing_out_needs_a_form_and_ends_the_session(member: Client) -> None:
    assert member.get("/sign-out/").status_code == 405
    assert member.post("/sign-out/").url == "/sign-in/"
    assert member.get("/").status_code == 302


def test_details_are_changed(world: World, member: Client) -> None:
    details = {"first_name": "Anna", "last_name": "Li", "email": "anna@example.com", "home_region": "us-east-2"}
    assert member.post("/profile/", details | {"action": "details"}).url == "/profile/"
    world.member.refresh_from_db()
    assert {name: getattr(world.member, name) for name in details} == details
    assert b"Your details are saved" in member.get("/profile/").content


def test_a_fault_stands_at_its_field_and_changes_nothing(world: World, member: Client) -> None:
    answer = member.post("/profile/", {"action": "details", "email": "no address", "home_region": "mars"})
    page = answer.content.decode()
    assert answer.status_code == 422
    assert re.search(r'<div class="error" id="id_email_error">\s*<p>Enter a valid email', page)
    assert re.search(r'<input[^>]*name="email"[^>]*aria-invalid="true"[^>]*aria-describedby="id_email_error"', page)
    world.member.refresh_from_db()
    assert world.member.home_region == "us-east-1"


def test_nobody_can_make_themselves_staff(world: World, member: Client) -> None:
    member.post("/profile/", {"action": "details", "home_region": "us-east-1", "is_staff": "on", "username": "root"})
    world.member.refresh_from_db()
    assert (world.member.is_staff, world.member.username) == (False, "ann")


def test_a_password_is_changed_and_the_session_goes_on(world: World, member: Client) -> None:
    fields = {"old_password": PHRASE, "new_password1": "quite another one", "new_password2": "quite another one"}
    ApiToken.issue(world.member, "Gateway")
    assert "<strong>ended" not in member.get("/profile/").content.decode()
    assert member.post("/profile/", fields | {"action": "password"}).status_code == 302
    page = member.get("/profile/").content.decode()
    assert "API tokens have ended" in page
    assert "<strong>ended" in page
    assert Client().login(username="ann", password="quite another one")


def test_a_weak_password_is_refused(member: Client) -> None:
    fields = {"old_password": PHRASE, "new_password1": "12345678", "new_password2": "12345678"}
    answer = member.post("/profile/", fields | {"action": "password"})
    assert (answer.status_code, b"too common" in answer.content) == (422, True)


def test_a_tokens_secret_is_shown_once(world: World, member: Client) -> None:
    answer = member.post("/profile/", {"action": "token", "name": "Gateway", "lifetime": "30"})
    secret = re.search(r"xyz_[\w-]{40,}", answer.content.decode()).group()
    token = ApiToken.objects.get()
    assert (token.user, token.digest) == (world.member, ApiToken.digest_of(secret))
    assert 29 <= (token.expires_at - timezone.now()).days <= 30
    assert "no-store" in answer["Cache-Control"]
    assert secret not in member.get("/profile/").content.decode()


@pytest.mark.parametrize("fields", [{"name": ""}, {"name": "x" * 81}, {"name": "ok", "lifetime": "7"}])
def test_a_token_that_makes_no_sense_is_not_made(member: Client, fields: dict[str, str]) -> None:
    assert member.post("/profile/", fields | {"action": "token"}).status_code == 422
    assert not ApiToken.objects.exists()


def test_only_ones_own_token_can_be_revoked(world: World, member: Client, staff: Client) -> None:
    token, _ = ApiToken.issue(world.member, "Gateway")
    path = f"/profile/tokens/{token.pk}/revoke/"
    assert member.get(path).status_code == 405
    assert staff.post(path).status_code == 404
    assert ApiToken.objects.exists()
    assert member.post(path).url == "/profile/"
    assert not ApiToken.objects.exists()


def test_forms_need_their_token(world: World) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(world.member)
    answer = client.post("/profile/", {"action": "details", "home_region": "us-east-2"})
    assert answer.status_code == 403
    assert b"The form is too old" in answer.content
