"""`manage.py serve`, what `make run` does: from servers to pages, and to the end of every process."""

import os
import re
import signal
import socket
import sqlite3
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from xyzsite.localregions.manager import CHECKOUT, LocalRegions
from xyzsite.localregions.serving import LocalPlatform, PlatformError, check_port, given_by_user

END = 120  # seconds until a start, or an end, has failed


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextmanager
def served(environment: dict[str, str], port: int) -> Iterator["subprocess.Popen[str]"]:
    names = {name: value for name, value in os.environ.items() if not name.startswith(("REDIS_", "DATABASE_"))}
    command = [sys.executable, "manage.py", "serve", "--port", str(port)]
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


def test_from_nothing_to_pages_and_to_the_end(breakable_regions: LocalRegions):
    environment = breakable_regions.environment("us-east-1")
    port = free_port()
    with served(environment, port) as process:
        said = read_until(process, "Ctrl-C ends it.")
        assert "Using the servers that the environment names for us-east-1." in said
        assert f"The platform runs on http://127.0.0.1:{port} in us-east-1." in said
        assert re.search(r"Loaded the demo data in [\d.]+ s\.", said)
        assert "password" in said.lower()
        assert "Sign in" in get(port, "/")
        again = subprocess.run(
            [sys.executable, "manage.py", "serve", "--port", str(port)],
            cwd=CHECKOUT, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert again.returncode == 1
        assert f"Port {port} can't be used" in again.stderr
        assert "make run PORT=8001" in again.stderr
        children = subprocess.run(
            ["ps", "-o", "pid=", "--ppid", str(process.pid)], capture_output=True, text=True, check=False
        ).stdout.split()
        assert len(children) == 2  # gunicorn and flush_writes
        process.send_signal(signal.SIGINT)
        assert process.wait(END) == 0
        assert not any(is_alive(int(child)) for child in children)
    check_port(port)


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_the_site_ends_with_a_sentence_where_its_regions_were_killed(tmp_path: Path) -> None:
    platform = LocalPlatform(tmp_path, "us-east-1", free_port(), print)
    platform._check_regions()  # on servers of the environment there is nothing to look after
    platform._on_regions = True
    with pytest.raises(PlatformError, match=r"supervisor was killed.*`make run`"):
        platform._check_regions()


def test_a_port_in_use_is_named():
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        with pytest.raises(PlatformError, match="choose another, as `make run PORT=8001`"):
            check_port(other.getsockname()[1])


@pytest.mark.parametrize("port", [-1, 65536])
def test_a_port_that_is_none_is_named(port):
    with pytest.raises(PlatformError, match=f"Port {port} can't be used"):
        check_port(port)


def test_what_the_regions_wrote_is_not_given_by_the_user(tmp_path, monkeypatch):
    file = tmp_path / "us-east-1.env"
    assert given_by_user(file) == dict(os.environ)
    file.write_text("REDIS_URL_US_EAST_1=redis://127.0.0.1:1\nDATABASE_URL=postgres://here\n")
    monkeypatch.setenv("REDIS_URL_US_EAST_1", "redis://127.0.0.1:1")
    monkeypatch.setenv("DATABASE_URL", "postgres://elsewhere")
    given = given_by_user(file)
    assert "REDIS_URL_US_EAST_1" not in given
    assert given["DATABASE_URL"] == "postgres://elsewhere"
