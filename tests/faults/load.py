"""People in browsers, programs and devices on the sites of all regions; each answer is noted and judged."""

import http.client
import itertools
import json
import re
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from http.cookies import SimpleCookie
from typing import Any
from urllib.parse import urlencode, urlsplit

from tests.faults.judge import GOOD, MAX_LAG, Editions, Seen
from tests.waiting import until
from xyzsite.demo.load.calls import Answer, Caller
from xyzsite.demo.load.fleet import LoadDevice, Posted, Poster, World, all_posted
from xyzsite.localregions.plan import HOME

TIMEOUT_SECONDS = 30.0
EDIT_SECONDS, PAGE_SECONDS = 0.4, 0.2  # between two rounds of a caller
READINGS = 5.0  # a second and region
ASSETS = re.compile(r'(?:src|href)="(/static/[^"]+)"')
EDITION = re.compile(r"edit-(\d+)")
CALLERS = ("person", "browser", "program", "device")  # in each region
numbers = itertools.count(1)


@dataclass(frozen=True, slots=True)
class Page:
    """What came back."""

    began: float
    ended: float
    status: int = 0
    text: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def edition(self) -> int:
        """Return the number that the device's name bears in it."""
        found = EDITION.search(self.text)
        return int(found[1]) if found else 0


class Client:
    """A browser, or a program with a token: what it was given with an answer it sends with the next request."""

    def __init__(
        self, who: str, sites: Mapping[str, str], seen: list[Seen], *, cookies: Mapping[str, str] = {}, token: str = ""
    ) -> None:
        self._who = who
        self._seen = seen
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._has_token = bool(token)
        self.cookies = dict(cookies)
        self._connections = {
            region: http.client.HTTPConnection(urlsplit(url).netloc, timeout=TIMEOUT_SECONDS)
            for region, url in sites.items()
        }

    def sign_in(self, region: str, username: str, password: str) -> None:
        self._ask(region, "GET", "/sign-in/", None, "")
        form = {"username": username, "password": password, "csrfmiddlewaretoken": self.cookies["csrftoken"]}
        answer = self._ask(region, "POST", "/sign-in/", urlencode(form), "application/x-www-form-urlencoded")
        assert answer.status == 302, answer

    def ask(self, region: str, method: str, path: str, document: Any = None, **headers: str) -> Page:
        """Ask, and note the answer."""
        body = None if document is None else json.dumps(document)
        return self.note(region, self._ask(region, method, path, body, "application/json", **headers))

    def read(self, region: str, path: str, editions: Editions, lag: float, **headers: str) -> Page:
        """Read what bears an edition, which must be none that had been replaced so many seconds before."""
        page = self._ask(region, "GET", path, None, "", **headers)
        is_stale = page.status == 200 and editions.is_stale(page.edition, page.began - lag)
        return self.note(region, page, stale=is_stale)

    def note(self, region: str, page: Page, *, stale: bool = False) -> Page:
        unchecked = "database away" in page.headers.get("Cache-Status", "")
        self._seen.append(
            Seen(
                f"{self._who} in {region}",
                page.began,
                page.ended,
                page.status,
                retry_after="Retry-After" in page.headers,
                unchecked=unchecked,
                stale=stale and not unchecked,
            )
        )
        return page

    def _ask(self, region: str, method: str, path: str, body: str | None, kind: str, **headers: str) -> Page:
        headers |= self._headers
        if self.cookies:
            headers["Cookie"] = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        if body is not None:
            headers |= {"Content-Type": kind, "X-CSRFToken": self.cookies.get("csrftoken", "")}
        page = self._exchange(self._connections[region], method, path, body, headers)
        if self._has_token and "X-Position" in page.headers:
            self._headers["X-Position"] = page.headers["X-Position"]
        return page

    def _exchange(
        self, connection: http.client.HTTPConnection, method: str, path: str, body: str | None, headers: dict[str, str]
    ) -> Page:
        was_open = connection.sock is not None
        began = time.monotonic()
        try:
            connection.request(method, path, body, headers)
            response = connection.getresponse()
            text = response.read().decode(errors="replace")
        except (http.client.HTTPException, OSError) as error:
            connection.close()
            if was_open and method == "GET" and isinstance(error, ConnectionError):
                return self._exchange(connection, method, path, body, headers)  # as browsers do (RFC 9112, 9.3.1)
            return Page(began, time.monotonic())
        for line in response.headers.get_all("Set-Cookie", []):
            self.cookies |= {name: morsel.value for name, morsel in SimpleCookie(line).items()}
        return Page(began, time.monotonic(), response.status, text, response.headers)

    def close(self) -> None:
        for connection in self._connections.values():
            connection.close()


class NotedCaller(Caller):
    """A device's calls, noted."""

    def __init__(self, region: str, url: str, token: str, seen: list[Seen]) -> None:
        super().__init__(url, {"Authorization": f"Bearer {token}"})
        self._who = f"device in {region}"
        self._seen = seen

    def post(self, path: str, document: Any) -> Answer:
        began = time.monotonic()
        answer = super().post(path, document)
        retry_after = answer.retry_after > 0
        self._seen.append(Seen(self._who, began, time.monotonic(), answer.status, retry_after=retry_after))
        return answer


@dataclass(frozen=True)
class Scene:
    """Where the load goes, and what it keeps from one row to the next."""

    sites: Mapping[str, str]  # by region
    world: World
    cookies: Mapping[tuple[str, str], Mapping[str, str]]  # of those who are signed in, by who and region
    editions: Mapping[str, Editions]  # by serial

    @classmethod
    def of(cls, sites: Mapping[str, str], world: World, username: str, password: str) -> "Scene":
        """Sign in a person and a reader in each region."""
        cookies = {}
        for who, region in itertools.product(("person", "browser"), sites):
            client = Client(who, sites, [])
            client.sign_in(region, username, password)
            client.close()
            cookies[who, region] = client.cookies
        return cls(sites, world, cookies, {device.serial: Editions() for device in world.devices})

    def devices(self, region: str) -> list[LoadDevice]:
        """Return the region's share: two that are renamed, by a person and by a program; the others post."""
        return self.world.devices[list(self.sites).index(region) :: len(self.sites)]

    def renamed(self) -> list[str]:
        return [device.serial for region in self.sites for device in self.devices(region)[:2]]

    def lag(self, region: str) -> float:
        """Return how old may be what somebody sees who has written nothing."""
        return 0.0 if region == HOME else MAX_LAG


class Load:
    """The load of one row, within a block: `seen` grows to its end, `posted` is known then.

    `late`: seconds for which anybody at home may see what was replaced, as the writer could not mark it (R16).
    """

    posted: Posted

    def __init__(self, scene: Scene, late: float = 0.0) -> None:
        self.scene = scene
        self._late = late
        self.seen: list[Seen] = []
        self._stopped = threading.Event()
        self._threads: list[threading.Thread] = []
        self._fleet: list[Poster] = []
        for region, url in scene.sites.items():
            by_person, by_program, *others = scene.devices(region)
            person, reader = (
                Client(who, scene.sites, self.seen, cookies=scene.cookies[who, region]) for who in ("person", "browser")
            )
            program = Client("program", scene.sites, self.seen, token=scene.world.token)
            self._start(person, lambda c=person, r=region, d=by_person: self._rename(c, r, d, "/devices/{}/"))
            self._start(program, lambda c=program, r=region, d=by_program: self._rename(c, r, d, "/api/devices/{}"))
            self._start(reader, Browser(reader, region, scene, self._lag(region, scene.lag(region))).look)
            caller = NotedCaller(region, url, scene.world.token, self.seen)
            self._fleet.append(Poster(caller, others, READINGS, self._stopped))

    def __enter__(self) -> "Load":
        for thread in [*self._threads, *self._fleet]:
            thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._stopped.set()
        for thread in [*self._threads, *self._fleet]:
            thread.join(2 * TIMEOUT_SECONDS)
        self.posted = all_posted(self._fleet)

    def _start(self, client: Client, step: Callable[[], None]) -> None:
        def run() -> None:
            while not self._stopped.is_set():
                step()
            client.close()

        self._threads.append(threading.Thread(target=run, daemon=True))

    def _rename(self, client: Client, region: str, device: LoadDevice, path: str) -> None:
        """Rename a device, and see the new name at once in each region, wherever the next request goes."""
        editions, number = self.scene.editions[device.serial], next(numbers)
        editions.sent(number)
        page = client.ask(region, "PATCH", f"/api/devices/{device.serial}", {"name": f"edit-{number}"})
        if page.status == 200:
            editions.acknowledged(number, page.ended)
        for other in [region, *(other for other in self.scene.sites if other != region)]:
            client.read(other, path.format(device.serial), editions, self._lag(other, 0.0))
        self._stopped.wait(EDIT_SECONDS)

    def _lag(self, region: str, promised: float) -> float:
        return max(promised, self._late) if region == HOME else promised

    def answers_since(self, moment: float) -> set[str]:
        """Return which callers have had a good answer to what they asked since a moment."""
        return {one.who for one in list(self.seen) if one.began >= moment and one.status in GOOD}

    def wait_for_all(self) -> None:
        """Wait until every caller, in every region, has had a good answer to something asked from now on."""
        began = time.monotonic()
        until(lambda: len(self.answers_since(began)) >= len(CALLERS) * len(self.scene.sites), "all are answered")


class Browser:
    """Opens one page after the other with what it fetches, and asks for it again as a live page does."""

    def __init__(self, client: Client, region: str, scene: Scene, lag: float) -> None:
        self._client = client
        self._region = region
        self._scene = scene
        self._lag = lag
        self._pages = itertools.cycle(pages(scene.renamed()))
        self._fetched: set[str] = set()

    def look(self) -> None:
        path, serial = next(self._pages)
        page = self._read(path, serial)
        for asset in sorted(set(ASSETS.findall(page.text)) - self._fetched):
            self._client.ask(self._region, "GET", asset)
            self._fetched.add(asset)
        if "data-live" in page.text:
            tag = self._read(path, serial, **{"If-None-Match": '"-"'}).headers.get("ETag", '"-"')
            self._client.ask(self._region, "GET", path, **{"If-None-Match": tag})
        time.sleep(PAGE_SECONDS)

    def _read(self, path: str, serial: str, **headers: str) -> Page:
        if not serial:
            return self._client.ask(self._region, "GET", path, **headers)
        return self._client.read(self._region, path, self._scene.editions[serial], self._lag, **headers)


def pages(serials: Sequence[str]) -> list[tuple[str, str]]:
    """Return what is browsed: paths, each with the serial of the device whose name it shows, if any."""
    shared = ["/", "/locations/", "/locations/load-test/", "/analytics/", "/profile/"]
    devices = [(f"/devices/{serial}/", serial) for serial in serials]
    between = itertools.cycle(devices)
    return [page for path in shared for page in ((path, ""), next(between), next(between))]
