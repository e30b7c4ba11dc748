"""The cache panel in a browser: live, in light and dark, on a phone; a question, an action, a pause."""

from pathlib import Path

import pytest
from playwright.sync_api import expect

from cacheops.models import Control
from cacheops.monitoring.recorder import flusher
from cacheops.panel.polling import answers
from cacheops.regions.switches import switches
from devices.models import Device
from tests.browser.conftest import NARROW, WIDE, Visit
from users.models import User

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "other"])

PANEL = "/admin/cacheops/panel/"
PAGES = ("", "regions/us-east-1/", "models/", "models/entries/?model=devices.device",
         "look-up/?model=devices.device&pk=serial=XYZ-000", "actions/",
         "actions/pause/", "actions/invalidate-model/?model=devices.device")  # fmt: skip
LOOKS = {f"{scheme}-{width[0]}": (scheme, width) for scheme in ("light", "dark") for width in (WIDE, NARROW)}
AUDIT = Path(__file__).with_name("audit.js").read_text()


def read_in_any_order_in_a_function_with_a_name_as_long_as_those_of_deep_modules_of_a_large_project_are() -> None:
    list(Device.objects.order_by("?"))


@pytest.fixture
def panel(visit: Visit) -> Visit:
    """Return a window in which an administrator has signed in, with something cached and counted."""
    User.objects.filter(username="ann").update(is_staff=True, is_superuser=True)
    switches.reset()
    Control.objects.all().delete()
    for _ in range(30):
        Device.objects.get(serial="XYZ-000")
    read_in_any_order_in_a_function_with_a_name_as_long_as_those_of_deep_modules_of_a_large_project_are()
    flusher.flush()
    answers.forget()
    visit.sign_in()
    return visit


@pytest.mark.parametrize("visit", LOOKS.values(), ids=LOOKS, indirect=True)
def test_every_page_in_every_look(panel: Visit) -> None:
    page = panel.page
    grounds = set()
    for path in PAGES:
        panel.open(PANEL + path)
        expect(page.locator(".co h2").first).to_be_visible()
        overflow = page.evaluate("document.documentElement.scrollWidth - innerWidth")
        assert overflow <= 0, f"{page.url} is {overflow} pixels too wide"
        for table in page.locator(".co-scroll").all():
            assert table.evaluate("box => box.scrollWidth <= box.clientWidth"), (
                f"{page.url} has a table wider than its box"
            )
        assert [fault for fault in page.evaluate(ours(AUDIT)) if not fault.startswith(THEMES)] == []
        grounds.add(page.evaluate("getComputedStyle(document.querySelector('.co-card')).backgroundColor"))
    assert len(grounds) == 1


THEMES = ("there is not exactly one <main>", "headings:")  # the page's frame is the theme's


def ours(audit: str) -> str:
    """Return the audit of the panel's part alone: the theme around it is not ours."""
    part = "document.querySelector('.co')"
    audit = audit.replace("...document.querySelectorAll(selector)", f"...{part}.querySelectorAll(selector)")
    return audit.replace("document.createTreeWalker(document.body", f"document.createTreeWalker({part}")


def test_dark_is_dark(panel: Visit) -> None:
    page = panel.page
    panel.open(PANEL)
    colour = "getComputedStyle(document.querySelector('.co-card')).backgroundColor"
    light = page.evaluate(colour)
    page.emulate_media(color_scheme="dark")
    page.reload()
    assert page.evaluate(colour) != light


def test_figures_come_without_a_reload(panel: Visit) -> None:
    page = panel.page
    panel.open(PANEL)
    card = page.locator("section", has=page.locator("#card-us-east-1"))
    expect(card).to_contain_text("healthy")
    page.evaluate("window.stayed = true")
    before = page.locator(".co-foot").inner_text()
    expect(page.locator(".co-foot")).not_to_have_text(before, timeout=15_000)
    assert page.evaluate("window.stayed")
    assert page.locator("nav.co-tabs").count() == 1


def test_a_server_that_is_gone_is_told_and_the_figures_stay(panel: Visit) -> None:
    page = panel.page
    panel.open(PANEL)
    page.route(f"**{PANEL}", lambda route: route.abort())
    expect(page.locator("#co-lost")).to_be_visible(timeout=15_000)
    assert page.locator("#card-us-east-1").count() == 1
    page.unroute_all()
    expect(page.locator("#co-lost")).to_be_hidden(timeout=15_000)
    panel.faults.clear()  # Chromium reports the connection that was cut


def test_from_an_object_to_its_entry_to_its_invalidation(panel: Visit) -> None:
    page = panel.page
    pk = Device.objects.get(serial="XYZ-000").pk
    Device.objects.get(pk=pk)
    panel.open(f"/admin/devices/device/{pk}/change/")
    page.get_by_role("link", name="Cache state").click()
    expect(page.get_by_role("heading", name="a read now is a hit")).to_be_visible()
    expect(page.get_by_text("Thermometer 00")).to_be_visible()
    page.get_by_role("link", name="Invalidate this object").click()
    page.get_by_role("button", name="Invalidate").click()
    expect(page.get_by_text("Invalidated devices.Device").first).to_be_visible()
    panel.open(f"{PANEL}look-up/?model=devices.device&pk={pk}")
    expect(page.get_by_role("heading", name="a read now is a miss")).to_be_visible()


def test_a_pause_is_seen_on_every_page_until_it_is_ended(panel: Visit) -> None:
    page = panel.page
    panel.open(f"{PANEL}actions/pause/")
    page.get_by_label("Model", exact=True).select_option("devices.device")
    page.get_by_label("For", exact=True).select_option("1 hour")
    page.get_by_label("Reason").fill("Strange values")
    page.get_by_role("button", name="Go on").click()
    expect(page.get_by_text("Invalidation goes on")).to_be_visible()
    page.get_by_role("button", name="Pause").click()
    page.wait_for_url(f"**{PANEL}")
    for path in ("", "models/", "look-up/", "regions/us-west-2/"):
        panel.open(PANEL + path)
        expect(page.get_by_text("devices.device is not cached until")).to_be_visible()
    page.get_by_role("link", name="End the pause").click()
    page.get_by_role("button", name="End the pause").click()
    expect(page.get_by_text("devices.device is not cached until")).to_have_count(0)
