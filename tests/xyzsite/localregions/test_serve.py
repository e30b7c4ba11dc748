"""`manage.py serve`, what `make run` does: from servers to pages, and to the end of every process."""

import json
import os
import re
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import urllib.request
from argparse import ArgumentTypeError
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from http.cookiejar import CookieJar
from pathlib import Path
from urllib.error import HTTPError
from urllib.parse import urlencode
from urllib.request import HTTPCookieProcessor, Request, build_opener

import psycopg
import pytest

from tests.servers import PATIENCE
from tests.waiting import until
from xyzsite.localregions import ports, watched
from xyzsite.localregions.distance import REAL
from xyzsite.localregions.manager import CHECKOUT, LocalRegions
from xyzsite.localregions.plan import HOME, PAIRS, REGIONS
from xyzsite.localregions.serving import LocalPlatform, check_port, given_by_user, is_listening
from xyzsite.localregions.watched import PlatformError, Watched
from xyzsite.management.commands.serve import region_names

SERIAL = "demo-seattle-ballard-pressure"
PAGE = f"/devices/{SERIAL}/"
END = 120  # seconds until a start, or an end, has failed


def free_port() -> int:
    return free_ports(1)


def free_ports(count: int) -> int:
    """Return the first of so many free ports in a row, behind one that is free as well."""
    while True:
        first = ports.choose(["first"], {})["first"] + 1
        if all(ports.free(first + number) for number in range(count)):
            return first


@contextmanager
def served(environment: dict[str, str], port: int, *arguments: str) -> Iterator["subprocess.Popen[str]"]:
    names = {name: value for name, value in os.environ.items() if not name.startswith(("REDIS_", "DATABASE_"))}
    command = [sys.executable, "manage.py", "serve", "--port", str(port), *arguments]
    process = subprocess.Popen(
        command,
        cwd=CHECKOUT,
        env={**names, **environment, "DJANGO_SETTINGS_MODULE": "xyzsite.settings.local"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=END)


def read_until(process: "subprocess.Popen[str]", wanted: str) -> str:
    """Return what a process prints up to a text."""
    assert process.stdout is not None
    said = ""
    while wanted not in said:
        line = process.stdout.readline()
        assert line, f"it ended: {said}"
        said += line
    return said


def get(port: int, path: str) -> str:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=END) as answer:
        return answer.read().decode()


def test_a_database_of_before_people_had_an_app_is_named(tmp_path: Path) -> None:
    database = tmp_path / "old.sqlite3"
    with closing(sqlite3.connect(database)) as connection, connection:
        connection.execute("CREATE TABLE django_migrations (id INTEGER PRIMARY KEY, app, name, applied)")
        connection.executemany(
            "INSERT INTO django_migrations (app, name, applied) VALUES (?, '0001_initial', '2026-01-01')",
            [(app,) for app in ("contenttypes", "auth", "xyzsite", "admin", "locations")],
        )
    addresses = {"REDIS_URL_US_EAST_1": "redis://127.0.0.1:1", "DATABASE_URL": f"sqlite:///{database}"}
    with served(addresses, free_port()) as process:
        said = read_until(process, "DATABASE_URL.")
    assert process.returncode == 1
    assert "remove the folder var/" in said
    assert "Traceback" not in said


class Person:
    """A browser with one jar of cookies for the sites of all regions."""

    def __init__(self) -> None:
        self._jar = CookieJar()
        self._opener = build_opener(HTTPCookieProcessor(self._jar))

    def sign_in(self, port: int, username: str, password: str) -> None:
        self.get(port, "/sign-in/")
        form = {"username": username, "password": password, "csrfmiddlewaretoken": self._token}
        self._opener.open(f"http://127.0.0.1:{port}/sign-in/", urlencode(form).encode(), timeout=END).close()

    def get(self, port: int, path: str) -> str:
        with self._opener.open(f"http://127.0.0.1:{port}{path}", timeout=END) as answer:
            return answer.read().decode()

    def rename(self, port: int, serial: str, name: str) -> None:
        headers = {"Content-Type": "application/json", "X-CSRFToken": self._token}
        body = json.dumps({"name": name}).encode()
        url = f"http://127.0.0.1:{port}/api/devices/{serial}"
        self._opener.open(Request(url, body, headers, method="PATCH"), timeout=END).close()

    @property
    def _token(self) -> str:
        return next(cookie.value or "" for cookie in self._jar if cookie.name == "csrftoken")


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """Return a folder for regions, whose data is removed afterwards."""
    yield tmp_path
    if root := LocalRegions(tmp_path).state.data_root:
        shutil.rmtree(root)


def test_three_regions_from_nothing_to_pages_and_to_the_end(folder: Path) -> None:
    port = free_ports(3)
    with served({**PATIENCE, "FLUSH_SECONDS": "0.5"}, port, "--dir", str(folder)) as process:
        said = read_until(process, "FLEET=0")
        for number, region in enumerate(REGIONS):
            assert f"http://127.0.0.1:{port + number}  {region}" in said
        assert re.search(r"Loaded the demo data in [\d.]+ s\.", said)
        assert "password" in said.lower()
        refused(port - 1, f"Port {port}, of us-west-2, can't be used")
        put_apart(folder, 1)
        see_a_change_everywhere(port, folder)
        put_apart(folder, 0)
        see_the_fleet(folder)
        see_a_fail_over(port, folder)
        see_no_fault_in_settings(folder)
        see_a_site_begun_again(process, port + 1)
        children = children_of(process.pid)
        assert len(children) == 10  # for each region a web server, flush_writes and a relay; the fleet
        process.send_signal(signal.SIGINT)
        assert process.wait(END) == 0
        assert not any(is_alive(child) for child in children)
    for number in range(3):
        assert ports.free(port + number)


def refused(port: int, why: str) -> None:
    again = subprocess.run(
        [sys.executable, "manage.py", "serve", "--port", str(port)],
        cwd=CHECKOUT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert again.returncode == 1
    assert again.stdout == ""  # nothing was started
    assert why in again.stderr
    assert "make run PORT=8100" in again.stderr


def put_apart(folder: Path, share: int) -> None:
    for region in PAIRS:
        LocalRegions(folder).distance(region, share * REAL[frozenset((HOME, region))])


def see_a_change_everywhere(port: int, folder: Path) -> None:
    """Change a device on one site, and by SQL, and see it on all."""
    person = Person()
    person.sign_in(port, "admin", "demo-admin")
    for number, region in enumerate(REGIONS):
        assert f"<span>{region}</span>" in person.get(port + number, PAGE)
    person.rename(port + 1, SERIAL, "Renamed in the west")
    for number in range(3):
        assert "Renamed in the west" in person.get(port + number, PAGE)
    rename_by_sql(folder, "Renamed by SQL")
    for number in range(3):
        until(lambda at=port + number: shows(person, at, "Renamed by SQL"), "it is seen in each region")


def rename_by_sql(folder: Path, name: str) -> None:
    with database(folder) as connection:
        connection.execute("UPDATE devices_device SET name = %s WHERE serial = %s", [name, SERIAL])


def see_a_fail_over(port: int, folder: Path) -> None:
    """Make a replica the primary database, and see the sites go on, and their relays with them."""
    LocalRegions(folder).failover_database()
    person = Person()
    until(lambda: is_signed_in(person, port), "the database is there again")
    rename_by_sql(folder, "Renamed after the fail-over")
    for number in range(3):
        until(lambda at=port + number: shows(person, at, "Renamed after the fail-over"), "each region's relay goes on")


def is_signed_in(person: Person, port: int) -> bool:
    with suppress(HTTPError):  # 503
        person.sign_in(port, "admin", "demo-admin")
        return "<h1" in person.get(port, "/")
    return False


def shows(person: Person, port: int, text: str) -> bool:
    with suppress(HTTPError):
        return text in person.get(port, PAGE)
    return False


def see_the_fleet(folder: Path) -> None:
    sql = "SELECT count(DISTINCT location.region) FROM devices_device JOIN locations_location AS location"
    sql += " ON location.id = location_id WHERE last_seen > now() - interval '1 hour' AND last_seen > %s"
    with database(folder) as connection:
        began = connection.execute("SELECT now()").fetchone()
        until(lambda: connection.execute(sql, began).fetchone() == (3,), "devices of all regions post")


def see_no_fault_in_settings(folder: Path) -> None:
    environment = {**os.environ, **LocalRegions(folder).environment("us-west-2")}
    environment["DJANGO_SETTINGS_MODULE"] = "xyzsite.settings.local"
    command = [sys.executable, "manage.py", "check", "--database", "default", "--database", "replica"]
    found = subprocess.run(command, cwd=CHECKOUT, env=environment, capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stderr


def see_a_site_begun_again(process: "subprocess.Popen[str]", port: int) -> None:
    lifeline = next(child for child in children_of(process.pid) if f":{port}" in command_of(child))
    os.kill(children_of(lifeline)[0], signal.SIGKILL)
    read_until(process, "The web server of us-west-2 ended by itself, with status 137: starting another.")
    until(lambda: is_listening(port), "it listens again")
    assert "Sign in" in get(port, "/")


def database(folder: Path) -> psycopg.Connection:
    return psycopg.connect(LocalRegions(folder).environment(HOME)["DATABASE_URL"], autocommit=True)


def children_of(pid: int) -> list[int]:
    listed = subprocess.run(["ps", "-o", "pid=", "--ppid", str(pid)], capture_output=True, text=True, check=False)
    return [int(each) for each in listed.stdout.split()]


def command_of(pid: int) -> str:
    listed = subprocess.run(["ps", "-ww", "-o", "args=", "-p", str(pid)], capture_output=True, text=True, check=False)
    return listed.stdout


def test_a_region_whose_servers_are_named_is_served_alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("REDIS_URL_US_EAST_1", "redis://127.0.0.1:1")
    said: list[str] = []
    platform = LocalPlatform(tmp_path, REGIONS, 8000, said.append)
    platform._start_regions()
    assert platform.ports == {"us-east-1": 8000}
    assert said == [
        "Using the servers that the environment names for us-east-1.",
        "Without the local regions there is one site, in us-east-1.",
    ]
    with pytest.raises(PlatformError, match="REGIONS must name us-east-1"):
        LocalPlatform(tmp_path, ["us-west-2"], 8000, said.append)._start_regions()


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_the_site_ends_with_a_sentence_where_its_regions_were_killed(tmp_path: Path) -> None:
    platform = LocalPlatform(tmp_path, REGIONS, free_port(), print)
    platform._check_regions()  # on servers of the environment there is nothing to look after
    platform._on_regions = True
    with pytest.raises(PlatformError, match=r"supervisor was killed.*`make run`"):
        platform._check_regions()


def test_a_port_in_use_is_named():
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        with pytest.raises(PlatformError, match="choose another, as `make run PORT=8100`, which takes 3 in a row"):
            check_port(other.getsockname()[1], "us-east-1", 3)


@pytest.mark.parametrize("port", [-1, 65536])
def test_a_port_that_is_none_is_named(port):
    with pytest.raises(PlatformError, match=f"Port {port}, of us-east-1, can't be used"):
        check_port(port, "us-east-1", 1)


@pytest.mark.parametrize(("text", "named"), [("us-west-2,us-east-1", ["us-east-1", "us-west-2"]), ("mars", None)])
def test_regions_are_named_in_any_order(text: str, named: list[str] | None) -> None:
    if named:
        assert region_names(text) == named
    else:
        with pytest.raises(ArgumentTypeError, match="choose one of us-east-1, us-west-2"):
            region_names(text)


def test_what_ends_each_time_at_once_ends_the_platform(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(watched, "PAUSES", (0.0, 0.0))
    said: list[str] = []
    process = Watched("The relay", [sys.executable, "-c", "raise SystemExit(3)"], dict(os.environ), CHECKOUT)
    with pytest.raises(PlatformError, match="The relay has ended 3 times in a row, with status 3"):
        until(lambda: process.look(said.append), "it gives up")
    assert said == ["The relay ended by itself, with status 3: starting another."] * 2


def test_what_the_regions_wrote_is_not_given_by_the_user(tmp_path, monkeypatch):
    file = tmp_path / "us-east-1.env"
    assert given_by_user(file) == dict(os.environ)
    file.write_text("REDIS_URL_US_EAST_1=redis://127.0.0.1:1\nDATABASE_URL=postgres://here\n")
    monkeypatch.setenv("REDIS_URL_US_EAST_1", "redis://127.0.0.1:1")
    monkeypatch.setenv("DATABASE_URL", "postgres://elsewhere")
    given = given_by_user(file)
    assert "REDIS_URL_US_EAST_1" not in given
    assert given["DATABASE_URL"] == "postgres://elsewhere"
