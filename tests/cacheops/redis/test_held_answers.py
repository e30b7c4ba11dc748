"""An answer that a server holds back as it was told to (WAIT) is no silence, and one that it forgets is called for."""

import os
import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from redis.exceptions import TimeoutError

from cacheops.redis.connection import WAKE, Connection


class Driver:
    """A connection of the driver's to a server that a test plays."""

    def __init__(self) -> None:
        self.pid = os.getpid()
        self._sock, self.far = socket.socketpair()

    def connect(self) -> None:
        """It is connected."""

    def disconnect(self) -> None:
        self._sock.close()

    def play(self, serve: Callable[[socket.socket], Any]) -> threading.Thread:
        """Have the far end be served by a thread."""
        thread = threading.Thread(target=serve, args=(self.far,))
        thread.start()
        return thread

    def patience(self, seconds: float) -> None:
        self._sock.settimeout(seconds)


@pytest.fixture
def driver() -> Iterator[Driver]:
    made = Driver()
    yield made
    made.disconnect()
    made.far.close()


def heard(far: socket.socket, text: bytes) -> None:
    """Take in what comes until `text` is its end."""
    taken = b""
    while not taken.endswith(text):
        taken += far.recv(1000)


def test_a_server_at_rest_is_woken_when_the_time_of_its_wait_is_over(driver: Driver) -> None:
    driver.patience(30)  # without the word that wakes it, no answer comes for as long

    def serve(far: socket.socket) -> None:
        heard(far, b"$1\r\n1\r\n")
        far.sendall(b"+OK\r\n")
        heard(far, WAKE)
        far.sendall(b":0\r\n")
        heard(far, b"PING\r\n")
        far.sendall(b"+PONG\r\n")

    server = driver.play(serve)
    connection = Connection(driver)
    assert connection.wait(connection.send([("SET", "a", "b"), ("WAIT", 1, 1)])) == [b"OK", 0]
    assert connection.run(("PING",)) == b"PONG"
    server.join()


def test_an_answer_that_is_held_back_is_waited_for_beyond_the_time_out(driver: Driver) -> None:
    driver.patience(0.05)

    def serve(far: socket.socket) -> None:
        heard(far, b"$6\r\n600000\r\n")
        threading.Event().wait(0.3)
        far.sendall(b":1\r\n")

    server = driver.play(serve)
    connection = Connection(driver)
    assert connection.wait(connection.send([("WAIT", 1, 600_000)])) == [1]
    assert driver._sock.gettimeout() == 0.05
    server.join()


@pytest.mark.parametrize(
    ("commands", "answers"), [(("SET", "WAIT"), b""), (("WAIT",), b""), (("SET", "WAIT"), b"+OK\r\n")]
)
def test_a_server_that_is_silent_is_not_waited_for(driver: Driver, commands: tuple[str, ...], answers: bytes) -> None:
    """Before what may be held back, and when it should have come, the time-out counts."""
    driver.patience(0.05)
    wait = ("WAIT", 1, 1 if "SET" not in commands or answers else 600_000)
    driver.far.sendall(answers)
    connection = Connection(driver)
    reply = connection.send([("SET", "a", "b") if command == "SET" else wait for command in commands])
    with pytest.raises(TimeoutError):
        connection.wait(reply)
    assert connection.closed
