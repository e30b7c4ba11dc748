"""Who may see what: the same 404 for what is not there and for what is not theirs."""

import re
from pathlib import Path
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import connection
from django.test import Client

from users.models import User

PAGES = ["/", "/locations/", "/locations/harbor/", "/devices/H-1/", "/analytics/", "/analytics.csv", "/profile/"]


def constant_part(answer) -> str:
    """Return a page without what differs each time: its form's token and its foot."""
    return re.sub(r'name="csrfmiddlewaretoken" value="\w+"', "", answer.content.decode().split("<footer")[0])


@pytest.mark.parametrize("path", PAGES)
def test_a_page_asks_strangers_to_sign_in(path: str, world) -> None:
    answer = Client().get(path)
    assert (answer.status_code, answer.url) == (302, f"/sign-in/?next={path}")


@pytest.mark.parametrize("path", PAGES)
def test_a_member_sees_their_pages(path: str, member: Client) -> None:
    assert member.get(path).status_code == 200


@pytest.mark.parametrize("path", ["/locations/ridge/", "/devices/R-1/"])
def test_what_belongs_to_others_does_not_exist(path: str, member: Client, staff: Client) -> None:
    hidden = member.get(path)
    absent = member.get(path.replace("ridge", "nowhere").replace("R-1", "X-1"))
    assert hidden.status_code == absent.status_code == 404
    assert constant_part(hidden) == constant_part(absent)
    assert staff.get(path).status_code == 200


@pytest.mark.parametrize("path", ["/", "/locations/", "/analytics/", "/analytics/?location=ridge"])
def test_lists_hold_only_what_is_theirs(path: str, member: Client, staff: Client) -> None:
    assert b"Ridge" in staff.get(path).content  # first, so that a shared cache entry would be found out
    assert b"Ridge" not in member.get(path).content


def test_analytics_of_another_location_are_those_of_ones_own(member: Client) -> None:
    other, unknown = (member.get(f"/analytics.csv?location={code}") for code in ("ridge", "nowhere"))
    assert other.status_code == 400
    assert other.content.replace(b"ridge", b"nowhere") == unknown.content
    figures = [
        re.findall(rb"<dd>.*?</dd>", member.get(f"/analytics/{query}").content) for query in ("?location=ridge", "")
    ]
    assert figures[0] == figures[1] != []


def test_the_health_check_needs_no_login(db) -> None:
    answer = Client().get("/healthz")
    assert (answer.status_code, answer.json()["status"]) == (200, "ok")
    assert answer.json()["ready"] is True
    assert "no-cache" in answer["Cache-Control"]


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(("when_away", "expected"), [("fail", (503, "failing")), ("serve", (200, "degraded"))])
def test_the_health_check_tells_that_the_database_is_away_whoever_asks(
    monkeypatch: pytest.MonkeyPatch, settings: Any, when_away: str, expected: tuple[int, str]
) -> None:
    settings.CACHEOPS_WHEN_DATABASE_AWAY = when_away
    if connection.vendor != "postgresql":
        pytest.skip("SQLite is never away")
    client = Client(raise_request_exception=False)
    client.force_login(User.objects.create_user("ada"))
    connection.close()
    with monkeypatch.context() as patch:
        patch.setitem(connection.settings_dict, "HOST", "127.0.0.1")
        patch.setitem(connection.settings_dict, "PORT", "1")
        answer = client.get("/healthz")
        nowhere = client.get("/nowhere/")  # an error page, which names the user
    assert (answer.status_code, answer.json()["status"]) == expected
    assert (answer.json()["live"], answer.json()["ready"]) == (True, expected[0] == 200)
    assert (nowhere.status_code, nowhere["Retry-After"]) == (503, "5")


@pytest.mark.parametrize("megabytes", [2, 3])
def test_a_strangers_file_is_not_written_to_the_disk(megabytes: int, tmp_path: Path, settings: Any) -> None:
    settings.FILE_UPLOAD_TEMP_DIR = str(tmp_path / "nowhere")  # to write would fail
    file = SimpleUploadedFile("a.csv", b"x" * megabytes * 1024 * 1024)
    assert Client().post("/sign-in/", {"username": "ann", "file": file}).status_code == 200
