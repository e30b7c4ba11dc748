"""Using the pages: filters, history, charts, the theme, the account; by mouse and by keyboard."""

import re

from playwright.sync_api import expect

from devices.models import Device
from tests.browser.conftest import Visit


def test_filters_change_the_list_and_the_address_and_back_undoes_them(visit: Visit) -> None:
    visit.sign_in()
    visit.open("/locations/harbor/")
    page = visit.page
    page.evaluate("window.stays = true")  # gone if the page were loaded anew
    page.get_by_label("Kind").select_option("hygrometer")
    expect(page.locator(".pages p")).to_have_text("1–9 of 9 devices")
    assert page.url.endswith("/locations/harbor/?kind=hygrometer")
    expect(page.locator("#announce")).to_have_text("9 devices")
    page.get_by_label("Search").fill("XYZ-00")
    expect(page.locator(".pages p")).to_have_text("1–3 of 3 devices")
    assert "search=XYZ-00" in page.url
    assert page.evaluate("window.stays")
    page.evaluate("history.back()")
    expect(page.locator(".pages p")).to_have_text("1–9 of 9 devices")
    expect(page.get_by_label("Search")).to_have_value("")
    expect(page.get_by_label("Kind")).to_have_value("hygrometer")
    page.evaluate("history.back()")
    expect(page).to_have_url(visit.address + "/locations/harbor/")
    expect(page.locator(".pages p").first).to_have_text("1–25 of 36 devices")
    expect(page.get_by_label("Kind")).to_have_value("")
    expect(page.locator("header.top")).to_be_visible()


def test_columns_sort_and_keep_the_keyboard(visit: Visit) -> None:
    visit.sign_in()
    visit.open("/locations/harbor/?kind=thermometer")
    page = visit.page
    page.locator("#sort-last_seen").focus()
    page.keyboard.press("Enter")
    expect(page.locator("th[aria-sort=ascending]")).to_have_text("Last reading")
    assert page.evaluate("document.activeElement.id") == "sort-last_seen"
    page.keyboard.press("Enter")
    expect(page.locator("th[aria-sort=descending]")).to_have_text("Last reading")
    assert page.locator("tbody th a").first.inner_text() == "Thermometer 00"
    assert "kind=thermometer" in page.url
    page.get_by_label("Kind").select_option("barometer")
    expect(page.locator("tbody th a").first).to_have_text("Barometer 02")
    assert "sort=-last_seen" in page.url  # the filter keeps the order


def test_pages_of_a_list_turn(visit: Visit) -> None:
    visit.sign_in()
    visit.open("/locations/harbor/")
    visit.page.get_by_role("link", name="Next").click()
    expect(visit.page.locator(".pages p")).to_have_text("26–36 of 36 devices")
    assert visit.page.url.endswith("?page=2")
    visit.page.reload()
    expect(visit.page.locator(".pages p")).to_have_text("26–36 of 36 devices")


def test_a_chart_follows_its_window_and_can_be_read_as_a_table(visit: Visit) -> None:
    visit.sign_in()
    visit.open("/devices/XYZ-000/")
    page = visit.page
    for code in ("1h", "7d", "30d", "24h"):
        page.locator(f"#span-{code}").click()
        expect(page.locator(f"#span-{code}")).to_have_attribute("aria-current", "true")
        assert f"window={code}" in page.url
        width = page.locator("canvas").evaluate("canvas => canvas.getBoundingClientRect().width")
        assert width > 600  # drawn anew into the new part
    page.get_by_text("The chart as a table").click()
    assert page.locator("details.as-table tbody tr").count() == 76
    page.locator("#earlier").click()
    expect(page.locator("#newest")).to_be_visible()
    assert "until=" in page.url
    page.locator("#newest").click()
    expect(page.locator("#newest")).to_have_count(0)
    points = page.evaluate("Chart.getChart(document.querySelector('canvas')).data.datasets[0].data")
    assert sum(point["average"] is None for point in points) == 1  # the gap


def test_what_is_marked_of_a_chart_is_shown_alone(visit: Visit) -> None:
    visit.sign_in()
    visit.open("/devices/XYZ-000/?window=24h")
    page = visit.page
    box = page.locator("canvas").bounding_box()
    assert box

    def drag(begin: float, end: float) -> None:
        page.mouse.move(box["x"] + begin * box["width"], box["y"] + 60)
        page.mouse.down()
        page.mouse.move(box["x"] + end * box["width"], box["y"] + 90, steps=3)
        page.mouse.up()

    drag(0.5, 0.503)  # a click marks nothing
    assert "from=" not in page.url
    drag(0.75, 0.5)
    page.wait_for_url("**/devices/XYZ-000/?window=24h&from=*&to=*")
    data = page.evaluate("JSON.parse(document.getElementById('chart-data').textContent)")
    assert 5 * 3_600_000 < data["end"] - data["start"] < 8 * 3_600_000  # of 24 hours a quarter, and the axis's room
    page.locator("#newest").click()
    expect(page.locator("#newest")).to_have_count(0)


def test_analytics_answer_as_they_are_asked(visit: Visit) -> None:
    visit.sign_in()
    visit.open("/analytics/")
    page = visit.page
    page.get_by_label("Metric").select_option("humidity")
    expect(page.get_by_role("heading", name="Relative humidity")).to_be_visible()
    page.locator("#span-7d").click()
    expect(page.locator("#span-7d")).to_have_attribute("aria-current", "true")
    page.get_by_label("Location", exact=True).select_option("harbor")
    expect(page.locator(".period")).to_contain_text(re.compile("P[SD]T"))  # now in the location's own clock
    assert "metric=humidity" in page.url
    assert "window=7d" in page.url  # what was clicked goes on with what is chosen
    with page.expect_download() as download:
        page.get_by_role("link", name="Download CSV").click()
    text = download.value.path().read_text()
    assert text.startswith("start,metric,unit")
    assert ",humidity,%," in text


def test_the_theme_is_chosen_and_kept(visit: Visit) -> None:
    visit.sign_in()
    page = visit.page
    ground = "getComputedStyle(document.body).backgroundColor"
    light = page.evaluate(ground)
    switch = page.get_by_role("button", name="Theme")
    for expected in ("light", "dark"):
        switch.click()
        expect(switch).to_have_text(re.compile(expected))
    dark = page.evaluate(ground)
    assert dark != light
    visit.open("/devices/XYZ-000/")
    assert page.evaluate(ground) == dark
    before = page.evaluate("Chart.getChart(document.querySelector('canvas')).data.datasets[0].borderColor")
    switch.click()
    expect(switch).to_have_text(re.compile("auto"))
    after = page.evaluate("Chart.getChart(document.querySelector('canvas')).data.datasets[0].borderColor")
    assert (page.evaluate(ground), before != after) == (light, True)


def test_everything_works_by_keyboard(visit: Visit) -> None:
    visit.open("/sign-in/")
    page = visit.page
    page.keyboard.type("ann")  # the name's field has the keyboard from the start
    page.keyboard.press("Tab")
    page.keyboard.type("a good pass phrase")
    page.keyboard.press("Enter")
    page.wait_for_url(visit.address + "/")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    expect(page.locator(".skip")).to_be_in_viewport()
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "main"
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.closest('main') !== null")
    width = page.evaluate("getComputedStyle(document.activeElement).outlineWidth")
    assert width == "2px"  # one can see where one is
    page.locator(".menu summary").focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("link", name="Profile")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_role("link", name="Profile")).to_be_hidden()
    assert page.evaluate("document.activeElement.tagName") == "SUMMARY"
    page.keyboard.press("Enter")
    for _ in range(2):
        page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    page.wait_for_url("**/sign-in/")


def test_who_was_signed_out_meanwhile_gets_to_sign_in(visit: Visit) -> None:
    visit.sign_in()
    visit.open("/locations/harbor/")
    visit.page.context.clear_cookies(name="sessionid")
    visit.page.get_by_label("Kind").select_option("hygrometer")
    visit.page.wait_for_url("**/sign-in/?next=/locations/harbor/")
    expect(visit.page.get_by_role("heading", name="Sign in")).to_be_visible()


def test_a_failing_server_is_told_and_the_list_stays(visit: Visit) -> None:
    visit.sign_in()
    visit.open("/locations/harbor/")
    page = visit.page
    page.route("**/locations/harbor/?kind=*", lambda route: route.abort())
    page.get_by_label("Kind").select_option("hygrometer")
    expect(page.get_by_role("alert")).to_contain_text("No connection to the server")
    assert page.locator("tbody tr").count() == 25
    page.unroute_all()
    page.get_by_label("Kind").select_option("barometer")
    expect(page.locator(".pages p")).to_have_text("1–9 of 9 devices")
    expect(page.locator("#trouble")).to_be_hidden()
    visit.faults.clear()  # Chromium reports the connection that was cut


def test_a_token_is_made_and_revoked(visit: Visit) -> None:
    visit.sign_in()
    visit.open("/profile/")
    page = visit.page
    page.get_by_label("Name", exact=True).fill("Gateway")
    page.get_by_role("button", name="Make a token").click()
    expect(page.locator("#secret")).to_have_text(re.compile(r"^xyz_[\w-]{40,}$"))
    page.get_by_role("button", name="Revoke Gateway").click()
    expect(page.locator(".messages")).to_contain_text("“Gateway” is revoked")
    expect(page.get_by_text("No tokens.")).to_be_visible()


def test_what_people_name_things_is_never_run(visit: Visit) -> None:
    evil = "<img src=x onerror=\"document.title='run'\">"
    Device.objects.filter(serial="XYZ-000").update(name=evil, metadata={evil: evil})
    visit.sign_in()
    for path in ("/", "/locations/harbor/?sort=-last_seen", "/devices/XYZ-000/"):
        visit.open(path)
        assert visit.page.locator("img").count() == 0
        assert visit.page.title() != "run"
    expect(visit.page.locator("h1")).to_have_text(evil)
