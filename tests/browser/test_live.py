"""Pages that keep themselves up to date, in a browser: what changes is shown, and stops being shown on request."""

from django.utils import timezone
from playwright.sync_api import Page, expect

from devices.models import Device, Reading
from tests.browser.conftest import Visit

# What a tab does when it is looked at again: it asks at once, instead of some seconds later.
ASK = "document.dispatchEvent(new Event('visibilitychange'))"
HIDE = "Object.defineProperty(document, 'hidden', { configurable: true, value: %s })"
LOWEST = """Math.min(...Chart.getChart(document.querySelector("canvas")).data.datasets[0].data
  .map(({ minimum }) => minimum ?? 0))"""


def rename(name: str) -> None:
    Device.objects.filter(serial="XYZ-000").update(name=name, status="offline")


def ask(page: Page) -> int:
    """Have the page ask at once; return the answer's status."""
    with page.expect_response(lambda answer: answer.url == page.url) as answer:
        page.evaluate(ASK)
    return answer.value.status


def test_four_pages_show_a_change_without_being_loaded_anew(visit: Visit) -> None:
    visit.sign_in()
    page = visit.page
    says = page.locator("[data-live-text]")
    pages = {"/": "#overview", "/locations/harbor/?search=XYZ-000": "#devices", "/devices/XYZ-000/": "#now"}
    for path, part in pages.items():
        visit.open(path)
        page.evaluate("window.stays = true")
        expect(says).to_contain_text("Live, no change since")
        rename(f"Changed on {path}")
        assert ask(page) == 200
        expect(page.locator(part)).to_contain_text(f"Changed on {path}")
        expect(says).to_contain_text("Live, last change")
        assert page.evaluate("window.stays")
        assert ask(page) in (200, 304)
    visit.open("/analytics/?metric=temperature")
    page.get_by_text("The chart as a table").click()
    device = Device.objects.get(serial="XYZ-000")
    Reading.objects.create(device=device, metric="temperature", unit="°C", value=-70, taken_at=timezone.now())
    ask(page)
    expect(page.locator(".figures")).to_contain_text("−70.0")
    assert page.evaluate(LOWEST) == -70  # drawn anew
    assert page.locator("details.as-table").evaluate("each => each.open")


def test_a_reader_stops_it_and_a_hidden_tab_asks_nothing(visit: Visit) -> None:
    visit.sign_in()
    page = visit.page
    asked: list[str] = []
    visit.open("/locations/harbor/?search=XYZ-000")
    page.on("request", lambda request: asked.append(request.url) if request.url == page.url else None)
    page.get_by_role("button", name="Pause").click()
    expect(page.locator("[data-live-text]")).to_contain_text("Paused")
    rename("Changed while it paused")
    page.evaluate(ASK)
    page.reload()
    asked.clear()  # of the reload itself
    expect(page.locator("[data-live-text]")).to_contain_text("Paused")  # on every page, until it is ended
    rename("Changed while it paused still")
    page.evaluate(HIDE % "true")
    page.get_by_role("button", name="Go on").click()  # goes on, once somebody looks
    assert asked == []
    page.evaluate(HIDE % "false")
    ask(page)
    expect(page.locator("#devices")).to_contain_text("Changed while it paused still")


def test_what_somebody_has_ticked_stays_until_they_are_done(visit: Visit) -> None:
    visit.sign_in()
    visit.open("/locations/harbor/?search=XYZ-000")
    page = visit.page
    page.get_by_label("Tick Thermometer 00").check()
    rename("Changed meanwhile")
    ask(page)
    expect(page.get_by_label("Tick Thermometer 00")).to_be_checked()
    page.get_by_label("Tick Thermometer 00").uncheck()
    page.locator("h1").click()
    ask(page)
    expect(page.locator("#devices")).to_contain_text("Changed meanwhile")
    page.get_by_label("Tick all devices").check()
    page.get_by_label("Give those that are ticked the status").select_option("maintenance")
    page.get_by_role("button", name="Change").click()
    expect(page.locator(".messages")).to_contain_text("1 device has another status now: in maintenance.")
    assert page.url.endswith("?search=XYZ-000")


def test_a_range_that_is_typed_stays_until_it_is_shown(visit: Visit) -> None:
    visit.sign_in()
    visit.open("/devices/XYZ-000/")
    page = visit.page
    page.get_by_text("A range of your own").click()
    start = page.get_by_label("From", exact=True)
    shown = start.input_value()
    start.fill("2026-03-01T12:00")
    page.locator("h1").click()  # the field has lost the keyboard
    device = Device.objects.get(serial="XYZ-000")
    Reading.objects.create(device=device, metric="temperature", unit="°C", value=-70, taken_at=timezone.now())
    assert ask(page) == 200
    expect(page.locator("#more")).to_contain_text("−70.0")  # other parts go on
    assert start.input_value() == "2026-03-01T12:00"
    start.fill(shown)
    page.locator("h1").click()
    ask(page)
    expect(page.locator(".figures")).to_contain_text("−70.0")


def test_a_server_that_is_gone_is_told_and_asked_again(visit: Visit) -> None:
    visit.sign_in()
    visit.open("/")
    page = visit.page
    page.route(visit.address + "/", lambda route: route.abort())
    page.evaluate(ASK)
    expect(page.locator("[data-live-text]")).to_contain_text("No answer, tries again")
    page.unroute_all()
    ask(page)
    expect(page.locator("[data-live-text]")).to_contain_text("Live")
    visit.faults.clear()  # Chromium reports the connection that was cut


def test_what_was_asked_for_and_drawn_meanwhile_is_no_change(visit: Visit) -> None:
    visit.sign_in()
    page = visit.page
    visit.open("/analytics/?metric=temperature")
    page.get_by_label("Kind").select_option("hygrometer")
    page.wait_for_url("**kind=hygrometer**")
    page.get_by_label("Metric", exact=True).select_option("humidity")
    expect(page.locator("#results-title")).to_contain_text("humidity", ignore_case=True)
    assert ask(page) == 200
    expect(page.locator("[data-live-text]")).to_contain_text("Live, no change since")
    device = Device.objects.get(serial="XYZ-001")
    Reading.objects.create(device=device, metric="humidity", unit="%", value=3, taken_at=timezone.now())
    assert ask(page) == 200
    expect(page.locator(".figures")).to_contain_text("3.0")  # the console stays empty: no style was sent
