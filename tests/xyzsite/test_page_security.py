"""The headers of each kind of answer: what a browser may load and do, and that nobody keeps what shows people."""

import pytest
from django.test import Client

PATHS = (
    "/", "/sign-in/", "/profile/", "/analytics.csv", "/nowhere", "/healthz/live", "/metrics", "/api/me", "/api/docs",
    "/admin/", "/admin/users/user/", "/admin/cacheops/panel/", "/admin/jsi18n/",
)  # fmt: skip


@pytest.mark.django_db(databases="__all__")
@pytest.mark.parametrize("path", PATHS)
def test_every_answer_says_what_a_browser_may_do(admin_client: Client, path: str) -> None:
    for client in (admin_client, Client()):
        answer = client.get(path)
        policy = dict(part.split(" ", 1) for part in answer["Content-Security-Policy"].split("; "))
        assert policy["default-src"] == "'self'"
        assert policy["frame-ancestors"] == policy["object-src"] == policy["base-uri"] == "'none'"
        assert "'unsafe-inline'" not in policy.get("script-src", "")
        assert ("script-src" in policy) == path.startswith("/admin/")  # which evaluates its own attributes
        assert "geolocation=()" in answer["Permissions-Policy"]
        assert "no-store" in answer["Cache-Control"]


def test_static_files_may_be_kept(client: Client) -> None:
    answer = client.get("/static/xyzsite/site.css")
    assert b"".join(answer.streaming_content)
    assert "no-store" not in answer["Cache-Control"]
