"""Every page, light and dark, wide and narrow: quiet console, own host only, nothing sticks out, readable by all."""

from pathlib import Path

import pytest

from tests.browser.conftest import NARROW, WIDE, Visit

AUDIT = Path(__file__).with_name("audit.js").read_text()
PAGES = {
    "/": "Overview",
    "/locations/": "Locations",
    "/locations/harbor/": "Harbor Quay North",
    "/locations/harbor/?search=nothing": "Harbor Quay North",
    "/devices/XYZ-000/change/": "Change Thermometer 00",
    "/devices/XYZ-000/?window=1h": "Thermometer 00",
    "/devices/XYZ-000/": "Thermometer 00",
    "/devices/XYZ-001/?window=30d": "Hygrometer 01",
    "/devices/XYZ-039/": "Particle counter 39",
    "/analytics/": "Analytics",
    "/analytics/?metric=device_count&window=7d": "Analytics",
    "/profile/": "Profile",
    "/thresholds/": "Thresholds",
    "/thresholds/new/": "New threshold",
}
LOOKS = {f"{scheme}-{width[0]}": (scheme, width) for scheme in ("light", "dark") for width in (WIDE, NARROW)}

# Which pixels of a canvas are painted, and by how many colours: a drawn chart has lines, a band and text.
PAINTED = """canvas => {
  const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
  const colours = new Set();
  for (let i = 0; i < data.length; i += 4) if (data[i + 3]) colours.add(data[i] << 16 | data[i + 1] << 8 | data[i + 2]);
  return colours.size;
}"""


def check(visit: Visit) -> None:
    page = visit.page
    assert page.evaluate(AUDIT) == []
    overflow = page.evaluate("document.documentElement.scrollWidth - innerWidth")
    assert overflow <= 0, f"{page.url} is {overflow} pixels too wide"
    page.evaluate("document.querySelectorAll('.as-table').forEach(table => { table.open = true; })")
    for table in page.locator(".scroll").all():
        assert table.evaluate("box => box.scrollWidth <= box.clientWidth"), f"{page.url} has a table wider than its box"
    for canvas in page.locator("canvas").all():
        assert canvas.evaluate(PAINTED) > 10, f"{page.url} has an empty chart"


@pytest.mark.parametrize("visit", LOOKS.values(), ids=LOOKS, indirect=True)
def test_every_page_in_every_look(visit: Visit) -> None:
    visit.open("/sign-in/")
    check(visit)
    visit.sign_in()
    for path, heading in PAGES.items():
        visit.open(path)
        assert visit.page.locator("h1").inner_text() == heading
        check(visit)


@pytest.mark.parametrize("visit", [("dark", NARROW)], indirect=True)
def test_a_page_that_is_not_there_is_in_the_sites_look(visit: Visit) -> None:
    visit.sign_in()
    visit.open("/locations/nowhere/")
    assert visit.page.locator("h1").inner_text() == "Not found"
    check(visit)
    visit.faults.clear()  # Chromium reports each 404 to the console
