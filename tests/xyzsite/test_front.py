"""The web server beside clients that idle, dawdle and send too much, and at SIGTERM: nobody waits or is cut off."""

import contextlib
import http.client
import os
import select
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.waiting import until
from xyzsite.framing import MAX_BODY, MAX_HEAD, Framing, Refused
from xyzsite.localregions import ports
from xyzsite.localregions.manager import CHECKOUT

PAGE = "/sign-in/"
HEAD = b"POST /sign-in/ HTTP/1.1\r\nHost: localhost\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"


class Site:
    """A site that answers from SQLite and its own memory."""

    def __init__(self, log: Path, *options: str) -> None:
        self.log = log
        self.served: list[int] = []  # the status of each answer
        self.port = ports.choose(["site"], {})["site"]
        given = {name: value for name, value in os.environ.items() if not name.startswith(("REDIS_", "DATABASE_"))}
        settings = {"DJANGO_SETTINGS_MODULE": "xyzsite.settings.test", "DATABASE_URL": "sqlite:///:memory:"}
        bind = f"127.0.0.1:{self.port}"
        command = [sys.executable, "-m", "gunicorn", "-c", "python:xyzsite.server", "xyzsite.wsgi", "--bind", bind]
        with log.open("wb") as output:
            self.process = subprocess.Popen(
                [*command, *options],
                cwd=CHECKOUT,
                env={**given, **settings, "REDIS_URL_US_EAST_1": ""},
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        until(self.answers, "the site answers")

    @property
    def workers(self) -> list[int]:
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text()
        return [int(child) for child in children.split()]

    def connect(self, sends: bytes = b"") -> socket.socket:
        connection = socket.create_connection(("127.0.0.1", self.port), timeout=60)
        connection.sendall(sends)
        return connection

    def status(self, path: str = PAGE) -> int:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            connection.request("GET", path, headers={"Connection": "close"})
            response = connection.getresponse()
            response.read()
            self.served.append(response.status)
            return response.status
        finally:
            connection.close()

    def answers(self) -> bool:
        try:
            return self.status() == 200
        except OSError:
            return False

    def listens(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def first_line(self, sends: bytes) -> str:
        with self.connect() as connection:
            with contextlib.suppress(ConnectionError):  # it is closed while we still send
                connection.sendall(sends)
            return connection.makefile("rb").readline().decode()


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    started = Site(tmp_path_factory.mktemp("site") / "log")
    yield started
    started.process.terminate()
    started.process.wait(60)


ATTACKS = {
    "idle": (40, b""),
    "half a head": (17, b"GET / HTTP/1.1\r\nHost: localhost\r\nCookie: a"),
    "half a body": (17, HEAD + b"Content-Length: 1000\r\n\r\nuser"),
    "half a body in chunks": (17, CHUNKED + b"5\r\nuser"),
}


@pytest.mark.parametrize(("count", "sends"), ATTACKS.values(), ids=list(ATTACKS))
def test_others_are_served_beside_clients_that_send_nothing_more(site: Site, count: int, sends: bytes) -> None:
    with contextlib.ExitStack() as stack:
        waiting = [stack.enter_context(site.connect(sends)) for _ in range(count)]
        assert [site.status() for _ in range(5)] == [200] * 5
        for connection in waiting:  # nor were these cut off to make room
            connection.setblocking(False)
            with pytest.raises(BlockingIOError):
                connection.recv(1)


def test_heads_and_bodies_have_limits(site: Site) -> None:
    assert "431" in site.first_line(b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"x" * 2 * MAX_HEAD + b"\r\n\r\n")
    assert "413" in site.first_line(HEAD + b"Content-Length: %d\r\n\r\n" % (MAX_BODY + 1))
    assert "413" in site.first_line(CHUNKED + (b"10000\r\n" + b"x" * 0x10000 + b"\r\n") * 60)


def test_requests_are_answered_as_the_servers_own_parser_says(site: Site) -> None:
    assert "403" in site.first_line(CHUNKED + b"3\r\na=b\r\n0\r\n\r\n")  # no CSRF token
    assert "403" in site.first_line(HEAD + b"Content-Length: 3\r\n\r\na=b")
    assert "100 Continue" in site.first_line(HEAD + b"Content-Length: 3\r\nExpect: 100-continue\r\n\r\n")
    assert "400" in site.first_line(b"no HTTP\r\n\r\n")
    assert "400" in site.first_line(b"GET / HTTP/1.1\r\nNo header\r\n\r\n")
    get = b"GET /sign-in/ HTTP/1.1\r\nHost: localhost\r\n"
    with site.connect((get + b"\r\n") * 2 + get + b"Connection: close\r\n\r\n") as connection:  # pipelined
        assert connection.makefile("rb").read().count(b"HTTP/1.1 200 OK") == 3


@pytest.mark.parametrize("size", [1, 7, 10_000])
def test_a_request_ends_where_it_does_however_it_comes(size: int) -> None:
    requests = {
        HEAD + b"\r\n": b"",
        HEAD + b"content-LENGTH:  5\r\n\r\n": b"12345",
        CHUNKED: b"3;a=b\r\nabc\r\nA\r\n0123456789\r\n0\r\nTrailer: 1\r\n\r\n",
        b"\r\n" + CHUNKED: b"0\r\n\r\n",
    }
    for head, body in requests.items():
        framing = Framing()
        whole = head + body
        steps = [whole[at : at + size] for at in range(0, len(whole), size)]
        assert [framing.feed(step) for step in steps] == [False] * (len(steps) - 1) + [True], whole


def test_chunks_without_end_are_refused() -> None:
    framing = Framing()
    assert not framing.feed(CHUNKED)
    with pytest.raises(Refused, match="Large"):
        framing.feed(b"1\r\na\r\n" * MAX_BODY)


def test_sigterm_under_load_resets_nothing_and_the_access_log_has_each_request(tmp_path: Path) -> None:
    site = Site(tmp_path / "log")
    failed: list[Exception] = []
    refused = threading.Event()

    def ask_on() -> None:
        while not refused.is_set():
            try:
                site.status()
            except ConnectionRefusedError:
                refused.set()
            except (OSError, http.client.HTTPException) as error:
                failed.append(error)

    threads = [threading.Thread(target=ask_on) for _ in range(12)]
    for thread in threads:
        thread.start()
    until(lambda: len(site.served) > 40, "requests under way")
    site.process.send_signal(signal.SIGTERM)
    for thread in threads:
        thread.join()
    assert site.process.wait(60) == 0
    assert failed == []
    assert set(site.served) == {200}
    assert site.log.read_text().count(f'"GET {PAGE} HTTP/1.1" 200') == len(site.served)


def test_one_that_makes_room_may_have_closed_in_the_same_moment(tmp_path: Path) -> None:
    site = Site(tmp_path / "log", "--workers", "1", "--worker-connections", "5")
    (worker,) = site.workers
    request = f"GET {PAGE} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode()
    with contextlib.ExitStack() as stack:
        stack.callback(site.process.wait)
        stack.callback(site.process.kill)
        for _ in range(4):
            stack.enter_context(site.connect())
        answered = stack.enter_context(site.connect(request))
        while answered.recv(65_536):
            pass
        os.kill(worker, signal.SIGSTOP)  # what comes now, the loop hears of at once: first the new one
        newer = stack.enter_context(site.connect(request))
        answered.close()
        os.kill(worker, signal.SIGCONT)
        assert newer.recv(12) == b"HTTP/1.1 200"
        assert site.workers == [worker]


def test_who_is_silent_makes_room_and_no_worker_outlives_the_main_process(tmp_path: Path) -> None:
    site = Site(tmp_path / "log", "--worker-connections", "5")
    with contextlib.ExitStack() as stack:
        silent = [stack.enter_context(site.connect(b"")) for _ in range(30)]
        assert [site.status() for _ in range(5)] == [200] * 5
        # Those before the last answer were accepted before it, in turn; each process may be about to drop one more.
        assert len(select.select(silent, [], [], 0)[0]) >= 30 - 2 * 5 - 2
    site.process.kill()
    site.process.wait()
    until(lambda: not site.listens(), "the port is free")
