"""Who may call, how often a token's use is written, and what those get who may not."""

from datetime import timedelta
from typing import Any

import pytest
from django.db.models import QuerySet
from django.test import Client
from django.utils import timezone

from locations.models import Location
from tests.xyzsite.api.conftest import Caller
from users.models import ApiToken, User
from xyzsite.api.auth import note_use

pytestmark = pytest.mark.django_db


@pytest.fixture
def ada(db: None) -> User:
    return User.objects.create_user("ada", "ada@example.org", "secret", first_name="Ada")


def refused(response: Any, challenge: str = 'Bearer realm="api"') -> bool:
    error = response.json()["error"]
    assert response["WWW-Authenticate"] == challenge
    return response.status_code == 401 and error["code"] == "unauthorised"


def test_a_stranger_is_refused_in_json(stranger: Caller) -> None:
    assert refused(stranger.get("/me"))
    assert refused(stranger.post("/readings", {}))


def test_a_token_names_its_owner(ada: User) -> None:
    _, secret = ApiToken.issue(ada, "phone")
    document = Caller(secret).get("/me").document
    assert (document["username"], document["name"], document["memberships"]) == ("ada", "Ada", [])


@pytest.mark.parametrize("header", ["Bearer xyz_wrong", "Bearer", "Bearer ", "Basic YTpi", "Bearer \x00\xff"])
def test_a_wrong_header_is_refused_though_the_session_is_right(ada: User, header: str) -> None:
    client = Client(headers={"Authorization": header})
    client.force_login(ada)
    assert client.get("/api/me").status_code == 401


def test_a_token_of_another_scheme_is_refused(ada: User, stranger: Caller) -> None:
    _, secret = ApiToken.issue(ada, "phone")
    assert stranger.get("/me", Authorization=f"bearer {secret}").status_code == 200
    assert stranger.get("/me", Authorization=f"Basic {secret}").status_code == 401


def test_an_unknown_token_says_so(stranger: Caller) -> None:
    assert refused(Caller("xyz_wrong").get("/me"), 'Bearer realm="api", error="invalid_token"')


def test_an_expired_token_is_refused(ada: User) -> None:
    _, secret = ApiToken.issue(ada, "phone", expires_at=timezone.now() + timedelta(hours=1))
    assert Caller(secret).get("/me").status_code == 200
    ApiToken.objects.update(expires_at=timezone.now())
    assert Caller(secret).get("/me").status_code == 401


def test_an_inactive_owner_is_refused(ada: User) -> None:
    _, secret = ApiToken.issue(ada, "phone")
    client = Client()
    client.force_login(ada)
    QuerySet(User).update(is_active=False)  # as by SQL, past our models
    assert Caller(secret).get("/me").status_code == 401
    assert client.get("/api/me").status_code == 401


@pytest.mark.parametrize("by", ["save", "update", "bulk_update", "admin"])
def test_a_new_password_ends_tokens(ada: User, admin_client: Client, by: str) -> None:
    _, secret = ApiToken.issue(ada, "phone")
    assert Caller(secret).get("/me").status_code == 200
    ada.set_password("another secret")
    match by:
        case "save":
            ada.save()
        case "update":
            User.objects.filter(pk=ada.pk).update(password=ada.password)
        case "bulk_update":
            User.objects.bulk_update([ada], ["password"])
        case "admin":
            passwords = {"password1": "another secret", "password2": "another secret", "usable_password": "true"}
            assert admin_client.post(f"/admin/users/user/{ada.pk}/password/", passwords).status_code == 302
    assert refused(Caller(secret).get("/me"), 'Bearer realm="api", error="invalid_token"')
    _, secret = ApiToken.issue(User.objects.get(pk=ada.pk), "new phone")
    assert Caller(secret).get("/me").status_code == 200


@pytest.mark.parametrize("by", ["save", "update", "bulk_update"])
def test_tokens_of_somebody_deactivated_stay_ended(ada: User, by: str) -> None:
    _, secret = ApiToken.issue(ada, "phone")
    _, other = ApiToken.issue(User.objects.create_user("bob"), "phone")
    ada.is_active = False
    match by:
        case "save":
            ada.save(update_fields=["is_active"])
        case "update":
            User.objects.filter(pk=ada.pk).update(is_active=False)
        case "bulk_update":
            User.objects.bulk_update([ada], ["is_active"])
    User.objects.update(is_active=True)
    assert Caller(secret).get("/me").status_code == 401
    assert Caller(other).get("/me").status_code == 200


def test_a_new_hash_of_the_same_password_ends_no_token(ada: User, settings: Any) -> None:
    _, secret = ApiToken.issue(ada, "phone")
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.ScryptPasswordHasher", *settings.PASSWORD_HASHERS]
    assert not Client().login(username="ada", password="wrong")
    assert Client().login(username="ada", password="secret")
    assert User.objects.get().password.startswith("scrypt$")
    assert Caller(secret).get("/me").status_code == 200


@pytest.mark.uncached
def test_a_token_s_use_is_written_once_a_minute(ada: User, django_assert_num_queries: Any) -> None:
    token, secret = ApiToken.issue(ada, "phone")
    caller = Caller(secret)
    with django_assert_num_queries(4):  # the token, its use, the token again for the cache, the memberships
        caller.get("/me")
    token.refresh_from_db()
    assert token.last_used_at is not None
    assert timezone.now() - token.last_used_at < timedelta(minutes=1)
    with django_assert_num_queries(2):
        caller.get("/me")
    ApiToken.objects.update(last_used_at=timezone.now() - timedelta(seconds=30))
    with django_assert_num_queries(2):
        caller.get("/me")
    ApiToken.objects.update(last_used_at=timezone.now() - timedelta(minutes=1))
    with django_assert_num_queries(4):
        caller.get("/me")


def test_of_many_callers_at_once_one_writes_a_token_s_use(ada: User) -> None:
    token, _ = ApiToken.issue(ada, "phone")
    assert [note_use(token), note_use(token)] == [True, False]  # each as it was before


def test_a_session_reads_without_and_writes_with_a_csrf_token(ada: User, harbour: Location) -> None:
    User.objects.update(is_staff=True)
    client = Client(enforce_csrf_checks=True)
    client.force_login(ada)
    assert client.get("/api/me").json()["username"] == "ada"
    body = {"serial": "A-1", "name": "A", "location": "harbour", "kind": "barometer", "metric": "pressure"}
    response = client.post("/api/devices", body, content_type="application/json")
    assert response.status_code == 403
    assert "X-CSRFToken" in response.json()["error"]["message"]
    client.get("/api/docs")  # sets the cookie
    token = client.cookies["csrftoken"].value
    response = client.post("/api/devices", body, content_type="application/json", headers={"X-CSRFToken": token})
    assert response.status_code == 201


def test_a_stranger_who_writes_is_told_to_sign_in_not_of_csrf(db: None) -> None:
    assert refused(Client(enforce_csrf_checks=True).post("/api/readings", {}, content_type="application/json"))


def test_answers_are_not_kept_by_caches(ada: User, stranger: Caller) -> None:
    _, secret = ApiToken.issue(ada, "phone")
    for response in (Caller(secret).get("/me"), stranger.get("/me"), stranger.get("/nothing")):
        assert response["Cache-Control"] == "no-store"
