"""gunicorn's threaded worker, with a loop that reads each request whole before a thread gets it.

Its own gives a thread to each connection at once, for as long as the client takes to send: 40 idle ones, or 17 that
have sent half a head or body, keep all threads busy. Here the loop alone waits for clients, and bounds how much and how
long. Parsing, answering, the access log and the processes stay gunicorn's (docs/decisions/0026-the-front.md).
"""

import selectors
import socket
import struct
import time
from concurrent.futures import Future
from functools import partial
from typing import Any

from gunicorn.http import get_parser
from gunicorn.util import close as close_socket
from gunicorn.workers.gthread import TConn, ThreadWorker

from xyzsite.framing import Framing, Refused

IDLE_SECONDS = 55.0  # between requests; a balancer that keeps connections must let go earlier, or it loses a request
REQUEST_SECONDS = 20.0  # for a request to arrive: a body of 2.5 MB at 1 Mbit/s
WRITE_SECONDS = 20  # that a thread waits for a client that does not read
DRAIN_SECONDS = 2.0  # for the client to hear the end of an answer, and to close
LEAVE_SECONDS = 0.5  # after SIGTERM, for connections that are being made to be accepted
MAX_BUFFERED = 64 * 1024 * 1024  # bytes of unfinished requests in a process
SEND_BUFFER = 512 * 1024  # bytes: an answer of this platform fits, so that its thread need not wait for the client
CHUNK = 65_536


class BufferedConnection(TConn):
    """A connection, and what has come of its next request."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.framing = Framing()
        self.data_ready = True  # when a thread gets it
        self.draining = False  # its last answer was sent

    def init(self) -> None:
        """Give the thread the whole request; it reads nothing from the socket."""
        self.parser = get_parser(self.cfg, [bytes(self.framing.buffer)], self.client)
        self.framing = Framing()


class BufferedWorker(ThreadWorker):
    """Waits for whole requests in its loop; `threads` answer them."""

    alive: bool

    def init_process(self) -> None:
        self.waiting: dict[BufferedConnection, float] = {}  # to their deadlines
        super().init_process()

    def run(self) -> None:
        self.poller.register(self.method_queue.fileno(), selectors.EVENT_READ, self.method_queue.run_callbacks)
        self.set_accept_enabled(True)
        while self.alive and self.is_parent_alive():
            self._turn(1.0)
        self.alive = False  # from here on each answer says that the connection ends
        self._stop_accepting()
        self._cap_waiting(time.monotonic() + DRAIN_SECONDS)
        deadline = time.monotonic() + self.cfg.graceful_timeout
        while self.nr_conns > 0 and time.monotonic() < deadline:
            self._turn(0.1)
        self.tpool.shutdown(wait=False)
        self.poller.close()

    def _turn(self, seconds: float) -> None:
        self.notify()
        self.wait_for_and_dispatch_events(seconds)
        now = time.monotonic()
        for connection in [each for each, deadline in self.waiting.items() if deadline <= now]:
            self._drop(connection)

    def _stop_accepting(self) -> None:
        """Accept what has begun to connect, then close: what the closing socket still holds would be reset."""
        deadline = time.monotonic() + LEAVE_SECONDS
        while time.monotonic() < deadline:
            self._turn(0.05)
        self.set_accept_enabled(False)
        for listener in self.sockets:
            listener.close()

    def _cap_waiting(self, latest: float) -> None:
        """Have connections that idle end soon; what has begun to arrive keeps its time."""
        for connection, deadline in self.waiting.items():
            if not connection.framing.buffer:
                self.waiting[connection] = min(deadline, latest)

    def accept(self, listener: Any) -> None:
        try:
            client, address = listener.accept()
        except OSError:
            return  # another process has it, or it is gone
        self.nr_conns += 1
        client.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("ll", WRITE_SECONDS, 0))
        client.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)
        self._wait(BufferedConnection(self.cfg, client, address, listener.getsockname()), IDLE_SECONDS)
        if self.nr_conns >= self.worker_connections:  # make room: whoever has been silent for longest
            self._drop(min(self.waiting, key=self.waiting.__getitem__))

    def _wait(self, connection: BufferedConnection, seconds: float) -> None:
        connection.sock.setblocking(False)
        self.waiting[connection] = time.monotonic() + seconds
        self.poller.register(connection.sock, selectors.EVENT_READ, partial(self._on_readable, connection))

    def _stop_waiting(self, connection: BufferedConnection) -> None:
        del self.waiting[connection]
        self.poller.unregister(connection.sock)

    def _drop(self, connection: BufferedConnection) -> None:
        self._stop_waiting(connection)
        self.nr_conns -= 1
        close_socket(connection.sock)

    def _on_readable(self, connection: BufferedConnection, client: Any) -> None:
        if connection not in self.waiting:  # it made room for another one in this very turn
            return
        try:
            data = client.recv(CHUNK)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._drop(connection)
        elif not connection.draining:
            if not connection.framing.buffer:
                self.waiting[connection] = time.monotonic() + REQUEST_SECONDS
            self._received(connection, data)

    def _received(self, connection: BufferedConnection, data: bytes) -> None:
        try:
            whole = connection.framing.feed(data)
            if not whole and sum(len(each.framing.buffer) for each in self.waiting) > MAX_BUFFERED:
                raise Refused(503, "Service Unavailable")
        except Refused as refused:
            self._refuse(connection, refused)
            return
        if whole:
            self._stop_waiting(connection)
            self.enqueue_req(connection)
        elif connection.framing.expects_continue:
            connection.framing.expects_continue = False
            self._send(connection, b"HTTP/1.1 100 Continue\r\n\r\n")

    def _refuse(self, connection: BufferedConnection, refused: Refused) -> None:
        line = f"HTTP/1.1 {refused.status} {refused.reason}\r\n"
        self.log.warning("Refused a request of %s: %d %s", connection.client, refused.status, refused.reason)
        self._send(connection, f"{line}Connection: close\r\nContent-Length: 0\r\n\r\n".encode())
        self._stop_waiting(connection)
        self._end(connection)

    def _send(self, connection: BufferedConnection, data: bytes) -> None:
        try:
            connection.sock.send(data)
        except OSError:
            return  # it is gone, which its next reading tells

    def _end(self, connection: BufferedConnection) -> None:
        """Say that nothing more is sent, and wait a while for the client to close: else it may lose the answer."""
        connection.framing, connection.draining = Framing(), True
        try:
            connection.sock.shutdown(socket.SHUT_WR)
        except OSError:
            self.nr_conns -= 1
            close_socket(connection.sock)
        else:
            self._wait(connection, DRAIN_SECONDS)

    def finish_request(self, connection: BufferedConnection, done: "Future[Any]") -> None:
        """Go on with a connection whose request was answered. In the loop, as the callbacks of the threads are."""
        if done.cancelled() or done.exception() or not done.result():
            self._end(connection)
            return
        self._wait(connection, IDLE_SECONDS if self.alive else DRAIN_SECONDS)
        if ahead := connection.parser.unreader.take_buffered():  # of the next request
            self._received(connection, ahead)
