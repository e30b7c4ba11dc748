"""The admin and the API's documentation under their content security policies: at work, with a quiet console."""

import pytest

from tests.browser.conftest import Visit
from users.models import User


@pytest.fixture
def root(visit: Visit) -> Visit:
    User.objects.filter(username="ann").update(is_staff=True, is_superuser=True)
    visit.sign_in()
    return visit


def test_the_admins_lists_forms_and_panel_work(root: Visit) -> None:
    page = root.page
    root.open("/admin/")
    root.open("/admin/devices/device/add/")
    page.locator(".select2-selection").first.click()  # select2, filled by the server
    page.locator(".select2-results__option").first.wait_for()
    root.open("/admin/users/apitoken/")
    root.open("/admin/users/user/add/")
    root.open(f"/admin/users/user/{User.objects.get(username='ann').pk}/change/")
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")  # two lists beside one another fit
    root.open("/admin/cacheops/")


def test_the_apis_documentation_is_drawn_and_asks(root: Visit) -> None:
    page = root.page
    root.open("/api/docs")
    page.locator("#operations-caller-show_caller").click()
    page.get_by_role("button", name="Try it out").click()
    page.get_by_role("button", name="Execute").click()
    page.locator(".responses-table.live-responses-table").get_by_text('"username": "ann"').wait_for()
