"""Who may see the panel, and what looking at it does: nothing."""

import re
from html.parser import HTMLParser
from typing import Any

import pytest
from django.contrib.admin import site
from django.contrib.admin.models import LogEntry
from django.http import HttpRequest, HttpResponse
from django.test import Client, RequestFactory

from cacheops.models import Control
from cacheops.panel.actions import ACTIONS
from cacheops.panel.switches import pause
from cacheops.panel.views import PanelViews
from cacheops.reading.options import is_bypassed
from devices.models import Device
from tests.cacheops.panel.conftest import PANEL, SignIn, World
from tests.servers import on_servers
from users.models import User

pytestmark = pytest.mark.django_db(databases=["default", "other"])

PAGES = [
    "",
    "models/",
    "models/entries/",
    "look-up/",
    "actions/",
    "regions/us-east-1/",
    *on_servers("regions/us-west-2/?span=24h"),
]
FILLED_IN = {
    "invalidate-object": "?model=devices.device&pk=serial=H-1",
    "invalidate-model": "?model=devices.device",
    "invalidate-pattern": "?pattern=device:7:*",
    "invalidate-all": "",
    "warm": "?target=devices.Device&region=us-east-1&top=5",
    "pause": "?model=devices.device&seconds=60",
    "resume": "?model=devices.device",
    "reset-breaker": "?region=us-east-1",
}


def actions() -> list[str]:
    return [f"actions/{slug}/{FILLED_IN[slug]}" for slug in ACTIONS]


@pytest.mark.parametrize("page", [*PAGES, *actions()])
def test_staff_without_the_permission_get_403(staff: SignIn, page: str) -> None:
    client = staff("devices.view_device", "cacheops.invalidate_all", "cacheops.pause_caching")
    assert client.get(PANEL + page).status_code == 403
    assert client.post(PANEL + page).status_code == 403


@pytest.mark.parametrize(("permission", "found"), [("view_panel", True), ("invalidate_all", False)])
def test_the_index_names_the_panel_to_those_who_may_look(staff: SignIn, permission: str, found: bool) -> None:
    apps = staff(f"cacheops.{permission}").get("/admin/").context["available_apps"]
    shown = [model["object_name"] for app in apps for model in app["models"]]
    assert ("Panel" in shown) == found


@pytest.mark.parametrize("slug", ACTIONS)
def test_who_may_look_may_not_change_anything(staff: SignIn, slug: str) -> None:
    client = staff("cacheops.view_panel")
    assert client.get(PANEL).status_code == 200
    assert client.get(f"{PANEL}actions/{slug}/{FILLED_IN[slug]}").status_code == 403
    assert client.post(f"{PANEL}actions/{slug}/").status_code == 403
    assert "/actions/" not in client.get(PANEL).content.decode()


@pytest.mark.parametrize("slug", ACTIONS)
def test_each_action_has_its_permission(staff: SignIn, slug: str) -> None:
    client = staff("cacheops.view_panel", f"cacheops.{ACTIONS[slug].permission}")
    assert client.get(f"{PANEL}actions/{slug}/").status_code == 200
    others = [other for other in ACTIONS.values() if other.permission != ACTIONS[slug].permission]
    listed = client.get(f"{PANEL}actions/").context["actions"]
    assert [action for action in ACTIONS.values() if action not in others] == listed
    assert {client.get(f"{PANEL}actions/{other.slug}/").status_code for other in others} == {403}


def test_people_who_are_not_of_the_staff_are_sent_to_sign_in(world: World) -> None:
    response = Client().get(PANEL)
    assert response.status_code == 302
    assert "sign-in" in response["Location"] or "login" in response["Location"]


def test_the_permission_alone_lets_nobody_in_who_is_not_of_the_staff(staff: SignIn) -> None:
    """Also where no middleware of the project's asks who is signed in."""
    page = PanelViews(site).page(lambda request: HttpResponse("secret"))
    client = staff("cacheops.view_panel")
    request = RequestFactory().get(PANEL)
    request.user = User.objects.get(pk=client.session["_auth_user_id"])
    assert page(request).content == b"secret"
    request.user.is_staff = False
    assert page(request).status_code == 302
    part = RequestFactory().get(PANEL, headers={"HX-Request": "true"})
    part.user = request.user
    refused = page(part)
    assert (refused.status_code, refused["HX-Refresh"]) == (204, "true")


def test_a_part_makes_a_browser_that_was_signed_out_load_the_page(world: World) -> None:
    client = Client()
    client.force_login(world.root)
    client.cookies.clear()
    response = client.get(PANEL, headers={"HX-Request": "true"})
    assert "HX-Refresh" in response.headers or response.status_code == 302


@pytest.mark.parametrize("page", actions())
def test_looking_changes_nothing(root: Client, page: str) -> None:
    if "resume" in page:
        pause(Device, 60, by="root")  # what can be ended
    before = list(Device.objects.values_list("pk", "name")), Control.objects.count()
    response = root.get(PANEL + page)
    assert response.status_code == 200
    assert response.context["confirm"] is True
    assert b'method="post"' in response.content
    assert response.context["effects"]
    assert not re.search("[{}]", " ".join(response.context["effects"]))
    assert not LogEntry.objects.exists()
    assert (list(Device.objects.values_list("pk", "name")), Control.objects.count()) == before


@pytest.mark.parametrize("page", PAGES)
def test_pages_to_look_at_take_no_post(root: Client, page: str) -> None:
    assert root.post(PANEL + page).status_code == 405


@pytest.mark.parametrize(("method", "past"), [("GET", True), ("HEAD", True), ("POST", False)])
def test_looking_reads_past_the_cache_and_an_action_may_fill_it(world: World, method: str, past: bool) -> None:
    found: list[bool] = []

    def view(request: HttpRequest) -> HttpResponse:
        found.append(is_bypassed())
        return HttpResponse()

    request = RequestFactory().generic(method, "/")
    request.user = world.root
    request._dont_enforce_csrf_checks = True  # type: ignore[attr-defined]
    PanelViews(site).page(view, ("GET", "POST"))(request)
    assert found == [past]
    assert not is_bypassed()


@pytest.mark.parametrize("slug", ACTIONS)
def test_an_action_needs_the_token_of_the_page(world: World, slug: str) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(world.root)
    assert client.post(f"{PANEL}actions/{slug}/", {"model": "devices.device", "seconds": 60}).status_code == 403
    assert not LogEntry.objects.exists()
    assert not Control.objects.exists()


@pytest.mark.parametrize("page", ["regions/nowhere/", "models/?region=nowhere", "actions/nothing/"])
def test_what_is_not_there_is_not_found(root: Client, page: str) -> None:
    assert root.get(PANEL + page).status_code == 404


class Inline(HTMLParser):
    """Collects what a strict content security policy stops."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        names = dict(attrs)
        if tag in ("script", "style") and "src" not in names:
            self.found.append(tag)
        self.found += [name for name in names if name == "style" or re.match("on[a-z]", name) or name.startswith("x-")]


@pytest.mark.parametrize("page", [*PAGES, "look-up/?model=devices.device&pk=serial=H-1", *actions()])
def test_the_panels_own_part_of_a_page_holds_no_script_and_no_style(root: Client, page: str, world: Any) -> None:
    response = root.get(PANEL + page, headers={"HX-Request": "true"})
    assert response.status_code == 200
    assert "HX-Request" in response["Vary"]
    parser = Inline()
    parser.feed(response.content.decode())
    assert parser.found == []
    assert b"<html" not in response.content


def test_the_change_page_leads_to_the_cache_state(root: Client, staff: SignIn, world: World) -> None:
    change = f"/admin/devices/device/{world.device.pk}/change/"
    link = f"{PANEL}look-up/?model=devices.device&amp;pk={world.device.pk}"
    assert link in root.get(change).content.decode()
    assert link not in staff("devices.view_device").get(change).content.decode()
