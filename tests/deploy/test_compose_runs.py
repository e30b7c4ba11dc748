"""What compose runs, command by command, on the servers that it starts: people sign in, readings and writes arrive."""

import contextlib
import json
import re
import signal
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime
from http.cookiejar import CookieJar, DefaultCookiePolicy
from pathlib import Path
from typing import Any
from urllib.parse import urlencode
from urllib.request import HTTPCookieProcessor, Request, build_opener

import psycopg
import pytest

from tests.deploy.compose import TEXT, Platform
from tests.waiting import until

WORKERS = ["flush_writes", "relay-us-east-1", "relay-us-west-2", "relay-us-east-2"]
PASSWORD = "a good pass phrase"


class Person:
    """A browser, as far as it signs in and calls the API with its session."""

    def __init__(self, port: int) -> None:
        self.site = f"http://localhost:{port}"
        # Browsers take localhost for safe, and send it cookies that are for HTTPS only.
        self.cookies = CookieJar(DefaultCookiePolicy(secure_protocols=("http",)))
        self.opener = build_opener(HTTPCookieProcessor(self.cookies))

    def sign_in(self, name: str) -> str:
        """Return the address of the page that follows."""
        page = self.opener.open(f"{self.site}/sign-in/", timeout=60).read().decode()
        (token,) = set(re.findall(r'name="csrfmiddlewaretoken" value="(\w+)"', page))
        form = {"username": name, "password": PASSWORD, "csrfmiddlewaretoken": token}
        with self.opener.open(f"{self.site}/sign-in/", urlencode(form).encode(), timeout=60) as answer:
            return str(answer.url).removeprefix(self.site)

    def api(self, path: str, body: Any = None) -> tuple[int, Any]:
        token = next(cookie.value or "" for cookie in self.cookies if "csrf" in cookie.name)
        headers = {"Content-Type": "application/json", "X-CSRFToken": token}
        data = None if body is None else json.dumps(body).encode()
        with self.opener.open(Request(f"{self.site}/api{path}", data, headers), timeout=60) as answer:
            return answer.status, json.load(answer)


@pytest.fixture(scope="module")
def stack() -> Iterator[contextlib.ExitStack]:
    with contextlib.ExitStack() as made:
        yield made


@pytest.fixture(scope="module")
def platform(stack: contextlib.ExitStack, static_files: Path, tmp_path_factory: pytest.TempPathFactory) -> Platform:
    """Return the platform before its first start: servers, and an empty database."""
    made = Platform(stack, tmp_path_factory.mktemp("compose"), static_files)
    made.start_redis()
    return made


def test_compose_runs_the_platform(platform: Platform) -> None:
    platform.finish("migrate")
    running = {"web": platform.start("web")}
    running |= {name: platform.start(name, FLUSH_SECONDS="1") for name in WORKERS}
    started = {name for name, one in platform.services.items() if "build" in one and "profiles" not in one}
    assert started == {"migrate", *running}
    until(lambda: platform.healthy("web"), "the site's own health check")
    with psycopg.connect(platform.database, autocommit=True) as database:
        assert rows(database, "SELECT count(*) FROM users_user") == [(0,)]  # no demo data unless asked
        person = signed_in(platform)
        platform.finish("seed", "--days", "1")
        check_a_reading_is_flushed(person, database)
        check_a_write_past_django_is_told(person, database)
    check_nothing_was_refused(platform)
    check_all_end(running)


def signed_in(platform: Platform) -> Person:
    """Return somebody whom the command at the file's head has made, with the answers it would ask for."""
    (command,) = re.findall(r"run --rm web (python .+)$", TEXT, re.MULTILINE)
    names = {"USERNAME": "root", "PASSWORD": PASSWORD, "EMAIL": "root@example.com"}
    answers = {f"DJANGO_SUPERUSER_{name}": value for name, value in names.items()}
    platform.finish("web", "--noinput", command=command.split(), **answers)
    person = Person(platform.port)
    assert person.sign_in("root") == "/"
    return person


def check_a_reading_is_flushed(person: Person, database: Any) -> None:
    _, devices = person.api("/devices?metric=temperature&page_size=1")
    reading = {"serial": devices["items"][0]["serial"], "value": 21.5, "taken_at": datetime.now(UTC).isoformat()}
    assert person.api("/readings", {"readings": [reading]})[0] == 202
    found = "SELECT 1 FROM devices_reading WHERE taken_at = %s"
    until(lambda: rows(database, found, reading["taken_at"]), "flush_writes brought the reading")


def check_a_write_past_django_is_told(person: Person, database: Any) -> None:
    code = person.api("/locations?page_size=1")[1]["items"][0]["code"]
    assert person.api(f"/locations/{code}") == person.api(f"/locations/{code}")
    database.execute("UPDATE locations_location SET name = 'Renamed' WHERE code = %s", [code])
    until(lambda: person.api(f"/locations/{code}")[1]["name"] == "Renamed", "relay told of the new name")


def check_nothing_was_refused(platform: Platform) -> None:
    """The access list allows all that the application does: no server has refused it a command or a key."""
    for name, node in platform.nodes.items():
        with node.client("operations") as client:
            assert client.acl_log() == [], name


def check_all_end(running: dict[str, subprocess.Popen[bytes]]) -> None:
    for process in running.values():
        process.send_signal(signal.SIGTERM)
    assert {name: process.wait(60) for name, process in running.items()} == dict.fromkeys(running, 0)


def rows(database: Any, sql: str, *values: Any) -> list[Any]:
    found: list[Any] = database.execute(sql, values).fetchall()
    return found
