"""The database stopped, killed and frozen under a running site: what the cache holds goes on, and all comes back."""

import http.client
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

import psycopg
import pytest

from tests.faults.write_behind.platform import PlatformProcesses, platform_on
from tests.outage.database import Database
from tests.waiting import until
from xyzsite.localregions.manager import LocalRegions

FAULTS = ["stop", "kill", "freeze"]
PAGES = ["/", "/locations/", "/locations/load-test/", "/devices/LOAD-0001/", "/profile/", "/api/devices"]


@pytest.fixture(scope="module")
def platform(regions_to_break: LocalRegions, database: Database) -> Iterator[PlatformProcesses]:
    patience = {"REDIS_SOCKET_TIMEOUT": "2", "REDIS_RETRY_BUDGET": "2", "REDIS_PAUSE_AFTER_FAILURE": "0"}
    own = {"DATABASE_URL": database.url, "FOLLOWER_REGIONS": "", "DATABASE_SILENCE": "0.5"}  # it has no replicas
    with platform_on(regions_to_break, **own, DEBUG="false", **patience) as started:
        yield started


@pytest.fixture
def site(
    request: Any, platform: PlatformProcesses, breakable_regions: LocalRegions, database: Database
) -> Iterator["Site"]:
    """Return a site whose pages are warm; the database is back afterwards."""
    found = Site(platform)
    value = 1.0 + FAULTS.index(request.node.callspec.params["fault"])
    until(lambda: found.healthy() and all(found.get(page).status == 200 for page in PAGES), "the site is well")
    assert found.post(value).status in (201, 202)
    until(lambda: stored(database, value), "the first reading is in the database")
    platform.manage("flush_writes", "--once")  # its invalidations are done
    for process in until(lambda: len(each := platform.web_processes()) == 2 and each, "both processes are there"):
        with (
            platform.only(process),
            ThreadPoolExecutor(8) as readers,
        ):  # each knows the queries then
            list(readers.map(found.get, PAGES * 4))
    yield found
    database.come_back()


class Answer:
    def __init__(self, response: http.client.HTTPResponse) -> None:
        self.status = response.status
        self.headers = response.headers
        self.text = response.read().decode()

    @property
    def was_unchecked(self) -> bool:
        return "database away" in self.headers.get("Cache-Status", "")


class Site:
    """The site, asked as a person and as a device."""

    def __init__(self, platform: PlatformProcesses) -> None:
        self.platform = platform
        self.world = platform.world

    def _ask(self, method: str, path: str, headers: dict[str, str], body: str | None = None) -> Answer:
        connection = http.client.HTTPConnection(self.platform.url.removeprefix("http://"), timeout=60)
        try:
            connection.request(method, path, body, headers)
            return Answer(connection.getresponse())
        finally:
            connection.close()

    def get(self, path: str) -> Answer:
        return self._ask("GET", path, {"Cookie": self.world.cookie})

    def post(self, value: float) -> Answer:
        """Post a reading of a device whose rows the cache holds, at this moment."""
        reading = {"value": value, "taken_at": datetime.now(UTC).isoformat()}
        headers = {"Authorization": f"Bearer {self.world.token}", "Content-Type": "application/json"}
        return self._ask("POST", "/api/devices/LOAD-0002/readings", headers, json.dumps(reading))

    def healthy(self) -> bool:
        return bool(json.loads(self._ask("GET", "/healthz", {}).text)["status"] == "ok")


def stored(database: Database, value: float) -> bool:
    with psycopg.connect(database.url) as connection:
        found = connection.execute("SELECT count(*) FROM devices_reading WHERE value = %s", [value]).fetchone()
    return found is not None and found[0] == 1


@pytest.mark.parametrize("fault", FAULTS)
def test_what_the_cache_holds_is_served_and_all_comes_back(site: Site, database: Database, fault: str) -> None:
    value = 1000.0 + FAULTS.index(fault)
    getattr(database, fault)()
    serve_without(site, value)
    database.come_back()

    until(lambda: site.healthy(), "the health check is well")
    until(lambda: all(not site.get(page).was_unchecked for page in PAGES * 2), "nothing is served unchecked")
    cold = f"/devices/LOAD-000{FAULTS.index(fault) + 3}/"
    until(lambda: {site.get(page).status for page in [*PAGES, cold]} == {200}, "each process knows that it is back")
    until(lambda: stored(database, value), "the reading that was accepted is in the database")
    assert site.post(value + 0.5).status == 202


def serve_without(site: Site, value: float) -> None:
    answers = [site.get(page) for page in PAGES * 4]
    assert [answer.status for answer in answers] == [200] * len(answers)
    until(lambda: site.get("/").was_unchecked, "pages say so")
    page: Any = until(lambda: (found := site.get("/locations/")).was_unchecked and found, "a page says so")
    assert "The database is away: this is what was last known." in page.text
    assert site.post(value).status == 202

    cold = site.get("/devices/LOAD-0009/")
    assert (cold.status, cold.headers["Retry-After"]) == (503, "5")
    assert "Not available now" in cold.text
    api = site.get("/api/devices/LOAD-0008")
    assert (api.status, api.headers["Retry-After"]) == (503, "5")
    assert json.loads(api.text)["error"]["code"] == "unavailable"

    health = site._ask("GET", "/healthz", {})
    found = json.loads(health.text)
    assert (health.status, found["status"], found["live"], found["ready"]) == (200, "degraded", True, True)
    assert site._ask("GET", "/healthz/live", {}).status == 200


def test_what_regions_missed_is_brought_to_them_although_nobody_reads_there(
    platform: PlatformProcesses, breakable_regions: LocalRegions, database: Database
) -> None:
    def waits() -> bool:
        return connection.execute("SELECT 1 FROM cacheops_queuedinvalidation").fetchone() is not None

    queue = 'INSERT INTO cacheops_queuedinvalidation (region, "table", created_at) VALUES (%s, %s, now())'
    with psycopg.connect(database.url, autocommit=True) as connection:
        for region in ("us-west-2", "us-east-2"):
            connection.execute(queue, [region, "devices_device"])
        until(lambda: not waits(), "flush_writes has told the regions")
