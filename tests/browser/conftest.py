"""A real browser on a real server: Chromium from the PATH, driven by Playwright."""

import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest
from django.core.cache import caches
from playwright.sync_api import Browser, ConsoleMessage, Page, Request, sync_playwright

from tests.browser.world import make_world

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
# Playwright brings no browser along here, and Chromium shall speak to nobody but the test's server.
ARGUMENTS = [
    "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
]  # fmt: skip
WIDE, NARROW = (1280, 800), (360, 740)  # pixels: a laptop, and the smallest phone in wide use


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip the folder's tests where no browser is installed."""
    if CHROMIUM:
        return
    for item in items:
        if "tests/browser" in item.path.as_posix():
            item.add_marker(pytest.mark.skip(reason="no chromium on the PATH (apt install chromium)"))


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    # Playwright's synchronous calls run an event loop in this thread, in which Django would refuse to use the
    # database. They take turns here, so nothing can be interleaved; allowed for as long as the browser is open.
    before = os.environ.get("DJANGO_ALLOW_ASYNC_UNSAFE")
    os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "1"
    sandbox = ["--no-sandbox"] if os.geteuid() == 0 else []  # Chromium refuses to be sandboxed as root
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS + sandbox)
        yield browser
        browser.close()
    os.environ.pop("DJANGO_ALLOW_ASYNC_UNSAFE")
    if before is not None:
        os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = before


@dataclass
class Visit:
    """A browser window on the platform, and what went wrong in it."""

    page: Page
    address: str
    faults: list[str] = field(default_factory=list)

    def open(self, path: str) -> None:
        self.page.goto(self.address + path)

    def sign_in(self, name: str = "ann") -> None:
        self.open("/sign-in/")
        self.page.get_by_label("Username").fill(name)
        self.page.get_by_label("Password").fill("a good pass phrase")
        self.page.get_by_role("button", name="Sign in").click()
        self.page.wait_for_url(self.address + "/")

    def on_console(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self.faults.append(f"{self.page.url}: {message.text}")

    def on_request(self, request: Request) -> None:
        if not request.url.startswith((self.address, "data:")):
            self.faults.append(f"{self.page.url} asks {request.url}")


@pytest.fixture
def visit(browser: Browser, live_server, request: pytest.FixtureRequest) -> Iterator[Visit]:
    """Return a window, by default wide and light; `indirect` parameters are (colour scheme, size).

    Whatever a page writes to the console, or asks of another host, fails the test at its end.
    """
    caches["default"].clear()
    make_world()
    scheme, (width, height) = getattr(request, "param", ("light", WIDE))
    context = browser.new_context(
        color_scheme=scheme, viewport={"width": width, "height": height}, reduced_motion="reduce"
    )
    context.set_default_timeout(10_000)
    visit = Visit(context.new_page(), live_server.url)
    visit.page.on("console", visit.on_console)
    visit.page.on("pageerror", lambda error: visit.faults.append(f"{visit.page.url}: {error}"))
    visit.page.on("request", visit.on_request)
    yield visit
    context.close()
    assert not visit.faults
